"""The toy space as a prompt's briefing, and observations of it."""

from __future__ import annotations

from collections.abc import Sequence

from colt.knobs import Knob, Schedule
from colt.proposers.language.prompt import Profile
from colt.search.toy import ToyScorer, ToySpace
from colt.search.types import MemberSpec, Observation
from colt.testing import Situation, situations

ACTING = MemberSpec("middle", 70.0)


class ToyBriefing:
    machine = "two threads of nothing in particular"
    program = "C[i:64, j:64] = nothing"
    sketches = "## plain/flat and plain/cached"
    flops = 2_000_000
    applies_sketches = False

    def __init__(self, space: ToySpace) -> None:
        self._sketches = {(sketch.variant, sketch.name): sketch for sketch in space.sketches}
        self.keys: Sequence[tuple[str, str]] = list(self._sketches)

    def knobs(self, variant: str, sketch: str) -> Sequence[Knob]:
        return self._sketches[variant, sketch].knobs

    def label(self, variant: str, sketch: str) -> str:
        return "with a buffer" if sketch == "cached" else ""

    def nest(self, schedule: Schedule) -> Sequence[str]:
        return ["C: parallel(i_0) j_0 [k:64]"]

    def unfolded(self, schedule: Schedule) -> str:
        return ""

    def time(self, schedule: Schedule, measured_us: float | None, profile: Profile | None = None) -> str:
        return "C 100 % (FMA)" + (f", {len(profile.parts)} parts timed" if profile else "")


def observed(space: ToySpace) -> list[Situation]:
    return list(situations(space, ToyScorer(space), ACTING, seed=0))


def observation(space: ToySpace, name: str = "several alternatives wanted") -> Observation:
    """The situation of that name; the usual one is a node of sketch ``flat`` at which 4 proposals are wanted."""
    return next(one.observation for one in observed(space) if one.name == name)
