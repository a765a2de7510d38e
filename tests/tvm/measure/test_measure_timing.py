"""How often a kernel is run, on a kernel that only counts."""

from dataclasses import dataclass, field, replace

import pytest

from colt.errors import InputError
from colt.tvm.measure.timing import time_candidate, time_in_turn
from colt.tvm.measure.types import Limits

LIMITS = Limits(
    drop_factor=3, cold_ms=20, single_run_ms=1000, min_repeat_ms=20, total_ms=150, min_repeats=3, max_repeats=10
)


@dataclass
class Counted:
    """A kernel of a steady latency whose first run takes longer."""

    latency_us: float
    cold_us: float = 0.0
    calls: list = field(default_factory=list)

    def once(self):
        self.calls.append("once")
        return max(self.latency_us, self.cold_us) if len(self.calls) == 1 else self.latency_us

    def repeated(self, number, repeats):
        self.calls.append((number, repeats))
        return [self.latency_us] * repeats


def timed(kernel, best_us):
    repeated = []
    return time_candidate(kernel, best_us, LIMITS, lambda: repeated.append(True)), bool(repeated)


def test_a_good_candidate_is_repeated_for_about_the_total_time():
    kernel = Counted(1000.0, cold_us=9000.0)
    runs, repeated = timed(kernel, best_us=1000.0)
    assert kernel.calls == ["once", (1, 1), (20, 8)]
    assert runs == [1000.0] * 8
    assert repeated


def test_short_kernels_fill_each_repeat():
    kernel = Counted(1.0)
    timed(kernel, best_us=None)
    assert kernel.calls[-1] == (20_000, 8)


def test_kernels_that_take_about_a_repeat_get_the_fewest():
    kernel = Counted(100_000.0)
    timed(kernel, best_us=None)
    assert kernel.calls[-1] == (1, 3)


def test_a_slow_candidate_keeps_its_second_run():
    kernel = Counted(3001.0, cold_us=15_000.0)
    assert timed(kernel, best_us=1000.0) == ([3001.0], True)
    assert kernel.calls == ["once", (1, 1)]


def test_a_far_slower_candidate_runs_once():
    kernel = Counted(50_000.0)
    assert timed(kernel, best_us=1000.0) == ([50_000.0], False)
    assert kernel.calls == ["once"]


def test_a_cold_first_run_drops_nobody():
    kernel = Counted(1000.0, cold_us=19_000.0)
    assert len(timed(kernel, best_us=1000.0)[0]) > 1


def test_a_program_that_takes_long_runs_once_even_if_nothing_is_known():
    kernel = Counted(2e6)
    assert timed(kernel, best_us=None) == ([2e6], False)
    assert kernel.calls == ["once"]


def test_turns_alternate_and_long_runs_are_not_warmed_up():
    order = []
    fast, slow = Counted(10_000.0), Counted(500_000.0)
    latencies = time_in_turn([fast, slow], 3, LIMITS, order.append)
    assert latencies == [[10_000.0] * 3, [500_000.0] * 3]
    assert order == [0, 1, 0, 1, 1, 0, 0, 1]
    assert fast.calls == ["once", *[(2, 1)] * 3]
    assert slow.calls == ["once"] * 4


@pytest.mark.parametrize(
    ("best_us", "seconds"),
    [
        (None, 10.0),
        (1000.0, 2.0),  # the floor
        (500_000.0, 5.0),  # ten times the best
        (2_000_000.0, 10.0),  # no more than without a best
        (60_000_000.0, 180.0),  # but long enough to be three times slower
    ],
)
def test_how_long_a_first_run_may_take(best_us, seconds):
    limits = Limits(run_seconds=10, run_floor_seconds=2, run_factor=10, drop_factor=3)
    assert limits.first_run_seconds(best_us) == pytest.approx(seconds)


def test_limits_are_positive():
    with pytest.raises(InputError, match="build_seconds"):
        replace(LIMITS, build_seconds=0)
