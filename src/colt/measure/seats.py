"""Seats do work side by side, and may be lost: boards, of which each seat leases one at a time.

join     a seat finds what it is to work on; it does nothing before
serve    it does what waits, first come, first served
lose     what it was at goes to the front of the queue, to be done by another, and the seat joins anew
give up  work on which several seats were lost ends so; so does all work when no seat is left that could do it

Nothing waits for ever: seats have time limits for joining and for work, and work is handed over a few times at most.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum, auto
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from colt.errors import MeasureError

MOST_BREAKS = 2
"""Seats that may be lost while they do one piece of work: what takes two boards down would take down all of them."""
MOST_HANDOVERS = 6
"""Seats that may be lost with one piece of work in all, whether they had begun it or not."""
AGAIN_SECONDS = 30.0
"""A seat that could not join tries again after so long, or as soon as there is work and nobody to do it."""


class SeatLost(MeasureError):
    """What the seat works on is gone, and not because of the work, as far as is known; the text says why.

    ``begun`` says whether the work was under way there.
    """

    def __init__(self, text: str, begun: bool = False) -> None:
        super().__init__(text)
        self.begun = begun


class SeatRefused(SeatLost):
    """The seat is of no use, and need not try again."""


class WorkBroke(SeatLost):
    """Several seats were lost while they were at the same work, which is likely to be the cause."""


class Seat(Protocol):
    """Whoever does work, one piece at a time."""

    def join(self) -> None:
        """Be ready for work; may take its time. Raises :class:`SeatLost`."""
        ...

    def interrupt(self) -> None:
        """Have what another thread does here end soon, with whatever result."""
        ...

    def leave(self) -> None:
        """The same for good: nothing may be done here any more. May be repeated."""
        ...


S = TypeVar("S", bound=Seat)
R = TypeVar("R")


@dataclass(slots=True, eq=False)
class _Piece(Generic[S]):
    """A piece of work and what becomes of it."""

    work: Callable[[S], Any]
    done: Future[Any] = field(default_factory=Future)
    breaks: int = 0
    handovers: int = 0


class _State(Enum):
    JOINING = auto()
    HERE = auto()
    AWAY = auto()  # could not join; tries again later
    OUT = auto()  # is of no use


class Seats(Generic[S]):
    """A thread for each of ``seats``. ``lost`` is told, in these threads, which seat is lost, why, and whether it had
    joined before."""

    def __init__(
        self,
        seats: Sequence[S],
        lost: Callable[[S, SeatLost, bool], None] = lambda seat, error, joined: None,
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        self._seats = seats
        self._lost = lost
        self._again_seconds = again_seconds
        self._states = dict.fromkeys(range(len(seats)), _State.JOINING)
        self._waiting: deque[_Piece[S]] = deque()
        self._busy = 0
        self._last_loss: SeatLost | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []

    def ask(self, work: Callable[[S], R], first: bool = False) -> Future[R]:
        """Have one of the seats do the work, ``first`` of all that waits.

        It ends with :class:`SeatLost` if nobody is there to do it, or too many were lost over it.
        """
        piece: _Piece[S] = _Piece(work)
        with self._changed:
            (self._waiting.appendleft if first else self._waiting.append)(piece)
            if not self._threads:
                self._start()
            self._call_back()
            self._changed.notify_all()
        return piece.done

    def forget(self, interrupt: bool = False) -> None:
        """Leave undone what waits, and return when nobody is at work; ``interrupt`` what is being done."""
        with self._changed:
            self._drop()
            for seat in self._seats if interrupt else ():
                seat.interrupt()
            while self._busy:
                self._changed.wait(self._again_seconds)
                self._drop()  # what a seat that was lost was at is there again

    def close(self) -> None:
        """End all threads. May be repeated."""
        with self._changed:
            self._closed = True
            self._drop()
            self._changed.notify_all()
        for seat in self._seats:
            seat.leave()
        for thread in self._threads:
            thread.join()

    # ---- what a seat's thread does ----

    def _serve(self, number: int) -> None:
        seat = self._seats[number]
        while self._may_join(number):
            try:
                seat.join()
                self._enter(number, _State.HERE)
                while (piece := self._next()) is not None:
                    self._do(piece, seat)
            except SeatLost as error:
                self._leave(number, error)
            except MeasureError as error:
                self._leave(number, SeatLost(str(error)))
            except Exception as error:  # noqa: BLE001  whatever it is, nobody may wait for this seat
                self._leave(number, SeatRefused(f"{type(error).__name__}: {error}"))

    def _do(self, piece: _Piece[S], seat: S) -> None:
        """Do it. Raises :class:`SeatLost` if the seat is; another one does it then."""
        try:
            done = piece.work(seat)
        except SeatLost as error:
            self._hand_over(piece, error)
            raise
        except BaseException as error:  # noqa: BLE001  it is raised where the work was asked for
            piece.done.set_exception(error)
        else:
            piece.done.set_result(done)
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _hand_over(self, piece: _Piece[S], error: SeatLost) -> None:
        piece.breaks += error.begun
        piece.handovers += 1
        if piece.breaks >= MOST_BREAKS:
            piece.done.set_exception(WorkBroke(f"{piece.breaks} were lost over it, at last: {error}", begun=True))
            return
        if piece.handovers >= MOST_HANDOVERS:
            piece.done.set_exception(error)
            return
        with self._changed:
            self._waiting.appendleft(piece)

    def _next(self) -> _Piece[S] | None:
        """What to do next, once there is something; ``None`` when all is over."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            self._busy += 1
            return self._waiting.popleft()

    def _may_join(self, number: int) -> bool:
        """Wait until the seat is to join; whether it is."""
        again = monotonic() + self._again_seconds
        with self._changed:
            while not self._closed and self._states[number] is not _State.JOINING:
                left = again - monotonic()
                if self._states[number] is _State.AWAY and left <= 0:
                    self._states[number] = _State.JOINING
                else:
                    self._changed.wait(left if left > 0 else None)
            return not self._closed

    def _enter(self, number: int, state: _State) -> None:
        with self._changed:
            self._states[number] = state
            self._changed.notify_all()

    def _leave(self, number: int, error: SeatLost) -> None:
        """A seat that was there joins anew at once; one that could not join comes back later."""
        was_here = self._states[number] is _State.HERE
        if not self._closed:
            self._lost(self._seats[number], error, was_here)
        with self._changed:
            self._last_loss = error
            if isinstance(error, SeatRefused):
                self._states[number] = _State.OUT
            else:
                self._states[number] = _State.JOINING if was_here else _State.AWAY
            if not self._any(_State.HERE, _State.JOINING):
                while self._waiting:
                    self._waiting.popleft().done.set_exception(error)
            self._changed.notify_all()

    # ---- with the lock held ----

    def _start(self) -> None:
        """Seats join when there is work for the first time: that none can is told to whoever waits for it."""
        for number in range(len(self._seats)):
            name = f"colt-seat-{number}"
            self._threads.append(threading.Thread(target=self._serve, args=(number,), name=name, daemon=True))
            self._threads[-1].start()

    def _any(self, *states: _State) -> bool:
        return any(state in states for state in self._states.values())

    def _call_back(self) -> None:
        """If nobody is there, have everybody try to join now; say so if nobody ever will."""
        if self._any(_State.HERE, _State.JOINING):
            return
        away = [number for number, state in self._states.items() if state is _State.AWAY]
        for number in away:
            self._states[number] = _State.JOINING
        if not away and self._last_loss is not None:
            while self._waiting:
                self._waiting.popleft().done.set_exception(self._last_loss)

    def _drop(self) -> None:
        while self._waiting:
            self._waiting.pop().done.cancel()
