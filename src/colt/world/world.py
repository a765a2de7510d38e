"""The one door through which everything enters a run that is not a function of its plan.

A run *takes* answers: how fast the hardware is, what became of a candidate, whether to stop. The main loop does not
know where they come from:

    Live       asks
    Recorded   reads a recording, which is a replay
    Resumed    reads what a run has recorded that broke off or ended, and then asks
    Finishing  the same, but measures nothing new: the search stops there
    Recorder   any of them, written down as answers come

Calls of language models cost money and are under way for long, so two more things are said here. Before a request
leaves, its worst case is set aside (:meth:`World.set_aside`): it is on the disk whatever becomes of the process. And a
call that had left when the run broke off is known (:meth:`World.left`): it is paid for, and not made again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

from colt.errors import ReplayError
from colt.knobs import EDITION
from colt.proposers.language.calls import Charge
from colt.world.answers import Allowance, AnyAnswer, Stop
from colt.world.parts import Parts, current
from colt.world.recording import SAME_WORDS, Header, Recording, RecordingWriter

A = TypeVar("A", bound=AnyAnswer)
T = TypeVar("T")
ENDED_EARLY = (None, "interrupted", "broken off", "pool", "storage")
"""Reasons to stop after which something is left to do."""


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

    @property
    def edition(self) -> int:
        """The edition of the design space that the run has: later ones derive more from a program."""
        ...

    @property
    def names_knobs(self) -> bool:
        """Whether the run's journal names the knobs of sketches: those of earlier versions did not."""
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

    def offered(self, quiet: Stop) -> Allowance | None:
        """What the run goes on with if it asks now whether to stop, with that ``quiet`` answer; ``None`` if it does not
        go on there in another process. Nothing is taken, so that a run can refuse it before it is written down."""
        ...

    def live(self, make: Callable[[], T]) -> T | None:
        """What ``make`` returns, unless this is a replay: for what acts on the world or exists only to be asked."""
        ...

    def left(self, ticket: int) -> Charge | None:
        """To be asked whenever a call of a language model is due: what it costs at worst, if it had left when the run
        broke off and nothing was heard of it since."""
        ...

    def set_aside(self, ticket: int, charge: Charge) -> None:
        """Write down what a call costs if nothing more is heard of it, before each of its requests. For any thread.

        Raises :class:`OSError` if it cannot be written down; then the request must not leave.
        """
        ...


class NothingUnderWay:
    """Worlds in which no call has left before and no run goes on, and that write nothing down."""

    def offered(self, quiet: Stop) -> Allowance | None:
        """See :meth:`World.offered`."""
        return None

    def left(self, ticket: int) -> Charge | None:
        """See :meth:`World.left`."""
        return None

    def set_aside(self, ticket: int, charge: Charge) -> None:
        """See :meth:`World.set_aside`."""


class Live(NothingUnderWay):
    """Asks."""

    recorded = False
    same_words = True
    edition = EDITION
    names_knobs = True

    def __init__(self, parts: Parts | None = None) -> None:
        self.parts = parts or current()

    def take(self, asked: str, kind: type[A], ask: Callable[[], A], quiet: A | None = None) -> A:
        """See :meth:`World.take`."""
        return ask()

    def live(self, make: Callable[[], T]) -> T | None:
        """See :meth:`World.live`."""
        return make()


