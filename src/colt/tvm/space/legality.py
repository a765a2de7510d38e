"""Which compute locations are legal in which schedule, found by probing and remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from colt.knobs import Knob, LocationKnob, Value
from colt.tvm.space.plan import SketchPlan
from colt.tvm.space.realise import probe
from colt.tvm.space.recent import Recent
from colt.tvm.space.replay import Replayer


class Legality:
    """Legal locations, cached by all that they depend on: the sketch, the knob and the decisions before it."""

    def __init__(self, replayer: Replayer, cache_size: int) -> None:
        self._replayer = replayer
        self._known: Recent[tuple[str, str, int, tuple[Value, ...]], tuple[str, ...]] = Recent(cache_size)

    def knobs(self, plan: SketchPlan, values: tuple[Value, ...]) -> tuple[Knob, ...]:
        """The sketch's knobs with the locations legal at ``values``. Raises :class:`~colt.errors.Rejected`."""
        knobs = plan.knobs
        found = self.locations(plan, values, [n for n, knob in enumerate(knobs) if isinstance(knob, LocationKnob)])
        return tuple(
            replace(knob, locations=found[number]) if isinstance(knob, LocationKnob) else knob
            for number, knob in enumerate(knobs)
        )

    def knob(self, plan: SketchPlan, values: tuple[Value, ...], number: int) -> Knob:
        """The knob of this number, with its legal locations."""
        knob = plan.knobs[number]
        if not isinstance(knob, LocationKnob):
            return knob
        return replace(knob, locations=self.locations(plan, values, [number])[number])

    def locations(
        self, plan: SketchPlan, values: tuple[Value, ...], wanted: Sequence[int]
    ) -> dict[int, tuple[str, ...]]:
        """The legal locations of the ``wanted`` knobs, by number."""
        keys = {number: (plan.variant, plan.name, number, _before(plan, values, number)) for number in wanted}
        found = {number: legal for number, key in keys.items() if (legal := self._known.get(key)) is not None}
        missing = [number for number in wanted if number not in found]
        if missing:
            found |= probe(self._replayer, plan.trace, plan.decisions, values, missing)
            for number in missing:
                self._known.put(keys[number], found[number])
        return found


def _before(plan: SketchPlan, values: tuple[Value, ...], number: int) -> tuple[Value, ...]:
    """The earlier values that the program's state at this knob depends on."""
    return tuple(
        value for decision, value in zip(plan.decisions[:number], values[:number], strict=True) if decision.structural
    )
