"""Structures: sketches that moves made of others, or of the untuned program.

A structure is the trace of what it was made of, with the primitives of its moves behind: its knobs are found in it as
in any other, those of its origin among them. It is made anew wherever its name is known, in a replay or in a later run.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from colt.errors import IllegalEdit, Rejected
from colt.knobs import LocationKnob
from colt.moves import MOST_MOVES, MOST_TEXT, Move, show_moves, structure_name
from colt.tvm.dots import Intrinsics
from colt.tvm.moves.make import Making, Sketching
from colt.tvm.moves.names import Names, axis_name
from colt.tvm.moves.soundness import require_sound
from colt.tvm.programs.program import fingerprint
from colt.tvm.space.edits import Other, Take, Wish
from colt.tvm.space.extract import extract
from colt.tvm.space.plan import SketchPlan
from colt.tvm.space.provenance import AxisPart, Provenance, trace_loops
from colt.tvm.space.realise import realise
from colt.tvm.space.recent import Recent
from colt.tvm.space.replay import Replayer
from colt.util.streams import keeping_remarks

_BEGUN = 16
"""Schedules that are kept to make further moves on: many moves are tried on one structure."""


@dataclass(frozen=True, slots=True)
class MadeSoFar:
    """A schedule on which moves were made, never changed itself, and what each of them did, in one line."""

    making: Making
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Structures:
    """Makes structures. ``intrinsics`` are those that the target has; ``derive`` gives the traces of the sketches
    that a program has, by name, if any can be applied."""

    replayer: Replayer
    intrinsics: Intrinsics
    derive: Callable[[Any], Mapping[str, Any]] | None = None
    _begun: Recent[tuple[str, str, tuple[Move, ...]], MadeSoFar] = field(default_factory=lambda: Recent(_BEGUN))
    """By the sketch, and the moves that were made on it."""
    _identities: dict[tuple[str, str], str] = field(default_factory=dict)
    """Those of sketches, and of the untuned program."""

    @keeping_remarks()
    def made(self, base: SketchPlan, moves: Sequence[Move]) -> SketchPlan:
        """The structure that moves make of a sketch, or of the untuned program.

        Raises
        ------
        IllegalEdit
            A move is not allowed, there are too many, or they change nothing.
        Rejected
            TVM refuses a move, or would compute something else.
        """
        if len(moves) > MOST_MOVES or len(show_moves(moves)) > MOST_TEXT:
            raise IllegalEdit(f"a structure takes {MOST_MOVES} moves in {MOST_TEXT} characters at most")
        done = self.moved(base, moves)
        making, schedule = done.making, done.making.names.schedule
        require_sound(schedule.mod)
        extraction = extract(self.replayer, schedule.trace)
        plan = replace(
            base,
            name=structure_name(base.name, moves),
            trace=schedule.trace,
            decisions=extraction.decisions,
            first=extraction.values,
            explicit=base.is_explicit,
            moved=done.told,
            loops=making.names.loops(),
        )
        plan = replace(plan, identity=self.identify(plan))
        if plan.identity == self.identity_of_base(base):
            raise IllegalEdit(f"{show_moves(moves)} changes nothing")
        return plan

    def moved(self, base: SketchPlan, moves: Sequence[Move], keep: bool = False) -> MadeSoFar:
        """A copy of what moves make of a sketch, or of the untuned program, with the names that prompts have for its
        loops. ``keep``: more moves will be tried on it. Raises as :meth:`Making.told`."""
        key, moves = (base.variant, base.name), tuple(moves)
        kept = ((count, self._begun.get((*key, moves[:count]))) for count in range(len(moves), -1, -1))
        count, begun = next((one for one in kept if one[1] is not None), (0, None))
        if begun is None:
            begun = MadeSoFar(self._begin(base))
            self._begun.put((*key, ()), begun)
        making = begun.making.copy()
        done = MadeSoFar(making, (*begun.told, *(making.told(move) for move in moves[count:])))
        if keep and count < len(moves):
            self._begun.put((*key, moves), MadeSoFar(making.copy(), done.told))
        return done

    def _begin(self, base: SketchPlan) -> Making:
        sketching = None if self.derive is None else Sketching(self.derive, self._named)
        return Making(self._named(base.trace), not base.decisions, self.intrinsics, sketching)

    def _named(self, trace: Any) -> Names:
        schedule, origins = trace_loops(self.replayer, trace)
        return Names(schedule, part_names(origins))

    def identity_of_base(self, base: SketchPlan) -> str:
        """What :meth:`identify` gives for a sketch, or for the untuned program; worked out once."""
        key = base.variant, base.name
        if key not in self._identities:
            self._identities[key] = self.identify(base)
        return self._identities[key]

    def identify(self, plan: SketchPlan) -> str:
        """Tells structures apart: 16 hexadecimal digits of the knobs, and of the program for two choices of them."""
        found = [knob.name for knob in plan.knobs]
        rng = random.Random(0)
        other: list[Wish] = [Other() if isinstance(one, LocationKnob) else Take(one.sample(rng)) for one in plan.knobs]
        for wishes in ([Take(value) for value in plan.first], other if plan.knobs else None):
            if wishes is None:
                continue
            try:
                found.append(fingerprint(realise(self.replayer, plan.trace, plan.decisions, wishes, rng).schedule.mod))
            except Rejected as error:
                found.append(str(error))
        return hashlib.sha256("\n".join(found).encode()).hexdigest()[:16]


def part_names(origins: Provenance) -> dict[Any, str]:
    """What loops are called whose parts knobs decide, by loop variable: ``j_1`` is part 1 of the knob for ``j``, and
    ``j`` what was split off before. TVM calls them ``j_0_1`` and ``j_1``."""
    tiled = {(part.block, part.iter) for parts in origins.values() for part in parts if part.tile is not None}

    def name(part: AxisPart) -> str | None:
        axis = axis_name(part.iter)
        if part.tile is not None:
            return f"{axis}_{part.part}"
        return axis if (part.block, part.iter) in tiled else None

    found = {}
    for variable, parts in origins.items():
        names = [name(part) for part in parts]
        told = [one for one in names if one is not None]
        if told and len(told) == len(names):
            found[variable] = "_".join(told)
    return found
