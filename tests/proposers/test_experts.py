"""The built-in experts: the contract that any proposer keeps, and that each is better than the one below it."""

from __future__ import annotations

import random
import statistics

import pytest

from colt.errors import InputError
from colt.measure.base import Fate, Measurement
from colt.options import SearchConfig
from colt.proposers.experts import builtin
from colt.proposers.experts.architect import Architect
from colt.proposers.experts.routing import hit_rate, next_member
from colt.proposers.openings import BY_CHANCE, openings
from colt.search.search import Search
from colt.search.toy import ToyScorer, ToySpace
from colt.search.types import MemberSpec, MemberView, Proposer
from colt.testing import PROPOSER_CHECKS, ProposerCase, rule, situations

pytestmark = pytest.mark.usefixtures("thinking_fully")
SPACE = ToySpace(512)
SCORER = ToyScorer(SPACE)


def expert(name: str) -> Proposer:
    (made,) = builtin.make([name], SPACE, SCORER)
    return made


@pytest.mark.parametrize("check", PROPOSER_CHECKS, ids=rule)
@pytest.mark.parametrize("name", builtin.EXPERTS)
def test_experts_conform(name: str, check: object) -> None:
    check(ProposerCase(lambda: expert(name), SPACE, SCORER))  # type: ignore[operator]


def test_the_architect_constructs_nearly_the_best_schedule_of_the_scorer() -> None:
    architect = expert("architect")
    assert isinstance(architect, Architect)
    best = min(SPACE.latency_us(schedule) for schedule in architect.construct(8, random.Random(0)))
    assert best <= 1.3 * SPACE.optimum_us()  # the scorer itself is off by up to 1.3


def test_constructed_schedules_are_realised_and_differ() -> None:
    architect = expert("architect")
    assert isinstance(architect, Architect)
    made = architect.construct(8, random.Random(0))
    assert len(set(made)) == len(made) == 8
    assert all(SPACE.realise(schedule).schedule == schedule for schedule in made)


def gain(name: str) -> float:
    """Median predicted latency of the child over its node, in many situations."""
    proposer, ratios = expert(name), []
    for situation in situations(SPACE, SCORER, proposer.spec, seed=1, cases=40):
        here = situation.observation.node.schedule
        if situation.observation.failed or here == SPACE.untuned:
            continue
        (transformation, *_) = proposer.propose(situation.observation).transformations
        child = SPACE.apply(here, transformation, random.Random(0)).schedule
        before, after = SCORER.predict([here, child])
        ratios.append(after / before)
    return statistics.median(ratios)


def test_more_effort_finds_better_children() -> None:
    scout, tuner, architect = (gain(name) for name in builtin.DEFAULT)
    assert architect < tuner < scout


def view(name: str, size: float, hits: int, regressions: int) -> MemberView:
    return MemberView(MemberSpec(name, size), hits + regressions, 0, 0, 0, hits, regressions, 0)


def asked_next(models: list[MemberView]) -> str:
    (situation, *_) = situations(SPACE, SCORER, MemberSpec("large", 400.0), cases=1)
    import dataclasses

    observation = dataclasses.replace(situation.observation, members=tuple(models))
    names = [next_member(observation, random.Random(seed)) for seed in range(200)]
    return statistics.mode(names)


def test_the_smallest_member_that_is_likely_to_hit_is_asked_next() -> None:
    assert asked_next([view("small", 7, 9, 11), view("large", 400, 10, 10)]) == "small"
    assert asked_next([view("small", 7, 1, 19), view("large", 400, 10, 10)]) == "large"


def test_an_unknown_record_counts_as_even_odds() -> None:
    assert hit_rate(view("new", 7, 0, 0)) == 0.5


def test_openings_are_constructed_and_sampled() -> None:
    found = list(openings(SPACE, builtin.make(builtin.DEFAULT, SPACE, SCORER), SearchConfig(), random.Random(0)))
    makers = [by for _, by in found]
    assert makers.count("architect") == SearchConfig().constructed
    assert makers.count(BY_CHANCE) > SearchConfig().constructed


def test_a_pool_without_an_architect_opens_by_chance_alone() -> None:
    found = list(openings(SPACE, builtin.make(["scout"], SPACE, SCORER), SearchConfig(), random.Random(0)))
    assert {by for _, by in found} == {BY_CHANCE}


@pytest.mark.parametrize("names", [[], ["nobody"], ["scout", "scout"]])
def test_a_pool_of_unknown_or_repeated_experts_is_refused(names: list[str]) -> None:
    with pytest.raises(InputError):
        builtin.specs(names)


@pytest.mark.parametrize("seed", range(4))
def test_the_pool_finds_the_optimum_of_the_toy_space(seed: int) -> None:
    experts = {made.spec.name: made for made in builtin.make(builtin.DEFAULT, SPACE, SCORER)}
    search = Search(SPACE, SCORER, [made.spec for made in experts.values()], seed=seed)
    search.open(openings(SPACE, list(experts.values()), SearchConfig(), random.Random(seed)), 12_800.0)
    for _ in range(8):
        trials = search.ask(8, lambda observation: experts[observation.acting.name].propose(observation))
        search.tell(Measurement(t.id, Fate.OK, SPACE.latency_us(t.schedule)) for t in trials)
    assert search.tree.values.best_us <= 1.05 * SPACE.optimum_us()
