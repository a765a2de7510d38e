"""The one door through which everything enters a run that is not a function of its plan.

A run *takes* answers: how fast the hardware is, what became of a candidate, whether to stop. The main loop does not
know where they come from:

    Live       asks
    Recorded   reads a recording, which is a replay
    Resumed    reads what a run that broke off has recorded, and then asks
    Finishing  the same, but measures nothing new: the search stops there
    Recorder   any of them, written down as answers come
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

from colt.errors import ReplayError
from colt.world.answers import AnyAnswer, Stop
from colt.world.parts import Parts, current
from colt.world.recording import SCHEMA, Recording, RecordingWriter

A = TypeVar("A", bound=AnyAnswer)
T = TypeVar("T")


class World(Protocol):
    """Answers one thread, which asks the same questions in the same order if it gets the same answers."""

    @property
    def parts(self) -> Parts:
        """The parts of what is live."""
        ...

    @property
    def recorded(self) -> bool:
        """Whether answers come from a recording at present."""
        ...

    @property
    def same_words(self) -> bool:
        """Whether texts for people and prompts may be compared: earlier versions worded theirs differently."""
        ...

    def take(self, asked: str, kind: type[A], ask: Callable[[], A], quiet: A | None = None) -> A:
        """The answer to ``asked``: what ``ask`` returns, or what it returned in the recorded run.

        The text must tell whether the same thing is asked again. A question that is asked often and rarely has an
        answer has a ``quiet`` one, which is not written down.

        Raises
        ------
        ReplayError
            The recorded run asked something else at this point.
        """
        ...

    def live(self, make: Callable[[], T]) -> T | None:
        """What ``make`` returns, unless this is a replay: for what acts on the world or exists only to be asked."""
        ...


class Live:
    """Asks."""

    recorded = False
    same_words = True

    def __init__(self, parts: Parts | None = None) -> None:
        self.parts = parts or current()

    def take(self, asked: str, kind: type[A], ask: Callable[[], A], quiet: A | None = None) -> A:
        """See :meth:`World.take`."""
        return ask()

    def live(self, make: Callable[[], T]) -> T | None:
        """See :meth:`World.live`."""
        return make()


class Recorded:
    """Answers from a recording."""

    def __init__(self, recording: Recording, parts: Parts | None = None) -> None:
        self.parts = parts or current()
        self.same_words = recording.schema == SCHEMA
        self._left = iter(recording.lines)
        self._next = next(self._left, None)
        self._questions = 0

    @property
    def recorded(self) -> bool:
        """See :attr:`World.recorded`: always, for a replay never asks."""
        return True

    def take(self, asked: str, kind: type[A], ask: Callable[[], A], quiet: A | None = None) -> A:
        """See :meth:`World.take`."""
        self._questions += 1
        line = self._next
        if line is None or line.question > self._questions:
            return self._unrecorded(asked, ask, quiet)
        if line.asked != asked or not isinstance(line.answer, kind):
            raise ReplayError(
                f"question {self._questions} is {asked!r}; in line {line.line} of the recording it is {line.asked!r}"
            )
        self._next = next(self._left, None)
        return line.answer

    def live(self, make: Callable[[], T]) -> T | None:
        """See :meth:`World.live`."""
        return None

    def _unrecorded(self, asked: str, ask: Callable[[], A], quiet: A | None) -> A:
        """The answer to a question that has no line of its own."""
        if quiet is None:
            raise ReplayError(f"question {self._questions} is {asked!r}, which the recording has no answer to")
        return quiet


class Resumed(Recorded):
    """Answers from the recording of a run that broke off, and asks once that is used up."""

    @property
    def recorded(self) -> bool:
        """See :attr:`World.recorded`."""
        return self._next is not None

    def live(self, make: Callable[[], T]) -> T | None:
        """See :meth:`World.live`: whatever acts is needed sooner or later."""
        return make()

    def _unrecorded(self, asked: str, ask: Callable[[], A], quiet: A | None) -> A:
        return super()._unrecorded(asked, ask, quiet) if self.recorded else ask()


class Finishing(Resumed):
    """As :class:`Resumed`, but the search ends where the recording does: asked whether to stop, it says so."""

    def _unrecorded(self, asked: str, ask: Callable[[], A], quiet: A | None) -> A:
        if not self.recorded and isinstance(quiet, Stop):
            return Stop(reason="broken off")  # type: ignore[return-value]  # A is Stop, as ``quiet`` is
        return super()._unrecorded(asked, ask, quiet)


class Recorder:
    """Passes questions on to another world and writes the answers down; into a file from :meth:`open` on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._writer = RecordingWriter()
        self._questions = 0

    @property
    def parts(self) -> Parts:
        """See :attr:`World.parts`."""
        return self._world.parts

    @property
    def recorded(self) -> bool:
        """See :attr:`World.recorded`."""
        return self._world.recorded

    @property
    def same_words(self) -> bool:
        """See :attr:`World.same_words`."""
        return self._world.same_words

    @property
    def failure(self) -> OSError | None:
        """Why answers are not written down any more, if they are not."""
        return self._writer.failure

    def take(self, asked: str, kind: type[A], ask: Callable[[], A], quiet: A | None = None) -> A:
        """See :meth:`World.take`."""
        self._questions += 1
        answer = self._world.take(asked, kind, ask, quiet)
        if answer != quiet:
            self._writer.write(self._questions, asked, answer)
        return answer

    def live(self, make: Callable[[], T]) -> T | None:
        """See :meth:`World.live`."""
        return self._world.live(make)

    def open(self, path: Path) -> None:
        """Write to that new file."""
        self._writer.open(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()