class Recorded(NothingUnderWay):
    """Answers from a recording."""

    def __init__(self, recording: Recording, parts: Parts | None = None) -> None:
        self.parts = parts or current()
        self.same_words = recording.schema >= SAME_WORDS
        self.edition = recording.edition
        self.names_knobs = recording.names_knobs
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
    """Answers from the recording of a run that broke off or ended, and asks once that is used up.

    With an ``allowance`` the search goes on with that: at the first safe point after the recording, or after the end of
    a run that was ended, or is given more than it had. Without one the run ends as it would have.
    """

    def __init__(
        self,
        recording: Recording,
        parts: Parts | None = None,
        allowance: Allowance | None = None,
        *,
        more: bool = False,
    ) -> None:
        super().__init__(recording, parts)
        self._allowance = allowance
        self._more = more
        self._set_aside = recording.set_aside
        self._awaited = set(recording.set_aside)
        """Calls that had left when the run broke off and are not due yet: as long as there are any, what is asked
        before them was answered as usual, or the recording would say so."""

    @property
    def recorded(self) -> bool:
        """See :attr:`World.recorded`."""
        return self._next is not None or bool(self._awaited)

    def offered(self, quiet: Stop) -> Allowance | None:
        """See :meth:`World.offered`."""
        goes_on = not self.recorded and (self._more or quiet.reason in ENDED_EARLY)
        return self._allowance if goes_on else None

    def live(self, make: Callable[[], T]) -> T | None:
        """See :meth:`World.live`: whatever acts is needed sooner or later."""
        return make()

    def left(self, ticket: int) -> Charge | None:
        """See :meth:`World.left`."""
        self._awaited.discard(ticket)
        return self._set_aside.get(ticket)

    def _unrecorded(self, asked: str, ask: Callable[[], A], quiet: A | None) -> A:
        if self.recorded:
            return super()._unrecorded(asked, ask, quiet)
        if isinstance(quiet, Stop) and (allowance := self.offered(quiet)) is not None:
            self._allowance = None
            return Stop(went_on=allowance)  # type: ignore[return-value]  # A is Stop, as ``quiet`` is
        return ask()


class Finishing(Resumed):
    """As :class:`Resumed`, but the search ends where the recording does: asked whether to stop, it says so."""

    def _unrecorded(self, asked: str, ask: Callable[[], A], quiet: A | None) -> A:
        if not self.recorded and isinstance(quiet, Stop) and quiet.reason is None:
            return Stop(reason="broken off")  # type: ignore[return-value]  # A is Stop, as ``quiet`` is
        return super()._unrecorded(asked, ask, quiet)


class Recorder:
    """Passes questions on to another world and writes the answers down; into a file from :meth:`open` on."""

    def __init__(self, world: World, header: Header | None = None, went_live: Callable[[], None] | None = None) -> None:
        """``went_live`` is called before the first question of a resumed run that is asked anew."""
        self._world = world
        self._writer = RecordingWriter(header)
        self._questions = 0
        self._after: Recording | None = None
        self._went_live = went_live

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
    def edition(self) -> int:
        """See :attr:`World.edition`."""
        return self._world.edition

    @property
    def names_knobs(self) -> bool:
        """See :attr:`World.names_knobs`."""
        return self._world.names_knobs

    @property
    def failure(self) -> OSError | None:
        """Why answers are not written down any more, if they are not."""
        return self._writer.failure

    def take(self, asked: str, kind: type[A], ask: Callable[[], A], quiet: A | None = None) -> A:
        """See :meth:`World.take`."""
        self._questions += 1
        known = self._after is not None and self._world.recorded
        if self._after is not None and not known and self._went_live is not None:
            went_live, self._went_live = self._went_live, None
            went_live()
        answer = self._world.take(asked, kind, ask, quiet)
        if answer != quiet and not known:
            self._writer.write(self._questions, asked, answer)
        return answer

    def offered(self, quiet: Stop) -> Allowance | None:
        """See :meth:`World.offered`."""
        return self._world.offered(quiet)

    def live(self, make: Callable[[], T]) -> T | None:
        """See :meth:`World.live`."""
        return self._world.live(make)

    def left(self, ticket: int) -> Charge | None:
        """See :meth:`World.left`."""
        return self._world.left(ticket)

    def set_aside(self, ticket: int, charge: Charge) -> None:
        """See :meth:`World.set_aside`."""
        self._writer.set_aside(ticket, charge)

    def follow(self, recording: Recording) -> None:
        """Write down only what comes after that. To be called before anything is taken."""
        self._after = recording

    def open(self, path: Path) -> None:
        """Write to that file, which is new unless it is followed."""
        self._writer.open(path, self._after)

    def stop(self, why: OSError) -> None:
        """Write nothing more."""
        self._writer.stop(why)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()
