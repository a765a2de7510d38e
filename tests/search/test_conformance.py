"""The conformance suites: the toy implementations pass them, and every rule catches who breaks it."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Edit, Jump, Schedule, Sketch
from colt.search.toy import ToyScorer, ToySpace
from colt.search.types import AppliedSchedule, MemberSpec, Observation, Proposal, ProposalError
from colt.testing import (
    PROPOSER_CHECKS,
    SCORER_CHECKS,
    SPACE_CHECKS,
    NotConforming,
    ProposerCase,
    ScorerCase,
    SpaceCase,
    check_proposer,
    check_scorer,
    check_space,
    rule,
)
from tests.helpers.toyworld import MEMBERS, MIDDLE, BestOf, LineSpace, VersionedScorer

SPACES = {"toy": ToySpace(), "toy 32": ToySpace(32), "line": LineSpace(9)}


@pytest.mark.parametrize("check", SPACE_CHECKS, ids=rule)
@pytest.mark.parametrize("space", SPACES)
def test_space(space: str, check: Callable[[SpaceCase], None]) -> None:
    check(SpaceCase(SPACES[space], seed=1, cases=10))


@pytest.mark.parametrize("check", SCORER_CHECKS, ids=rule)
@pytest.mark.parametrize("scorer", [ToyScorer, VersionedScorer])
def test_scorer(scorer: type, check: Callable[[ScorerCase], None]) -> None:
    check(ScorerCase(scorer(SPACES["toy"]), SPACES["toy"], cases=10))


@pytest.mark.parametrize("check", PROPOSER_CHECKS, ids=rule)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("tries", [1, 5])
def test_proposer(space: str, tries: int, check: Callable[[ProposerCase], None]) -> None:
    scorer = VersionedScorer(SPACES[space])  # type: ignore[arg-type]
    check(ProposerCase(lambda: BestOf(MIDDLE, SPACES[space], scorer, tries), SPACES[space], scorer))


def test_all_rules_at_once() -> None:
    space = ToySpace()
    check_space(space)
    check_scorer(ToyScorer(space), space)
    check_proposer(lambda: BestOf(MEMBERS[0], space, ToyScorer(space), 2), space, ToyScorer(space))


def test_the_suites_need_neither_pytest_nor_tvm() -> None:
    code = "import colt.testing, sys; sys.exit(any(name in sys.modules for name in ('pytest', 'tvm', 'numpy')))"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- spaces that break a rule ----


class TwinKnobs(ToySpace):
    def __init__(self) -> None:
        super().__init__()
        self.sketches = [dataclasses.replace(one, knobs=(*one.knobs, one.knobs[0])) for one in self.sketches]


class KnobbyUntuned(ToySpace):
    def knobs(self, schedule: Schedule) -> Any:
        return super().knobs(schedule) or self.sketches[0].knobs[:1]


class ReorderedKnobs(ToySpace):
    def knobs(self, schedule: Schedule) -> Any:
        return super().knobs(schedule)[::-1]


class UnrealisedSamples(ToySpace):
    def realise(self, schedule: Schedule) -> AppliedSchedule:
        applied = super().realise(schedule)
        return dataclasses.replace(applied, notes=("C.i: rounded",)) if applied.schedule.values else applied


class WrongSketch(ToySpace):
    def sample(self, rng: random.Random, sketch: Sketch | None = None) -> Schedule:
        return super().sample(rng, self.sketches[0])


class IllegalSamples(ToySpace):
    def sample(self, rng: random.Random, sketch: Sketch | None = None) -> Schedule:
        found = super().sample(rng, sketch)
        return found if sketch else dataclasses.replace(found, values=((1, 1, 1, 1), *found.values[1:]))


class ListValues(ToySpace):
    def sample(self, rng: random.Random, sketch: Sketch | None = None) -> Schedule:
        found = super().sample(rng, sketch)
        return dataclasses.replace(found, values=tuple(True if value == 0 else value for value in found.values))


class SilentRealise(ToySpace):
    """Realises some constructed values differently and does not say so."""

    def realise(self, schedule: Schedule) -> AppliedSchedule:
        applied = super().realise(schedule)
        if applied.schedule.values and applied.schedule.values[2] == 512:
            values = list(applied.schedule.values)
            values[2] = 64
            return AppliedSchedule(Schedule(applied.schedule.variant, applied.schedule.sketch, tuple(values)))
        return applied


class TrustingRealise(ToySpace):
    def realise(self, schedule: Schedule) -> AppliedSchedule:
        try:
            return super().realise(schedule)
        except IllegalEdit:
            return AppliedSchedule(schedule)


class SilentEdits(ToySpace):
    def apply(self, schedule: Schedule, transformation: Any, rng: random.Random) -> AppliedSchedule:
        super().apply(schedule, transformation, rng)
        kept = tuple(step for step in transformation if isinstance(step, Jump))
        return super().apply(schedule, kept, rng)


class FirstEditOnly(ToySpace):
    def apply(self, schedule: Schedule, transformation: Any, rng: random.Random) -> AppliedSchedule:
        whole = super().apply(schedule, transformation, rng)
        jumps = any(isinstance(step, Jump) for step in transformation)
        return whole if jumps else super().apply(schedule, transformation[:1], rng)


class OpenEditsDoNothing(ToySpace):
    def apply(self, schedule: Schedule, transformation: Any, rng: random.Random) -> AppliedSchedule:
        super().apply(schedule, transformation, rng)
        done = tuple(step for step in transformation if not (isinstance(step, Edit) and step.value is None))
        return super().apply(schedule, done, rng)


class ForgetfulJumps(ToySpace):
    def apply(self, schedule: Schedule, transformation: Any, rng: random.Random) -> AppliedSchedule:
        super().apply(schedule, transformation, rng)
        jumps = any(isinstance(step, Jump) for step in transformation)
        return super().apply(self.untuned if jumps else schedule, transformation, rng)


class LostEdits(ToySpace):
    """Of a jump with edits, does the jump alone."""

    def apply(self, schedule: Schedule, transformation: Any, rng: random.Random) -> AppliedSchedule:
        whole = super().apply(schedule, transformation, rng)
        jumps = tuple(step for step in transformation if isinstance(step, Jump))
        return super().apply(schedule, jumps, rng) if jumps else whole


class TypeErrors(ToySpace):
    def apply(self, schedule: Schedule, transformation: Any, rng: random.Random) -> AppliedSchedule:
        try:
            return super().apply(schedule, transformation, rng)
        except IllegalEdit as error:
            raise TypeError(str(error)) from error


class ForgivingEdits(ToySpace):
    """Mends tiles instead of refusing them."""

    def apply(self, schedule: Schedule, transformation: Any, rng: random.Random) -> AppliedSchedule:
        try:
            return super().apply(schedule, transformation, rng)
        except IllegalEdit:
            return AppliedSchedule(schedule, ("kept as it was",))


class IllegalAtRandom(ToySpace):
    def random_transformation(self, schedule: Schedule, rng: random.Random) -> Any:
        return (Edit("C.i", (3, 1, 1, 1)),)


class NothingAtRandom(ToySpace):
    def random_transformation(self, schedule: Schedule, rng: random.Random) -> Any:
        step = super().random_transformation(schedule, rng)
        return step if schedule == self.untuned else (Edit("unroll", schedule.values[2]),)


class WildRollouts(ToySpace):
    def perturb(self, schedule: Schedule, rng: random.Random) -> Schedule:
        return super().perturb(super().perturb(super().perturb(schedule, rng), rng), rng)


class IdleRollouts(ToySpace):
    def perturb(self, schedule: Schedule, rng: random.Random) -> Schedule:
        return schedule


class OwnDice(ToySpace):
    def perturb(self, schedule: Schedule, rng: random.Random) -> Schedule:
        return super().perturb(schedule, random.Random())


class GlobalDice(ToySpace):
    def perturb(self, schedule: Schedule, rng: random.Random) -> Schedule:
        random.random()
        return super().perturb(schedule, rng)


@pytest.mark.parametrize(
    ("space", "broken"),
    [
        (TwinKnobs, "sketches and their knobs have unique names"),
        (KnobbyUntuned, "the untuned program has no sketch and no knobs"),
        (ReorderedKnobs, "a schedules knobs are those of its sketch"),
        (UnrealisedSamples, "samples are legal and realised"),
        (WrongSketch, "samples are legal and realised"),
        (IllegalSamples, "samples of no particular sketch are of any"),
        (ListValues, "schedules are plain data"),
        (SilentRealise, "schedules can be constructed from values"),
        (TrustingRealise, "illegal schedules are refused"),
        (SilentEdits, "an edit to a neighbouring value gives that value"),
        (OpenEditsDoNothing, "an open edit changes its knob"),
        (FirstEditOnly, "several edits are carried out together"),
        (ForgetfulJumps, "a jump leads to its sketch"),
        (LostEdits, "a jump may come with edits of its target"),
        (TypeErrors, "illegal edits raise illegal edit"),
        (ForgivingEdits, "illegal edits raise illegal edit"),
        (IllegalAtRandom, "random transformations are legal"),
        (NothingAtRandom, "random transformations are legal"),
        (WildRollouts, "rollouts stay in the sketch and legal"),
        (IdleRollouts, "rollouts stay in the sketch and legal"),
        (OwnDice, "equal generators give equal answers"),
        (GlobalDice, "equal generators give equal answers"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_space_that_breaks_a_rule_is_caught_by_it(space: type[ToySpace], broken: str) -> None:
    check = next(check for check in SPACE_CHECKS if rule(check) == broken)
    with pytest.raises(NotConforming):
        check(SpaceCase(space(), cases=10))


def test_every_rule_of_spaces_is_broken_by_somebody() -> None:
    marks = test_a_space_that_breaks_a_rule_is_caught_by_it.pytestmark  # type: ignore[attr-defined]
    assert {broken for _, broken in marks[0].args[1]} == {rule(check) for check in SPACE_CHECKS}


# ---- scorers that break a rule ----


class Shifting(ToyScorer):
    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        return [latency + len(schedules) for latency in super().predict(schedules)]


class Zero(ToyScorer):
    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        return [0.0 for _ in schedules]


class Restless(ToyScorer):
    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        self.version += "'"
        return super().predict(schedules)


@pytest.mark.parametrize("scorer", [Shifting, Zero, Restless])
def test_a_scorer_that_breaks_a_rule_is_caught(scorer: type[ToyScorer]) -> None:
    with pytest.raises(NotConforming):
        check_scorer(scorer(ToySpace()), ToySpace())


# ---- proposers that break a rule ----

SPACE = ToySpace()
SCORER = ToyScorer(SPACE)


class Good(BestOf):
    def __init__(self) -> None:
        super().__init__(MIDDLE, SPACE, SCORER, 2)


class Nameless(Good):
    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "spec", MemberSpec("", 0.0))


class Mute(Good):
    def propose(self, observation: Observation) -> Proposal:
        raise ProposalError("no")


class Crashing(Good):
    def propose(self, observation: Observation) -> Proposal:
        if observation.failed is not None:
            raise KeyError("failed")
        return super().propose(observation)


class CrashingWithoutPredictions(Good):
    def propose(self, observation: Observation) -> Proposal:
        assert observation.node.predicted_us is not None
        return super().propose(observation)


class WantsNews(Good):
    """Counts on there being something new."""

    def propose(self, observation: Observation) -> Proposal:
        rng = random.Random(observation.seed)
        for _ in range(99):
            answer = super().propose(dataclasses.replace(observation, seed=rng.randrange(1 << 30)))
            found = SPACE.apply(observation.node.schedule, answer.transformations[0], rng).schedule
            if found not in observation.known:
                return answer
        raise RuntimeError("nothing new")


class Stranger(Good):
    def propose(self, observation: Observation) -> Proposal:
        return dataclasses.replace(super().propose(observation), next_member="somebody else")


class PicksAPartner(Good):
    """Never thought of being alone."""

    def propose(self, observation: Observation) -> Proposal:
        others = [member.spec.name for member in observation.members if member.spec != self.spec]
        return dataclasses.replace(super().propose(observation), next_member=(others or ["nobody"])[0])


class Talkative(Good):
    def propose(self, observation: Observation) -> Proposal:
        return super().propose(dataclasses.replace(observation, proposals_wanted=9))


class SaysNothing(Good):
    def propose(self, observation: Observation) -> Proposal:
        return dataclasses.replace(super().propose(observation), transformations=((),))


class AlwaysIllegal(Good):
    def propose(self, observation: Observation) -> Proposal:
        return dataclasses.replace(super().propose(observation), transformations=((Edit("no such knob", 1),),))


class Moody(Good):
    def propose(self, observation: Observation) -> Proposal:
        return super().propose(dataclasses.replace(observation, seed=random.SystemRandom().randrange(1 << 30)))


class Remembering(Good):
    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "asked", 0)

    def propose(self, observation: Observation) -> Proposal:
        object.__setattr__(self, "asked", self.asked + 1)  # type: ignore[attr-defined]
        return super().propose(dataclasses.replace(observation, seed=self.asked))  # type: ignore[attr-defined]


class SharedDice(Good):
    def propose(self, observation: Observation) -> Proposal:
        random.seed(observation.seed)
        return super().propose(observation)


class Meddling(Good):
    def propose(self, observation: Observation) -> Proposal:
        answer = super().propose(observation)
        object.__setattr__(observation, "proposals_wanted", 7)
        return answer


class TiredInTheTree(Good):
    """Fine in every situation, but not in a real search."""

    def propose(self, observation: Observation) -> Proposal:
        if observation.node.by in ("random", "the-partner"):
            raise ZeroDivisionError
        return super().propose(observation)


class Repeating(Good):
    def propose(self, observation: Observation) -> Proposal:
        answer = super().propose(dataclasses.replace(observation, proposals_wanted=1))
        return dataclasses.replace(answer, transformations=answer.transformations * observation.proposals_wanted)


class Explosive(Good):
    """What it says is no edit at all."""

    def propose(self, observation: Observation) -> Proposal:
        return dataclasses.replace(super().propose(observation), transformations=((Edit({}, 1),),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("proposer", "broken"),
    [
        (Nameless, "it has a name and a size"),
        (Mute, "it answers every situation or says why not"),
        (Crashing, "it answers every situation or says why not"),
        (CrashingWithoutPredictions, "it answers every situation or says why not"),
        (WantsNews, "it comes to an end where every schedule is known"),
        (Stranger, "it names a next member of the pool"),
        (PicksAPartner, "it names a next member of the pool"),
        (Talkative, "it gives one to as many alternatives as wanted"),
        (SaysNothing, "it gives one to as many alternatives as wanted"),
        (Repeating, "it gives one to as many alternatives as wanted"),
        (Explosive, "its transformations apply or are refused properly"),
        (AlwaysIllegal, "its transformations apply or are refused properly"),
        (Moody, "the same observation gets the same answer"),
        (Remembering, "the same observation gets the same answer"),
        (SharedDice, "it changes nothing but itself"),
        (Meddling, "it changes nothing but itself"),
        (TiredInTheTree, "it drives a search"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_proposer_that_breaks_a_rule_is_caught_by_it(proposer: type[Good], broken: str) -> None:
    check = next(check for check in PROPOSER_CHECKS if rule(check) == broken)
    with pytest.raises((NotConforming, ZeroDivisionError, RuntimeError)):
        check(ProposerCase(proposer, SPACE, SCORER))


def test_every_rule_of_proposers_is_broken_by_somebody() -> None:
    marks = test_a_proposer_that_breaks_a_rule_is_caught_by_it.pytestmark  # type: ignore[attr-defined]
    assert {broken for _, broken in marks[0].args[1]} == {rule(check) for check in PROPOSER_CHECKS}


def test_rejections_are_no_offence() -> None:
    """A space may reject some of everything."""

    class Picky(ToySpace):
        def realise(self, schedule: Schedule) -> AppliedSchedule:
            applied = super().realise(schedule)
            if 512 in applied.schedule.values:
                raise Rejected("512 is too much")
            return applied

    check_space(Picky())
