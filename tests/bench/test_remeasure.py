"""Which outputs count as right: of winners those within the tolerance, of libraries also those in fewer bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from colt.bench.config import Peer, StrategyName
from colt.bench.records import ContenderRecord
from colt.bench.remeasure import _compare, _inputs
from colt.bench.turns import Entry
from colt.tvm.programs import workloads

WINNER, LIBRARY = ContenderRecord(strategy=StrategyName.COLT, seed=0), ContenderRecord(peer=Peer.TORCH)
EXPECTED = np.linspace(-1, 1, 100, dtype=np.float32)


@pytest.mark.parametrize(
    ("record", "off", "rounds", "peers_round", "right"),
    [
        (WINNER, 1e-5, 0.0, 0.0, True),
        (WINNER, 5e-3, 0.0, 1e-2, False),
        (WINNER, 5e-3, 1e-2, 0.0, True),
        (WINNER, 2e-2, 1e-2, 3e-2, False),
        (LIBRARY, 5e-3, 0.0, 1e-2, True),
        (LIBRARY, 5e-3, 1e-2, 0.0, True),
        (LIBRARY, 5e-3, 0.0, 0.0, False),
        (LIBRARY, 2e-2, 0.0, 1e-2, False),
        (LIBRARY, float("nan"), 0.0, 1e-2, False),
    ],
)
def test_programs_and_libraries_may_round_where_the_workload_says_so(
    record: ContenderRecord, off: float, rounds: float, peers_round: float, right: bool
) -> None:
    entry, found = Entry(record), EXPECTED.copy()
    found[50] += np.float32(off)
    workload = replace(workloads.get("gemv"), rounds=rounds, peers_round=peers_round)
    _compare(EXPECTED, workload, entry, found)
    assert (entry.record.problem == "", entry.dropped) == (right, not right)


def test_integers_of_8_bits_are_drawn_from_their_whole_range() -> None:
    activations, weights, _ = _inputs(workloads.get("quantised-linear").arguments("small"))
    assert (activations.min(), activations.max(), weights.min(), weights.max()) == (0, 255, -128, 127)
