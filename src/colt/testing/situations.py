"""The situations that a proposer may meet: an observation of each kind that the search can make."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Schedule, Transformation
from colt.search.types import FailedProposal, MemberSpec, MemberView, NodeView, Observation, Progress, Scorer, Space
from colt.testing.cases import SpaceCase

OTHERS = (MemberSpec("the-small-one", 0.5), MemberSpec("the-large-one", 2000.0))
"""The other members of the pool."""


@dataclass(frozen=True, slots=True)
class Situation:
    """An observation, and what is special about it in words."""

    name: str
    observation: Observation


def situations(space: Space, scorer: Scorer, acting: MemberSpec, seed: int = 0, cases: int = 4) -> Iterator[Situation]:
    """One observation of each kind, then ``cases`` more at random schedules."""
    build = _Builder(space, scorer, acting, seed)
    yield Situation("at the root", build.at(()))
    starts = list(SpaceCase(space, seed, max(cases, len(space.sketches))).schedules("situations"))
    first = starts[0]
    yield Situation("at an opening", build.at((first,)))
    deep = build.line(first, 3)
    usual = build.at(deep, measured=True)
    yield Situation("with a history", usual)
    for start in starts[: len(space.sketches)]:
        yield Situation(f"in sketch {start.sketch}", build.at((start,), measured=True))
    yield Situation("nothing predicted or measured", _unscored(build.at(deep)))
    yield Situation("everything tried has crashed", build.crashed(usual))
    yield Situation("alone in the pool", dataclasses.replace(usual, members=usual.members[:1]))
    yield Situation("several alternatives wanted", dataclasses.replace(usual, proposals_wanted=4))
    at_root = build.at(())
    yield Situation("several openings wanted", dataclasses.replace(at_root, proposals_wanted=6))
    yield Situation("the budget is used up", dataclasses.replace(usual, progress=Progress(100, 100, 400)))
    yield Situation("the budget is unknown", dataclasses.replace(usual, progress=Progress(3, None, 9)))
    yield Situation("a course alteration", build.altered(usual))
    yield Situation("a course alteration at the root", build.altered(at_root))
    for index, start in enumerate(starts[:cases]):
        yield Situation(f"at random, {index + 1}", build.at(build.line(start, 1 + index % 3), measured=index % 2 == 0))


class _Builder:
    """Makes observations as the search would."""

    def __init__(self, space: Space, scorer: Scorer, acting: MemberSpec, seed: int) -> None:
        self._space = space
        self._scorer = scorer
        self._acting = acting
        self._rng = random.Random(f"{seed}/situations")
        self._ids = 0

    def line(self, schedule: Schedule, length: int) -> tuple[Schedule, ...]:
        """Up to ``length`` schedules, from ``schedule`` on, each a random edit away from the one before."""
        schedules = [schedule]
        for _ in range(50 * length):
            if len(schedules) == length:
                break
            step = self._child(schedules[-1])
            if step is not None and step[1] not in schedules:
                schedules.append(step[1])
        return tuple(schedules)

    def at(self, line: tuple[Schedule, ...], measured: bool = False) -> Observation:
        """The observation at the last schedule of ``line``, which starts below the root, with two children tried."""
        schedule = (self._space.untuned, *line)[-1]
        views = [self._view(step, (), measured) for step in (self._space.untuned, *line)][::-1]
        tried = [self._child(schedule) for _ in range(2)] if line else []
        children = tuple(self._view(child[1], child[0], measured) for child in tried if child is not None)
        leaders = sorted(views[:-1], key=lambda view: view.measured_us or 0.0) if measured else []
        return Observation(
            acting=self._acting,
            node=views[0],
            ancestors=tuple(views[1:3]),
            knobs=self._space.knobs(schedule),
            tried=children,
            best=tuple(leaders[:3]),
            members=tuple(self._record(member, measured) for member in (self._acting, *self._others())),
            progress=Progress(2 * measured, 100, 5),
            proposals_wanted=1,
            seed=self._rng.randrange(1 << 40),
            known=frozenset(view.schedule for view in (*views, *children)),
        )

    def altered(self, observation: Observation) -> Observation:
        """The same, but as a course alteration: a small member's proposal is to be bettered."""
        step = next(step for _ in range(100) if (step := self._child(observation.node.schedule)) is not None)
        child = self._view(step[1], step[0], measured=False)
        failed = FailedProposal(self._others()[0].name, dataclasses.replace(child, by=self._others()[0].name))
        known = frozenset([child.schedule, observation.node.schedule, *(view.schedule for view in observation.tried)])
        return dataclasses.replace(observation, failed=failed, tried=(*observation.tried, failed.child), known=known)

    def crashed(self, observation: Observation) -> Observation:
        """The same, but all trials have failed: those of the children tried, and there is no best schedule."""
        tried = tuple(dataclasses.replace(view, measured_us=math.inf) for view in observation.tried)
        return dataclasses.replace(observation, tried=tried, best=())

    def _others(self) -> list[MemberSpec]:
        return [member for member in OTHERS if member.name != self._acting.name]

    def _child(self, schedule: Schedule) -> tuple[Transformation, Schedule] | None:
        transformation = self._space.random_transformation(schedule, self._rng)
        try:
            return transformation, self._space.apply(schedule, transformation, self._rng).schedule
        except (IllegalEdit, Rejected):
            return None

    def _view(self, schedule: Schedule, transformation: Transformation, measured: bool) -> NodeView:
        self._ids += 1
        predicted = self._scorer.predict([schedule])[0]
        by = self._acting.name if transformation else "untuned"
        return NodeView(self._ids, schedule, by, transformation, predicted, predicted * 1.1 if measured else None)

    def _record(self, member: MemberSpec, measured: bool) -> MemberView:
        return MemberView(member, 4, 1, 2, 1, int(measured), int(measured), int(member.size_b > 100))


def _unscored(observation: Observation) -> Observation:
    """The same, but nothing is predicted or measured."""

    def blank(view: NodeView) -> NodeView:
        return dataclasses.replace(view, predicted_us=None, measured_us=None)

    return dataclasses.replace(
        observation,
        node=blank(observation.node),
        ancestors=tuple(blank(view) for view in observation.ancestors),
        tried=tuple(blank(view) for view in observation.tried),
    )
