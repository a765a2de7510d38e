"""The conformance suites of :mod:`colt.testing` on real TVM."""

from __future__ import annotations

import random
from typing import Any

import pytest

from colt.analysis.estimate import KnownCosts, estimate_us, nest_costs
from colt.machine import detect
from colt.proposers.experts import builtin
from colt.proposers.experts.neighbourhood import neighbours
from colt.testing import PROPOSER_CHECKS, SPACE_CHECKS, ProposerCase, ScorerCase, SpaceCase, rule
from colt.testing.scorer import SCORER_CHECKS
from colt.tvm.cost.scorer import AnalyticalScorer, machine_of
from colt.tvm.devices.host import resolve_target
from colt.tvm.space.space import TvmSpace
from tests.helpers import space_programs as programs

TARGET = resolve_target(None, 2)
MAKERS = {
    "matmul": programs.matmul,
    "conv": programs.conv,
    "softmax": programs.softmax,
    "swiglu": programs.swiglu,
}


@pytest.fixture(scope="module", params=MAKERS)
def space(request: pytest.FixtureRequest) -> TvmSpace:
    return TvmSpace.generated(MAKERS[request.param](), TARGET)


@pytest.fixture(scope="module")
def matmul() -> TvmSpace:
    return TvmSpace.generated(programs.matmul(), TARGET)


@pytest.mark.parametrize("check", SPACE_CHECKS, ids=rule)
def test_the_space_conforms(space: TvmSpace, check: Any) -> None:
    check(SpaceCase(space, seed=0, cases=3))


@pytest.mark.parametrize("check", SCORER_CHECKS, ids=rule)
def test_the_analytical_scorer_conforms(space: TvmSpace, check: Any) -> None:
    check(ScorerCase(AnalyticalScorer(space, machine_of(detect(), 2)), space, seed=0, cases=5))


@pytest.mark.parametrize("check", PROPOSER_CHECKS, ids=rule)
@pytest.mark.parametrize("name", builtin.EXPERTS)
def test_experts_conform_on_a_matmul(name: str, check: Any, matmul: TvmSpace) -> None:
    scorer = AnalyticalScorer(matmul, machine_of(detect(), 2))
    check(ProposerCase(lambda: builtin.make([name], matmul, scorer)[0], matmul, scorer, cases=2))


def test_what_nests_are_known_to_cost_is_what_they_cost(space: TvmSpace) -> None:
    machine, known, nests = machine_of(detect(), 2), KnownCosts(), 0
    for seed in range(4):
        start = space.sample(random.Random(seed))
        for schedule in (start, *list(neighbours(start, space.knobs(start)))[:12]):
            about = space.skeleton(schedule), schedule.values, machine
            assert estimate_us(*about, known) == estimate_us(*about)
            nests += sum(map(len, nest_costs(*about)))
    assert 0 < len(known.costs) < nests, "none was known before"


def test_the_same_estimate_is_made_once(matmul: TvmSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = AnalyticalScorer(matmul, machine_of(detect(), 2))
    one, other = (matmul.sample(random.Random(seed)) for seed in (1, 2))
    found = scorer.predict([one, other])
    monkeypatch.setattr("colt.tvm.cost.scorer.estimate_us", None)
    assert scorer.predict([other, one]) == found[::-1]
