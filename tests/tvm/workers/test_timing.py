"""How often a kernel is run, on a kernel that only counts."""

from dataclasses import dataclass, field, replace
from itertools import cycle

import pytest

from colt.errors import InputError
from colt.measure.base import Limits
from colt.tvm.workers.timing import Clocked, Round, Timing, is_ranked, time_candidate, time_in_turn

LIMITS = Limits(
    drop_factor=3,
    cold_ms=20,
    short_ms=5,
    single_run_ms=1000,
    min_repeat_ms=20,
    precision=0.01,
    total_ms=300,
    min_repeats=6,
    max_repeats=12,
)


@dataclass
class Counted:
    """A kernel of a steady latency whose first run takes longer; ``noise`` are factors of its repeats, over again, and
    ``waited`` is the share of each run for which it waits for a core."""

    latency_us: float
    cold_us: float = 0.0
    noise: tuple = (1.0,)
    waited: float = 0.0
    calls: list = field(default_factory=list)

    def __post_init__(self):
        self._factors = cycle(self.noise)

    def once(self):
        self.calls.append("once")
        return self._clocked(max(self.latency_us, self.cold_us) if len(self.calls) == 1 else self.latency_us)

    def repeated(self, number, repeats):
        self.calls.append((number, repeats))
        return [self._clocked(self.latency_us * next(self._factors)) for _ in range(repeats)]

    def _clocked(self, us):
        return Clocked(us, self.waited * us)


def timed(kernel, best_us):
    repeated = []
    return time_candidate(kernel, best_us, LIMITS, lambda: repeated.append(True)), bool(repeated)


def test_a_steady_candidate_gets_the_fewest_repeats():
    kernel = Counted(1000.0, cold_us=4000.0)
    timing, repeated = timed(kernel, best_us=1000.0)
    assert kernel.calls == ["once", (1, 3), (20, 6)]
    assert timing == Timing((Clocked(1000.0),) * 6)
    assert repeated


def test_repeats_of_a_long_run_need_no_warm_up_though_its_first_run_is_no_figure():
    for latency_us, alone in ((20_000.0, True), (19_000.0, False)):
        kernel = Counted(latency_us, cold_us=90_000.0)
        limits = replace(LIMITS, cold_ms=100.0, warm_up_ms=20.0)
        timing = time_candidate(kernel, latency_us, limits, lambda: None)
        assert max(timing.runs_us) == latency_us
        assert (kernel.calls[-1] == "once") == alone


def test_a_contender_is_repeated_until_its_interval_is_narrow():
    kernel = Counted(1000.0, noise=(0.95, 1.0, 1.05, 1.0, 1.0, 1.0))
    timing, _ = timed(kernel, best_us=1000.0)
    assert kernel.calls == ["once", (1, 3), (20, 6), (20, 3)]
    assert is_ranked(timing.runs_us, 1000.0, LIMITS)


def test_or_until_time_is_up():
    kernel = Counted(1000.0, noise=(0.8, 1.2))
    timing, _ = timed(kernel, best_us=1000.0)
    assert len(timing.runs_us) == 12
    kernel = Counted(60_000.0, noise=(0.8, 1.2))
    timing, _ = timed(kernel, best_us=60_000.0)
    assert len(timing.runs_us) == 6


def test_a_candidate_that_is_clearly_behind_is_not_repeated_further():
    kernel = Counted(1000.0, noise=(0.8, 1.2))
    timing, _ = timed(kernel, best_us=700.0)
    assert len(timing.runs_us) == 6
    assert not timing.dropped


def test_short_kernels_fill_each_repeat():
    kernel = Counted(1.0)
    timed(kernel, best_us=None)
    assert kernel.calls[-1] == (20_000, 6)


def test_a_slow_candidate_keeps_its_first_figures():
    kernel = Counted(3001.0, cold_us=4000.0)
    assert timed(kernel, best_us=1000.0) == (Timing((Clocked(3001.0),) * 3, dropped=True), True)
    assert kernel.calls == ["once", (1, 3)]
    kernel = Counted(5500.0, cold_us=5800.0)
    assert timed(kernel, best_us=1000.0) == (Timing((Clocked(5500.0),), dropped=True), True)
    assert kernel.calls == ["once", (1, 1)]


def test_a_candidate_that_is_far_off_has_one_more_run_without_a_warm_up():
    kernel = Counted(6500.0, cold_us=15_000.0)
    assert timed(kernel, best_us=1000.0) == (Timing((Clocked(6500.0),), dropped=True), True)
    assert kernel.calls == ["once", "once"]


def test_long_runs_are_repeated_without_warm_ups():
    kernel = Counted(30_000.0)
    assert timed(kernel, best_us=None)[0] == Timing((Clocked(30_000.0),) * 6)
    assert kernel.calls == ["once", (1, 1), *["once"] * 6]


