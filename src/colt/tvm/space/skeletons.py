"""The skeletons of a space's sketches and structures: each is read once, with what the edition's model saw."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from colt.analysis.skeleton import Skeleton
from colt.knobs import ROOT_LOCATION, LocationKnob, Schedule
from colt.tvm.space.edits import Take
from colt.tvm.space.plan import SketchPlan
from colt.tvm.space.plans import UNTUNED, Plans
from colt.tvm.space.provenance import trace_loops
from colt.tvm.space.realise import realise
from colt.tvm.space.replay import Replayer
from colt.tvm.space.skeleton import Origins, read_skeleton, read_structured

_INLINED_ONCE = 5
"""The last edition whose model sees what an inlined block does in one of its readers only."""
_WHOLE_VECTORS = 6
"""The last edition whose model takes dot instructions under other blocks' loops for computed whole."""
_IN_TURN = 9
"""The last edition whose model has epilogues wait for memory before the next sums begin."""
_CALLED_LIKE_NO_PART = 13
"""The last edition whose model took a part of a tile that moves had split again for a loop that no knob decides on."""


class Skeletons:
    """Those of the program ``mod``. ``vector_math``: what is built of schedules calls no library."""

    def __init__(self, mod: Any, replayer: Replayer, plans: Plans, edition: int, vector_math: bool) -> None:
        self._mod = mod
        self._replayer = replayer
        self._plans = plans
        self._edition = edition
        self._vector_math = vector_math
        self._read: dict[tuple[str, str], Skeleton] = {}

    def of(self, schedule: Schedule) -> Skeleton:
        """The skeleton of the schedule's sketch. Raises what :meth:`Plans.find` raises."""
        key = (schedule.variant, schedule.sketch)
        if key not in self._read:
            found = (
                read_skeleton(self._mod, (), ()) if schedule == UNTUNED else self._read_sketch(self._plans.find(*key))
            )
            self._read[key] = replace(
                found,
                inlined_once=self._edition <= _INLINED_ONCE,
                whole_vectors=self._edition <= _WHOLE_VECTORS,
                in_turn=self._edition <= _IN_TURN,
            )
        return self._read[key]

    def _read_sketch(self, plan: SketchPlan) -> Skeleton:
        vector_math = self._vector_math
        if plan.is_explicit:
            instance, loops = trace_loops(self._replayer, plan.trace, bool(plan.moved))
            return read_structured(instance.mod, loops, _knob_of(plan), vector_math=vector_math)
        movable = [isinstance(knob, LocationKnob) for knob in plan.knobs]
        values = [ROOT_LOCATION if moves else value for moves, value in zip(movable, plan.first, strict=True)]
        realised = realise(self._replayer, plan.trace, plan.decisions, [Take(v) for v in values], random.Random(0))
        instance, origins = realised.schedule, None
        if plan.moved and self._edition > _CALLED_LIKE_NO_PART:
            instance, loops = trace_loops(self._replayer, instance.trace, moved=True)
            origins = Origins(loops, _knob_of(plan))
        return read_skeleton(instance.mod, plan.knobs, realised.values, vector_math=vector_math, origins=origins)


def _knob_of(plan: SketchPlan) -> dict[int, int]:
    """The number of the knob that each instruction decides."""
    return {decision.position: number for number, decision in enumerate(plan.decisions)}
