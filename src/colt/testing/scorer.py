"""The rules of a :class:`~colt.search.types.Scorer`, one function each."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from colt.knobs import Schedule
from colt.search.types import Scorer, Space
from colt.testing.cases import ScorerCase, SpaceCase, require


def check_scorer(scorer: Scorer, space: Space, seed: int = 0, cases: int = 20) -> None:
    """Run every check of :data:`SCORER_CHECKS`. Raises :class:`NotConforming` at the first broken rule."""
    case = ScorerCase(scorer, space, seed, cases)
    for check in SCORER_CHECKS:
        check(case)


def predictions_are_finite_and_positive(case: ScorerCase) -> None:
    """There is one for each schedule, also for the untuned program and for rollouts, which are not realised."""
    schedules = _schedules(case)
    predicted = case.scorer.predict(schedules)
    require(len(predicted) == len(schedules), f"{len(predicted)} predictions for {len(schedules)} schedules")
    for schedule, latency in zip(schedules, predicted, strict=True):
        fine = isinstance(latency, float) and 0.0 < latency < math.inf
        require(fine, f"{schedule} is predicted to take {latency!r} us")
    require(list(case.scorer.predict([])) == [], "for no schedules there are predictions")


def one_version_predicts_one_latency(case: ScorerCase) -> None:
    """It does not depend on what else is asked, in which order, or how often."""
    schedules = _schedules(case)
    version = case.scorer.version
    together = list(case.scorer.predict(schedules))
    require(list(case.scorer.predict(schedules)) == together, "asked twice, the scorer answers differently")
    backwards = list(case.scorer.predict(schedules[::-1]))[::-1]
    require(backwards == together, "asked in another order, the scorer answers differently")
    alone = [case.scorer.predict([schedule])[0] for schedule in schedules]
    require(alone == together, "asked one by one, the scorer answers differently")
    require(case.scorer.version == version != "", "the scorer has no version, or predicting changes it")


SCORER_CHECKS: tuple[Callable[[ScorerCase], None], ...] = (
    predictions_are_finite_and_positive,
    one_version_predicts_one_latency,
)


def _schedules(case: ScorerCase) -> list[Schedule]:
    samples = list(SpaceCase(case.space, case.seed, case.cases).schedules("scorer"))
    rng = random.Random(case.seed)
    return [case.space.untuned, *samples, *(case.space.perturb(schedule, rng) for schedule in samples)]