def test_a_far_slower_candidate_runs_once():
    kernel = Counted(50_000.0)
    assert timed(kernel, best_us=1000.0) == (Timing((Clocked(50_000.0),), dropped=True), False)
    assert kernel.calls == ["once"]


def test_a_cold_first_run_drops_nobody_nor_does_one_bad_shot():
    kernel = Counted(1000.0, cold_us=19_000.0)
    assert not timed(kernel, best_us=1000.0)[0].dropped
    kernel = Counted(1000.0, noise=(8.0, 8.0, 1.0))
    assert not timed(kernel, best_us=1000.0)[0].dropped


def test_what_another_load_took_of_its_runs_is_no_reason_to_drop_a_candidate():
    kernel = Counted(9000.0, waited=0.9)
    timing, _ = timed(kernel, best_us=1000.0)
    assert not timing.dropped
    assert timing.runs_us == (9000.0,) * 6
    assert timed(Counted(9000.0, waited=0.5), best_us=1000.0)[0].dropped


def test_a_program_that_takes_long_runs_once_even_if_nothing_is_known():
    kernel = Counted(2e6)
    assert timed(kernel, best_us=None) == (Timing((Clocked(2e6),)), False)
    assert kernel.calls == ["once"]


def test_turns_alternate_and_long_runs_are_not_warmed_up():
    order, quietly = [], []

    def quiet(round_of_all):
        quietly.append(True)
        return round_of_all()

    fast, slow = Counted(10_000.0), Counted(500_000.0)
    rounds = time_in_turn([fast, slow], 3, LIMITS, order.append, quiet)
    assert [timing.runs_us for timing in rounds] == [(10_000.0, 500_000.0)] * 3
    assert all(type(timing) is Round for timing in rounds)
    assert len(quietly) == 3
    assert order == [0, 1, 0, 1, 1, 0, 0, 1]
    assert fast.calls == ["once", (1, 1), *[(2, 1)] * 3]
    assert slow.calls == ["once"] * 4


def slowdown(*runs, usual=1.0, least=1.0):
    """The slowdown that is certain of runs: each is what it took, or that and what it waited."""
    return (
        Timing(tuple(Clocked(*run) if isinstance(run, tuple) else Clocked(run) for run in runs))
        .corrected(usual, least)
        .slowdown
    )


def test_each_run_is_corrected_by_what_it_has_waited():
    assert slowdown((20.0, 10.0), (40.0, 30.0), (21.0, 11.0)) == pytest.approx(2.1)
    assert slowdown((1e6, 5e5)) == pytest.approx(2.0), "a single run that was preempted throughout"
    assert slowdown((38_000.0, 37_000.0), (40_000.0, 39_000.0)) == pytest.approx(39.0), "however much that is"
    assert slowdown(10.0, 10.0, (40.0, 30.0), 10.0) == 1.0, "the median did not meet it"


def test_no_latency_is_less_than_what_the_fastest_run_comes_to():
    assert slowdown(1005.0, (1400.0, 800.0), (1400.0, 800.0)) == pytest.approx(1400 / 1005)
    assert slowdown(1005.0, 1100.0, 1100.0, usual=3.0) == pytest.approx(1100 / 1005)
    assert slowdown(1000.0, 1100.0, 1100.0, usual=3.0, least=2.0) == pytest.approx(2.2)
    assert slowdown((2000.0, 1000.0), 2100.0, usual=3.0, least=2.0) == pytest.approx(2050 / (1550 / 3))
    assert slowdown(1e6, usual=3.0) == 1.0
    assert slowdown(1000.0, 1000.0, usual=3.0, least=3.0) == pytest.approx(3.0)


def test_a_run_is_not_believed_to_have_waited_all_the_time():
    assert Clocked(100.0, 100.0).alone_us == pytest.approx(1.0)


def test_in_a_round_each_kernel_is_corrected_by_itself():
    found = Round((Clocked(1000.0), Clocked(6000.0, 4000.0))).corrected(usual=4.0, least=2.0)
    assert found.runs_us == (500.0, 1000.0)
    assert found.slowdown == 6.0
    assert Round((Clocked(5.0),)).corrected() == Round((Clocked(5.0),))


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


@pytest.mark.parametrize(("predicted", "seconds"), [(0.1, 3.0), (1.0, 6.0), (5.0, 10.0)])
def test_how_long_a_build_may_take(predicted, seconds):
    limits = Limits(build_seconds=10, build_floor_seconds=3, build_factor=6)
    assert limits.allowed_build_seconds(predicted) == pytest.approx(seconds)


def test_limits_are_positive():
    with pytest.raises(InputError, match="build_seconds"):
        replace(LIMITS, build_seconds=0)
