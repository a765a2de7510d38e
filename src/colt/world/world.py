"""The one door through which everything enters a run that is not a function of its plan.

A run *takes* answers: how fast the hardware is, what became of a candidate, whether to stop. It takes them live, or
from the recording of another run; the loop is the same. Live ones can be written down as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

from colt.errors import ReplayError
from colt.world.answers import AnyAnswer
from colt.world.recording import Line, RecordingWriter

A = TypeVar("A", bound=AnyAnswer)
T = TypeVar("T")


class World(Protocol):
    """Who answers. For one thread, which asks the same questions in the same order if it gets the same answers."""

    def take(self, asked: str, kind: type[A], ask: Callable[[], A], quiet: A | None = None) -> A:
        """The answer to ``asked``: what ``ask`` returns, or what it returned in the recorded run.

        The text must tell whether the same thing is asked again. A question that is put often and seldom has an answer
        has a ``quiet`` one, which is not written down.

        Raises
        ------
        ReplayError
            The recorded run asked something else at this point.
        """
        ...

    def live(self, make: Callable[[], T]) -> T | None:
        """What ``make`` returns, unless this is a replay: for whatever acts on the world, or is only there to ask."""
        ...


class Live:
    """Asks."""

    def take(self, asked: str, kind: type[A], ask: Callable[[], A], quiet: A | None = None) -> A:
        """See :meth:`World.take`."""
        return ask()

    def live(self, make: Callable[[], T]) -> T | None:
        """See :meth:`World.live`."""
        return make()


class Recorder:
    """Passes questions on and writes the answers down; into a file from :meth:`open` on. Usable in ``with``."""

    def __init__(self, outside: World) -> None:
        self._outside = outside
        self._writer = RecordingWriter()
        self._questions = 0

    def take(self, asked: str, kind: type[A], ask: Callable[[], A], quiet: A | None = None) -> A:
        """See :meth:`World.take`."""
        self._questions += 1
        answer = self._outside.take(asked, kind, ask, quiet)
        if answer != quiet:
            self._writer.write(self._questions, asked, answer)
        return answer

    def live(self, make: Callable[[], T]) -> T | None:
        """See :meth:`World.live`."""
        return self._outside.live(make)

    def open(self, path: Path) -> None:
        """Write to that new file."""
        self._writer.open(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()


class Recorded:
    """Answers from a recording."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._left = iter(lines)
        self._next = next(self._left, None)
        self._questions = 0

    def take(self, asked: str, kind: type[A], ask: Callable[[], A], quiet: A | None = None) -> A:
        """See :meth:`World.take`."""
        self._questions += 1
        line = self._next
        if line is None or line.question > self._questions:
            if quiet is None:
                raise ReplayError(f"question {self._questions} is {asked!r}, which the recording has no answer to")
            return quiet
        if line.asked != asked or not isinstance(line.answer, kind):
            raise ReplayError(
                f"question {self._questions} is {asked!r}; in line {line.line} of the recording it is {line.asked!r}"
            )
        self._next = next(self._left, None)
        return line.answer

    def live(self, make: Callable[[], T]) -> T | None:
        """See :meth:`World.live`."""
        return None
