"""The files of a run, written as long as they can be: a write that fails ends the run at the next safe point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from colt.errors import StorageError
from colt.run.telling import Telling
from colt.store.directory import JOURNAL, RECORDING, REMARKS, RunDirectory
from colt.store.journal import Journal
from colt.store.workings import Workings
from colt.util.files import read_file, sync
from colt.util.streams import remarks_since, remarks_so_far
from colt.world.world import Recorder


class Storage:
    """Claims the directory of a run and writes there, or never begins if the run has none."""

    def __init__(
        self,
        path: Path | None,
        telling: Telling,
        recorder: Recorder | None,
        workings: Workings,
        seconds: Callable[[], float],
        *,
        resumed: bool,
    ) -> None:
        """``recorder`` is there if ``path`` is; ``seconds`` says how long the run has taken. ``resumed``: it goes on in
        its own directory, where all is written up to what it has recorded."""
        self.directory: RunDirectory | None = None
        self.failure: StorageError | None = None
        """Why nothing is written any more, if nothing is."""
        self._path = path
        self._telling = telling
        self._recorder = recorder
        self._workings = workings
        self._journal: Journal | None = None
        self._seconds = seconds
        self._resumed = resumed
        self._live = False
        """Whether a resumed run has used its recording up."""
        self._remarks = remarks_so_far()

    @property
    def _repeats(self) -> bool:
        """Whether a run that goes on only comes to what it has recorded."""
        return self._resumed and self._recorder is not None and self._recorder.recorded

    def begin(self, config: dict[str, object], stack: ExitStack) -> None:
        """Claim the directory and write from here on, until the ``stack`` is closed. ``config`` is a new run's."""
        assert self._path is not None
        self.directory = self._claim(self._path, config, stack)
        self._keep_files(self._path, stack)
        stack.callback(self._keep_remarks, self.directory)

    def _claim(self, path: Path, config: dict[str, object], stack: ExitStack) -> RunDirectory:
        if self._resumed:
            return RunDirectory(path)
        directory = RunDirectory.create(path, config)
        stack.enter_context(RunDirectory.locked(path))
        return directory

    def _keep_files(self, folder: Path, stack: ExitStack) -> None:
        assert self._recorder is not None
        with self.storing():
            self._recorder.open(folder / RECORDING)
            journal = stack.enter_context(Journal(folder / JOURNAL, follow=self._resumed))
            sync(folder)
            self._journal = journal
            if not self._resumed:
                self._workings.go_live()
            self._telling.keep(journal)
            if self._live:
                journal.go_live(self._seconds())

    def _keep_remarks(self, directory: RunDirectory) -> None:
        """Write down what TVM has remarked, if anything."""
        if remarks := remarks_since(self._remarks):
            path = directory.path / REMARKS
            with self.storing():
                before = read_file(path) if self._resumed and path.is_file() else b""
                directory.write(REMARKS, before + remarks)

    def go_live(self) -> None:
        """The recorded part of a resumed run is over."""
        self._live = True
        self._workings.go_live()
        if self._journal is not None:
            self._journal.go_live(self._seconds())

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Write files of the run within. A write that fails is told, and ends the run at the next safe point."""
        try:
            yield
        except OSError as error:
            self._fail(error)

    def has_failed(self) -> bool:
        """Whether a file of the run can't be written any more; journal and recording do not raise when that happens."""
        for file in (self._journal, self._recorder, self._workings):
            if file is not None and file.failure is not None:
                self._fail(file.failure)
        return self.failure is not None

    def _fail(self, error: OSError) -> None:
        """Write nothing more: what is there is that of a run that broke off here, and goes on as one.

        Raises :class:`StorageError` where a run that goes on has not come to anything new yet.
        """
        if self.failure is None:
            for file in (self._journal, self._recorder, self._workings):
                if file is not None:
                    file.stop(error)
            name = error.filename or self._path
            self.failure = StorageError(f"{name} cannot be written: {error.strerror or error}")
            if self._repeats:
                raise self.failure
            self._telling.note(f"{self.failure}; the run ends with the best so far")

    def directory_of(self, task: str) -> RunDirectory | None:
        """Where files of a task are written, if any still are: its folder, or the run's if the task has no name."""
        if self.directory is None or self.has_failed():
            return None
        path = self.directory.path / task
        with self.storing():
            path.mkdir(exist_ok=True)
        return RunDirectory(path)

    def write(self, task: str, name: str, content: bytes) -> None:
        """Write a file of a task completely or not at all, if files still are. What is recorded was written before."""
        if self._repeats:
            return
        if (directory := self.directory_of(task)) is not None:
            with self.storing():
                directory.write(name, content)

    def change(self, table: str, values: Mapping[str, object]) -> None:
        """Change values of a table of the run's configuration, if it has one."""
        if self.directory is not None:
            with self.storing():
                self.directory.change(table, values)
