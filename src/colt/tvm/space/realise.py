"""Wishes carried out: one replay takes each knob's decision, and the realised values are read back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from colt.errors import Rejected
from colt.knobs import INLINE_LOCATION, ROOT_LOCATION, CategoryKnob, Knob, LocationKnob, TileKnob, Value, show_value
from colt.tvm.space.edits import At, Keep, Other, Take, Wish
from colt.tvm.space.extract import KnobDecision, realised_values
from colt.tvm.space.locations import INLINE, ROOT, LoopNest, consumer_nest, is_legal, legal_indices
from colt.tvm.space.replay import Replayer

_MAX_SEED = 2**31 - 1  # the limit of TVM's generator


@dataclass(frozen=True, slots=True)
class Realised:
    """``schedule`` is TVM's, before the post-processors. Knobs are given by number.

    ``illegal``: the legal locations of each knob whose edit asked for an illegal one. ``unknown``: all locations of
    each knob whose value, asked for or not, names none of them. ``stuck``: the knobs that should take another location
    but have only one.
    """

    schedule: Any
    values: tuple[Value, ...]
    illegal: dict[int, tuple[str, ...]]
    unknown: dict[int, tuple[str, ...]]
    stuck: tuple[int, ...]


def realise(
    replayer: Replayer, trace: Any, decisions: tuple[KnobDecision, ...], wishes: Sequence[Wish], rng: random.Random
) -> Realised:
    """Replay ``trace`` with ``wishes``.

    Raises
    ------
    Rejected
        A primitive failed, or TVM changed a legal tile because its loop's extent depends on other knobs.
    """
    chooser = _Chooser(decisions, wishes, rng, replayer.sound)
    open_ended = any(not isinstance(wish, Take) for wish in wishes)
    seed = rng.randrange(1, _MAX_SEED) if open_ended else 1
    schedule = replayer.replay(trace, seed, chooser.decide)
    values = realised_values(decisions, schedule, chooser.nests)
    for decision, wish, value in zip(decisions, wishes, values, strict=True):
        if not isinstance(decision.knob, LocationKnob) and isinstance(wish, Take) and wish.value != value:
            raise Rejected(f"{decision.knob.name} = {show_value(wish.value)} became {show_value(value)} in TVM")
    return Realised(schedule, values, chooser.illegal, chooser.unknown, tuple(chooser.stuck))


def probe(
    replayer: Replayer, trace: Any, decisions: tuple[KnobDecision, ...], values: Sequence[Value], wanted: Sequence[int]
) -> dict[int, tuple[str, ...]]:
    """For each of the ``wanted`` knobs, the locations that are legal in the schedule of these values.

    This is expensive: it takes one replay, and for each legal location TVM checks all locations.
    """
    chooser = _Chooser(
        decisions, [Take(value) for value in values], random.Random(0), replayer.sound, frozenset(wanted)
    )
    replayer.replay(trace, 1, chooser.decide)
    return chooser.legal


class _Chooser:
    """Decides each knob's instruction by the knob's wish."""

    def __init__(
        self,
        decisions: tuple[KnobDecision, ...],
        wishes: Sequence[Wish],
        rng: random.Random,
        sound: bool,
        probed: frozenset[int] = frozenset(),
    ) -> None:
        self._numbers = {decision.position: number for number, decision in enumerate(decisions)}
        self._knobs: list[Knob] = [decision.knob for decision in decisions]
        self._wishes = wishes
        self._rng = rng
        self._sound = sound
        self._probed = probed
        self.nests: dict[int, LoopNest] = {}
        self.legal: dict[int, tuple[str, ...]] = {}
        self.illegal: dict[int, tuple[str, ...]] = {}
        self.unknown: dict[int, tuple[str, ...]] = {}
        self.stuck: list[int] = []

    def decide(self, position: int, schedule: Any, live: Any, decision: Any) -> Any:
        number = self._numbers.get(position)
        if number is None:
            return decision
        wish = self._wishes[number]
        match self._knobs[number]:
            case TileKnob() if isinstance(wish, Take) and isinstance(wish.value, tuple):
                return list(wish.value)
            case CategoryKnob(candidates=candidates) if isinstance(wish, Take) and isinstance(wish.value, int):
                return candidates.index(wish.value)
            case _:
                return self._locate(number, position, schedule, live[0])

    def _locate(self, number: int, position: int, schedule: Any, block: Any) -> int | None:
        """TVM's number for the location; ``None`` lets TVM sample one."""
        wish = self._wishes[number]
        if number not in self._probed:
            if isinstance(wish, Take | Keep) and wish.value == ROOT_LOCATION:
                return ROOT  # always legal; nothing to look up
            if isinstance(wish, Take) and wish.value == INLINE_LOCATION and not wish.asked:
                return INLINE  # becomes the root where it is not legal
        nest = self.nests[position] = consumer_nest(schedule, block, self._sound)
        if number in self._probed:
            self.legal[number] = _legal_names(schedule, block, nest)
        if wish == Other(None):
            return self._any(schedule, block, nest)
        if isinstance(wish, At):
            known = INLINE <= wish.index < len(nest.loops)
            legal = known and is_legal(schedule, block, wish.index, nest)
            return wish.index if legal else self._any(schedule, block, nest)
        index = nest.index(str(wish.value))
        if isinstance(wish, Other):
            return self._other(number, str(wish.value), schedule, block, nest)
        if isinstance(wish, Keep):
            legal = index is not None and is_legal(schedule, block, index, nest)
            return index if legal else self._any(schedule, block, nest)
        if wish.asked and (index is None or not is_legal(schedule, block, index, nest)):
            self.illegal[number] = _legal_names(schedule, block, nest)
        if index is None:
            self.unknown[number] = (ROOT_LOCATION, INLINE_LOCATION, *nest.loops)
            return ROOT
        return min(index, nest.last)

    def _any(self, schedule: Any, block: Any, nest: LoopNest) -> int | None:
        """Any legal location. TVM samples it, unless it would choose among unsound ones as well."""
        if nest.last >= len(nest.loops):
            return None
        return self._rng.choice(legal_indices(schedule, block, nest))

    def _other(self, number: int, present: str, schedule: Any, block: Any, nest: LoopNest) -> int:
        options = [index for index in legal_indices(schedule, block, nest) if nest.name(index) != present]
        if not options:
            self.stuck.append(number)
            return ROOT
        return self._rng.choice(options)


def _legal_names(schedule: Any, block: Any, nest: LoopNest) -> tuple[str, ...]:
    return tuple(nest.name(index) for index in legal_indices(schedule, block, nest))
