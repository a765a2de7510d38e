"""Conformance suites for authors of a space, a scorer, a proposer or a measurer: what runs rely on, as checks.

One call runs all checks of a kind (:func:`check_space`, :func:`check_scorer`, :func:`check_proposer`,
:func:`check_measurer`). With pytest each rule can be a test of its own::

    @pytest.mark.parametrize("check", SPACE_CHECKS, ids=rule)
    def test_my_space(check):
        check(SpaceCase(my_space, seed=0, cases=10))

A broken rule raises :class:`NotConforming`, an :class:`AssertionError` that says which rule and how. Nothing here needs
pytest, TVM or numpy.
"""

from colt.testing.cases import NotConforming, ProposerCase, ScorerCase, SpaceCase, rule
from colt.testing.measurer import MEASURER_CHECKS, MeasurerCase, check_measurer
from colt.testing.proposer import PROPOSER_CHECKS, check_proposer
from colt.testing.scorer import SCORER_CHECKS, check_scorer
from colt.testing.situations import Situation, situations
from colt.testing.space import SPACE_CHECKS, check_space

__all__ = [
    "check_space",
    "check_scorer",
    "check_proposer",
    "check_measurer",
    "SPACE_CHECKS",
    "SCORER_CHECKS",
    "PROPOSER_CHECKS",
    "MEASURER_CHECKS",
    "SpaceCase",
    "ScorerCase",
    "ProposerCase",
    "MeasurerCase",
    "Situation",
    "situations",
    "NotConforming",
    "rule",
]
