"""What a run has worked out itself that is dear, on disk: schedules carried out, predictions, code sizes.

All of it follows from plan and recording. A run that goes on looks it up as far as its recording reaches, instead of
working it out again; a replay never does. One JSON object a line: what the work was for, and its results in order. It
is written behind and not synced: what is missing is worked out again.

The file is data from strangers, like everything in a run directory: types are checked, and a line that cannot be read
is left out. The results of some works, drawn at random, are worked out again and compared. The events that follow from
all of them are compared with the journal.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from colt.errors import ReplayError
from colt.util.files import LineFile, read_file

CHECKED = 256
"""One work of so many is checked by working it out again."""
_Part = Annotated[int, Meta(ge=-(2**31), le=2**31)]


class _Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True, tag_field="kind"):
    """Base of the results of a work."""


class Carried(_Result, frozen=True, tag="carried out"):
    """A transformation that was carried out: the schedule, and the notes."""

    variant: str
    sketch: str
    values: tuple[tuple[_Part, ...] | _Part | str, ...]
    notes: tuple[str, ...] = ()
    structure: str = ""


class Refused(_Result, frozen=True, tag="refused"):
    """A transformation that could not be carried out, and why."""

    how: Literal["illegal", "rejected"]
    why: str


class Chosen(_Result, frozen=True, tag="chosen"):
    """A transformation by chance: edits as knob and value, a jump to a variant and sketch, moves as text."""

    edits: tuple[tuple[str, tuple[_Part, ...] | _Part | str | None], ...] = ()
    jump: tuple[str, str] | None = None
    moves: tuple[str, ...] = ()


class Opening(_Result, frozen=True, tag="opening"):
    """A schedule to open the tree with, and who made it."""

    variant: str
    sketch: str
    values: tuple[tuple[_Part, ...] | _Part | str, ...]
    by: str


class Predicted(_Result, frozen=True, tag="predicted"):
    """Predicted latencies."""

    latencies: tuple[float, ...]


class Reckoned(_Result, frozen=True, tag="number"):
    """A figure."""

    value: float


class Text(_Result, frozen=True, tag="text"):
    """A text, such as a fingerprint."""

    value: str


class Trusted(_Result, frozen=True, tag="trusted"):
    """How well the analytical and the learned scorer rank held-out measurements."""

    analytical: float
    cost_model: float


AnyResult = Carried | Refused | Chosen | Opening | Predicted | Reckoned | Text | Trusted
T = TypeVar("T", Predicted, Reckoned, Text, Trusted)


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """One work."""

    of: str
    done: tuple[AnyResult, ...]


class Workings:
    """The works of a run, in memory until :meth:`go_live`. Without a path they are not kept.

    A write that fails raises nothing: ``failure`` has the error, which names the file, and nothing more is written.
    """

    def __init__(self, path: Path | None = None, head: str = "", recorded: Callable[[], bool] | None = None) -> None:
        """``head`` says whose works they are: those of another program or version are not used. ``recorded`` is given
        for a run that goes on, and says whether the recording still answers.

        Raises :class:`OSError` if a file is there that cannot be read.
        """
        self.failure: OSError | None = None
        self.left_out = ""
        """What of the file is not used, and why, in words for people."""
        self._path = path
        self._head = msgspec.json.encode(head)
        self._known: dict[str, tuple[int, tuple[AnyResult, ...]]] = {}
        """By what they were for: where the line ends, and the results."""
        self._kept = 0
        """So many bytes are those of works that were used."""
        self._recorded = recorded or (lambda: False)
        self._live = False
        self._ahead: list[bytes] = []
        """Works that the file lacks, before it is written to."""
        self._file: LineFile | None = None
        self._draw = random.SystemRandom()  # nobody who writes such a file knows what is checked
        self._checked: dict[str, tuple[AnyResult, ...]] = {}
        if path is not None and recorded is not None and path.is_file():
            self._read(read_file(path))

    def _read(self, content: bytes) -> None:
        rows = content.split(b"\n")[:-1]
        if not rows:
            return
        if rows[0] != self._head:
            self.left_out = f"{self._path} is of another run, or of another version of COLT: all is worked out anew"
            return
        unreadable = 0
        self._kept = end = len(rows[0]) + 1
        decoder = msgspec.json.Decoder(_Line)
        for row in rows[1:]:
            end += len(row) + 1
            try:
                line = decoder.decode(row)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                unreadable += 1
                continue
            self._known[line.of] = end, line.done
        if unreadable:
            self.left_out = f"{unreadable} lines of {self._path} cannot be read: what they held is worked out anew"

    def known(self, of: str) -> tuple[AnyResult, ...] | None:
        """The results of that work, if it was done in the recorded part; ``None``, too, if it is to be checked."""
        found = self._known.get(of)
        if found is None or not self._recorded():
            return None
        end, done = found
        self._kept = max(self._kept, end)
        if self._draw.random() * CHECKED < 1:
            self._checked[of] = done
            return None
        return done

    def keep(self, of: str, done: Sequence[AnyResult]) -> None:
        """The results of a work that was done now.

        Raises :class:`ReplayError` if others are known of it.
        """
        expected = self._checked.pop(of, None)
        if expected is not None:
            if expected != tuple(done):
                raise self.wrong(of)
            return
        if self._path is None or self.failure is not None or not done:
            return
        row = msgspec.json.encode(_Line(of, tuple(done)))
        if self._live:
            self._write(row)
        else:
            self._ahead.append(row)

    def once(self, of: str, kind: type[T], work: Callable[[], T]) -> T:
        """The one result of a work, known or worked out now. Raises :class:`ReplayError` if another is known of it."""
        done = self.known(of)
        if done is None:
            result = work()
            self.keep(of, [result])
            return result
        if len(done) != 1 or not isinstance(done[0], kind):
            raise self.wrong(of)
        return done[0]

    def wrong(self, of: str) -> ReplayError:
        """The error to raise where the results of a work are not what it gives."""
        name = "workings" if self._path is None else self._path.name
        return ReplayError(f"{name} tells something else of {of} than comes of it")

    def go_live(self) -> None:
        """Write from here on, in place of works that were not used: the run has its folder and answers of its own."""
        self._live = True
        self._known.clear()
        ahead, self._ahead = self._ahead, []
        for row in ahead:
            self._write(row)

    def stop(self, why: OSError) -> None:
        """Write nothing more: something else of the run is not there any more."""
        self.failure = self.failure or why

    def flush(self) -> None:
        """Write what is in memory; it is not waited for."""
        try:
            if self._file is not None and self.failure is None:
                self._file.flush()
        except OSError as error:
            self.failure = error

    def close(self) -> None:
        """End the file, if there is one."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                self.failure = self.failure or error

    def _write(self, row: bytes) -> None:
        assert self._path is not None
        if self.failure is not None:
            return
        try:
            if self._file is None:
                fresh = self._kept == 0 and not self._path.exists()
                self._file = LineFile(self._path, keep=None if fresh else self._kept)
                if self._kept == 0:
                    self._file.write(self._head)
            self._file.write(row)
        except OSError as error:
            self.failure = error
