"""The items of one call, dealt to the hosts.

Hosts that are free take what waits: several candidates at first, which they build side by side, and fewer towards the
end, so that all are done at about the same time. What a lost host leaves is dealt again, before all else. The driver
takes the answers in the order of the items, whichever host has them and whenever they come.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from colt.errors import MeasureError
from colt.fleet.wire import HostAccounts, Item
from colt.measure.base import Limits
from colt.measure.muster import HostSeen
from colt.util.interrupt import ENDLESS_S

MOST_LOST = 2
"""An item that was under way on so many hosts when they were lost is to blame, and is not tried again."""


@dataclass(frozen=True, slots=True)
class Blamed:
    """No answer: the item was under way on every host that was lost, and why the last was."""

    why: str


@dataclass(frozen=True, slots=True)
class HostTold:
    """What a host has answered, and what its accounts grew by meanwhile."""

    host: HostSeen
    item: Item
    spent: HostAccounts


@dataclass(slots=True)
class Deal:
    """Items that one host does, in order, by their numbers."""

    numbers: list[int]
    items: list[Any]
    begun: bool = False
    """Whether the host has taken them up."""
    done: int = 0
    """How many of them have an answer."""
    libraries: dict[int, Any] = field(default_factory=dict)
    """What others have built of them, by place: bytes in Ray's object store, which only the host reads."""


@dataclass(slots=True)
class Share:
    """Items of one ``kind``. The driver adds, closes, and takes the answers; hosts are dealt, answer, and are lost.

    ``alone`` keeps all of it to the first host that is there: what is compared has to be measured on one.
    """

    kind: str
    limits: Limits
    arguments: Callable[[HostSeen, Sequence[Any]], tuple[Any, ...]]
    """What a host is asked with, for some of the items."""
    answered_by: Callable[[Item], bool]
    """Whether that can be the answer to an item."""
    runs: int = 1
    """How many programs a host builds and times at most before it says anything new."""
    alone: bool = False
    _items: list[Any] = field(default_factory=list)
    _waiting: deque[int] = field(default_factory=deque)
    _answers: dict[int, HostTold | Blamed] = field(default_factory=dict)
    _answered: set[int] = field(default_factory=set)
    _built: dict[int, Any] = field(default_factory=dict)
    """What others have built of items that wait, or ``None`` while they build it."""
    _losses: dict[int, int] = field(default_factory=dict)
    _suspects: set[int] = field(default_factory=set)
    """Items that a lost host had: any of them may be what it was lost by."""
    _closed: bool = False
    _given_up: bool = False
    _problem: str = ""
    _changed: threading.Condition = field(default_factory=threading.Condition)

    # ---- the driver ----

    def add(self, item: Any) -> int:
        """One more item; its number."""
        with self._changed:
            self._closed = False
            self._waiting.append(len(self._items))
            self._items.append(item)
            return len(self._items) - 1

    def close(self) -> None:
        """There are no more for the time being."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def give_up(self) -> None:
        """Nobody waits for the answers any more."""
        with self._changed:
            self._given_up = self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def fail(self, problem: str) -> None:
        """No host is left to answer: whoever waits is told."""
        with self._changed:
            self._problem = problem
            self._changed.notify_all()

    def answer(self, number: int) -> HostTold | Blamed:
        """The answer to an item; waits for it. Raises :class:`MeasureError` if there is no host."""
        with self._changed:
            while number not in self._answers:
                if self._problem:
                    raise MeasureError(self._problem)
                self._changed.wait(ENDLESS_S)
            return self._answers.pop(number)

    # ---- hosts ----

    @property
    def over(self) -> bool:
        """Whether no host is needed any more."""
        with self._changed:
            return self._given_up or (self._closed and len(self._answered) == len(self._items))

    @property
    def given_up(self) -> bool:
        """Whether nobody waits for the answers."""
        return self._given_up

    def deal(self, hosts: int, workers: int, ahead: int) -> Deal | None:
        """What a host does next; ``None`` if nothing waits. It builds with so many ``workers``, and ``ahead`` at most;
        ``hosts`` share the work."""
        with self._changed:
            waiting = len(self._waiting)
            few = waiting < (ahead if hosts == 1 else workers) and not self._closed
            if not waiting or few:
                return None
            count = 1 if self.kind != "measure" else dealt(waiting, hosts, workers, ahead)
            if not self._closed:
                count = max(count, min(workers, waiting))
            count = min(count, self._together())
            numbers = [self._waiting.popleft() for _ in range(count)]
            built = [self._built.pop(number, None) for number in numbers]
            libraries = {place: library for place, library in enumerate(built) if library is not None}
            return Deal(numbers, [self._items[number] for number in numbers], libraries=libraries)

    def deal_to_builder(self, hosts: int, most: int) -> Deal | None:
        """What a builder builds next: what waits longest from now on, since the hosts take what waits first."""
        with self._changed:
            known = self._built.keys() | self._suspects
            late = [number for number in list(self._waiting)[hosts:] if number not in known][-most:]
            if self.kind != "measure" or not late:
                return None
            self._built |= dict.fromkeys(late)
            return Deal(late, [self._items[number] for number in late])

    def built(self, number: int, library: Any) -> None:
        """A builder has built an item, which a host may have taken meanwhile; ``None`` if that came to nothing."""
        with self._changed:
            if library is not None and number in self._built and number in self._waiting:
                self._built[number] = library

    def take_out(self, number: int, answer: HostTold) -> None:
        """What became of an item is decided by building it, unless a host has taken it meanwhile."""
        with self._changed:
            if number in self._waiting:
                self._waiting.remove(number)
                self.told(number, answer)

    def told(self, number: int, answer: HostTold) -> None:
        """A host has done an item."""
        with self._changed:
            if number not in self._answered:
                self._answered.add(number)
                self._answers[number] = answer
                self._items[number] = None  # a run has many
            self._changed.notify_all()

    def give_back(self, deal: Deal, why: str, blame: bool = True) -> int:
        """A host was lost: what it had not done is dealt again, but an item that hosts die of. Returns how many are.

        Unless ``blame`` is false, any of them may be what it was lost by, whatever it was timing: it builds ahead. So
        they are dealt one by one from now on."""
        with self._changed:
            left = deal.numbers[deal.done :]
            if self._given_up or not left:
                return 0
            under_way, *_ = left
            if deal.begun and blame:
                self._losses[under_way] = self._losses.get(under_way, 0) + 1
                self._suspects.update(left)
            if self._losses.get(under_way, 0) >= MOST_LOST:
                left.remove(under_way)
                self._answered.add(under_way)
                self._answers[under_way] = Blamed(why)
            self._waiting.extendleft(reversed(left))
            self._changed.notify_all()
            return len(left)

    def _together(self) -> int:
        """How many of the items that wait may be dealt at once: no suspect with others."""
        ordinary = len(list(takewhile(lambda number: number not in self._suspects, self._waiting)))
        return max(1, ordinary)


def dealt(waiting: int, hosts: int, workers: int, ahead: int) -> int:
    """How many of the items that wait a host takes: half of its part, but as many as it builds at a time as long as
    there are so many for each. One that is alone takes all, up to ``ahead``."""
    if hosts == 1:
        return min(waiting, ahead)
    part = -(-waiting // hosts)
    return max(1, min(ahead, max(-(-part // 2), min(workers, part))))
