"""Fast tests are kept fast: what takes seconds fails in them."""

from __future__ import annotations

from typing import Any

import pytest
import tvm

from colt.tvm.devices import peaks
from colt.tvm.workers import process
from tests.conftest import LONGEST, TESTS

SLOW: dict[str, Any] = {
    "starting a worker": lambda: process.WorkerProcess(None, 1, None),  # type: ignore[arg-type]
    "measuring peaks": lambda: peaks.measure_peaks(1),
    "building a kernel": lambda: tvm.tirx.build(None),
}


@pytest.mark.parametrize("what", SLOW)
def test_a_fast_test_fails_if_it_tries(what: str) -> None:
    with pytest.raises(AssertionError, match="in a test that is not marked as real"):
        SLOW[what]()


def test_every_test_is_in_one_tier(request: pytest.FixtureRequest) -> None:
    for item in request.session.items:
        tiers = {mark.name for mark in item.iter_markers()} & {"fast", "real"}
        assert len(tiers) == 1, f"{item.nodeid} is {tiers or 'neither fast nor real'}"


def test_the_files_that_are_taken_first_are_there() -> None:
    assert [name for name in LONGEST if not (TESTS / name).is_file()] == []
