"""The measurer of a fleet takes no answer that would break a run: figures have to be such as there can be."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from colt.fleet.measurer import FleetMeasurer
from colt.fleet.share import HostTold, Share
from colt.fleet.wire import HostAccounts, HostMeasured, HostTimed
from colt.measure.base import Fate, Job, Limits
from colt.measure.muster import HostSeen
from colt.measure.relative import Reference

ACCOUNTS = HostAccounts(building=0, timing=0, probes=0, disturbed=0, worst_slowdown=1, waiting=0)
BESIDE: dict[str, Any] = {"request": 1, "index": 0, "accounts": ACCOUNTS}
HOST = HostSeen("a", "cpu", 2, 500.0)


def measurer_of(shares: list[Share], woken: Callable[[], None] = lambda: None) -> FleetMeasurer:
    """On a session of one host, which keeps its shares; ``woken`` is called when there is something in them."""
    session: Any = SimpleNamespace(reference=Reference("a", 500.0), share=shares.append, wake=woken)
    session.muster, session.decided_by = SimpleNamespace(measuring=(HOST,)), lambda name: None
    return FleetMeasurer(session, Limits(), str, lambda: pytest.fail("nothing is built here"))


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ({"reference_us": 480.0}, True),
        ({"reference_us": None}, True),
        ({"reference_us": 1e-305}, False),
        ({"reference_us": 1e-6}, False),
        ({"reference_us": 1e15}, False),
        ({"reference_us": 250.0, "runs_us": (5.0, 9e14)}, False),
        ({"reference_us": 1e15, "fate": Fate.CRASH, "latency_us": None, "runs_us": ()}, False),
    ],
    ids=str,
)
def test_a_candidate_is_answered_with_figures_that_can_be_told(said: dict[str, Any], taken: bool) -> None:
    shares: list[Share] = []
    measurer_of(shares).expect([Job(0, None)])
    fields: dict[str, Any] = {"fate": Fate.OK, "latency_us": 5.0, "runs_us": (5.0, 5.0)}
    assert shares[0].answered_by(HostMeasured(**BESIDE, **fields | said)) is taken


@pytest.mark.parametrize(("reference_us", "taken"), [(480.0, True), (None, True), (1e-305, False), (1e15, False)])
def test_programs_timed_in_turn_are_answered_so_too(reference_us: float | None, taken: bool) -> None:
    answer = HostTimed(**BESIDE, latencies_us=((5.0, 6.0),), reference_us=reference_us)
    shares: list[Share] = []
    found: list[bool] = []

    def woken() -> None:
        (share,) = shares
        found.append(share.answered_by(answer))
        share.told(0, HostTold(HOST, HostTimed(**BESIDE, latencies_us=((5.0, 6.0),), reference_us=500.0), ACCOUNTS))

    assert measurer_of(shares, woken).interleave([None], 2) == [[5.0, 6.0]]
    assert found[0] is taken
