"""Another load on the machine is noticed, waited out or corrected for, and reported."""

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle
from time import monotonic, sleep

import pytest

from colt.machine.queueing import QueueWatch, queued_seconds, waited_seconds
from colt.measure.base import Fate, Job, Limits, Pace
from colt.tvm.workers import LocalMeasurer, noise
from colt.tvm.workers.noise import Gauge, time_quietly
from colt.tvm.workers.timing import Clocked, Timing
from tests.helpers import measure_programs as programs

pytestmark = pytest.mark.alone

LIMITS = Limits(noise_threshold=1.25, noise_wait_seconds=1.0)
RUN = (Clocked(7.0),)


class Clock:
    """Time that passes when somebody sleeps or runs something."""

    def __init__(self):
        self.now = 0.0
        self.queued = 0.0

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(noise.time, "monotonic", lambda: made.now)
    monkeypatch.setattr(noise.time, "sleep", made.sleep)
    monkeypatch.setattr(noise.QueueWatch, "share", lambda watch: made.queued)
    return made


def machine(clock, busy_until=0.0, busy_from=float("inf"), factor=2.0):
    """A gauge of a machine whose reference kernel takes 100 us, and longer in busy times."""

    def reference():
        return 100.0 * (factor if clock.now < busy_until or clock.now >= busy_from else 1.0)

    gauge = Gauge(reference)
    gauge.expect(100.0)
    return gauge


def timed_for(clock, seconds, runs=RUN):
    def timed(stretch):
        stretches.append(stretch)
        clock.now += seconds
        calls.append(clock.now)
        return Timing(runs)

    calls, stretches = [], timed_for.stretches
    stretches.clear()
    return timed, calls


timed_for.stretches = []


def time_it(timed, gauge, limits=LIMITS):
    looks: list = []
    return time_quietly(timed, gauge, limits, lambda: looks.append(True)), looks


def test_the_fastest_run_so_far_is_what_a_quiet_machine_gives():
    times = iter([900.0, 120.0, 130.0, 110.0, 900.0, 100.0, 100.0, 100.0, 900.0, 200.0, 150.0, 150.0])
    gauge = Gauge(lambda: next(times))
    assert gauge.look().slowdown == 1.0
    assert gauge.quiet_us == 120.0  # a median, so that no single run decides
    assert gauge.look().slowdown == 1.0
    assert gauge.look().slowdown == pytest.approx(500 / 3 / 100, rel=0.1)  # a mean, as what is queued is one
    gauge.expect(None)
    gauge.expect(50.0)
    gauge.expect(80.0)
    assert gauge.quiet_us == 50.0


def test_a_quiet_machine_is_timed_once(clock):
    timed, calls = timed_for(clock, 0.1)
    timing, looks = time_it(timed, machine(clock))
    assert timing == Timing(RUN, reference_us=100.0)
    assert len(calls) == 1
    assert len(looks) == 2


def test_a_load_is_waited_out(clock):
    timed, calls = timed_for(clock, 0.1)
    timing, _ = time_it(timed, machine(clock, busy_until=0.4))
    assert calls == [pytest.approx(0.5, abs=0.06)]
    assert timing.slowdown == 1.0
    assert timing.seconds_waiting == pytest.approx(0.4, abs=0.06)


def test_a_load_that_comes_meanwhile_makes_it_time_again(clock):
    timed, calls = timed_for(clock, 0.1)
    gauge = machine(clock, busy_from=0.05)
    gauge._reference = lambda: 200.0 if 0.05 <= clock.now < 0.3 else 100.0
    timing, _ = time_it(timed, gauge)
    assert len(calls) == 2
    assert calls[1] >= 0.4
    assert timing.slowdown == 1.0
    assert timing.seconds_waiting > 0


def test_a_load_that_stays_is_corrected_for(clock):
    timed, calls = timed_for(clock, 0.1)
    timing, _ = time_it(timed, machine(clock, busy_until=1e9, factor=3.0))
    assert len(calls) == 2
    assert timing.slowdown == pytest.approx(3.0)
    assert timed_for.stretches == [pytest.approx(3.0)] * 2  # so that nobody is dropped for it
    assert timing.seconds_waiting == pytest.approx(1.0, abs=0.06)
    assert clock.now == pytest.approx(1.2, abs=0.06)


def test_a_long_run_is_not_repeated_and_counts_as_disturbed_only_if_busy_at_both_ends(clock):
    timed, calls = timed_for(clock, 60.0)
    timing, _ = time_it(timed, machine(clock, busy_from=59.0))
    assert timing.slowdown == 1.0
    timing, _ = time_it(timed, machine(clock, busy_until=1e9))
    assert timing.slowdown == pytest.approx(2.0)
    assert len(calls) == 2


def test_what_another_process_takes_away_is_known_from_queueing(clock):
    clock.queued = 0.5
    timed, calls = timed_for(clock, 0.1, [Clocked(7.0, 3.5)] * 3)
    timing, _ = time_it(timed, machine(clock))
    assert len(calls) == 2
    assert timing.slowdown == pytest.approx(2.0)
    assert timing.disturbed


def test_what_others_take_away_between_the_runs_is_no_reason_to_correct(clock):
    """Nor is what is taken from a thread that may only have been idle."""
    clock.queued = 0.9
    timed, _ = timed_for(clock, 0.1, [Clocked(7.0)] * 3)
    timing, _ = time_it(timed, machine(clock))
    assert timing.disturbed
    assert timing.slowdown == 1.0


def test_corrections_are_bounded_and_need_both_ends(clock):
    timed, _ = timed_for(clock, 0.1)
    assert time_it(timed, machine(clock, busy_until=1e9, factor=50.0))[0].slowdown == 4.0
    clock.now = 0.0
    late = time_it(timed, machine(clock, busy_from=0.05, factor=3.0), replace(LIMITS, noise_wait_seconds=0.11))[0]
    assert late.disturbed


def test_a_load_that_missed_some_runs_of_the_reference_may_have_missed_some_of_the_kernel(clock):
    """Looks whose mean is slow, but not their fastest run, do not make a latency less than the fastest run."""
    gauge = machine(clock)
    times = cycle([250.0, 100.0, 400.0])
    gauge._reference = lambda: next(times)
    timed, _ = timed_for(clock, 0.1, [Clocked(1005.0), Clocked(1500.0), Clocked(1700.0)])
    timing, _ = time_it(timed, gauge)
    assert timing.disturbed
    assert timing.slowdown == pytest.approx(1500 / 1005)
    assert time_it(timed_for(clock, 60.0)[0], gauge)[0].slowdown == 1.0


@pytest.mark.parametrize(
    ("factor", "slowdown", "beside_us"),
    [
        (1.0, 1.0, 100.0),
        (1.2, 1.0, 120.0),  # not corrected for, so that it is told by comparing with the reference
        (3.0, 3.0, 100.0),  # corrected for, so that the reference is that of the quiet machine
    ],
)
def test_what_the_reference_takes_beside_a_timing_goes_with_its_slowdown(clock, factor, slowdown, beside_us):
    timed, _ = timed_for(clock, 0.1)
    gauge = machine(clock)
    assert gauge.know() == 100.0
    gauge._reference = machine(clock, busy_until=1e9, factor=factor)._reference
    timing, _ = time_it(timed, gauge)
    assert timing.slowdown == pytest.approx(slowdown)
    assert timing.reference_us == pytest.approx(beside_us)


def test_a_moment_of_quiet_is_enough_to_know_the_reference():
    """All looks have a median that another load has made long; one run of them is not disturbed."""
    times = iter([9000.0] * 41 + [185.0] + [9000.0] * 100)
    gauge = Gauge(lambda: next(times))
    assert gauge.know() == 185.0
    assert gauge.quiet_us == 9000.0
    another = Gauge(lambda: 200.0)
    another.follow(gauge)
    assert (another.least_us, another.quiet_us) == (185.0, 9000.0)


def test_queueing_is_read_from_linux():
    watch, before = QueueWatch(), waited_seconds()
    with busy_cores(8):
        deadline = monotonic() + 1.0
        while monotonic() < deadline:
            sum(range(1000))
        share, mine = watch.share(), waited_seconds() - before
    assert 0.05 < share < 1.0
    assert 0.05 < mine < 10.0
    assert os.getpid() in queued_seconds()


@contextmanager
def busy_cores(count):
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        sleep(0.5)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_real_load_is_seen_and_corrected_for(target):
    """Eight busy processes; a measurer that has seen it quiet before. It times for longer than any turn of theirs."""
    limits = Limits(
        total_ms=200.0, precision=1e-9, min_repeat_ms=5.0, noise_wait_seconds=0.2, noise_threshold=1.5, max_repeats=40
    )
    program = programs.scheduled_matmul(256)
    with LocalMeasurer(target, 2, limits, workers=1) as measurer:
        for attempt in range(5):  # it needs one quiet moment
            (quiet,) = measurer.measure([Job(attempt, program)])
        with busy_cores(8):
            (busy,) = measurer.measure([Job(9, program)])
        noise = replace(measurer.noise)
        in_turn = measurer.interleave([program, program], 2)
    assert busy.fate is quiet.fate is Fate.OK
    assert busy.disturbed
    assert busy.latency_us == pytest.approx(sorted(busy.runs_us)[len(busy.runs_us) // 2] / busy.slowdown, rel=0.5)
    assert noise.probes == 6
    assert noise.disturbed >= 1
    assert noise.worst_slowdown >= busy.slowdown >= 1.0
    assert len(in_turn) == 2
    assert measurer.noise.probes == noise.probes + 2


def test_a_peak_known_from_before_tells_a_busy_machine_from_the_start(target):
    with LocalMeasurer(target, 2, Limits(noise_wait_seconds=0.1), workers=1, peak_gflops=1e6) as measurer:
        (result,) = measurer.measure([Job(0, programs.scheduled_matmul(128))])
    assert result.slowdown >= 4.0  # the most that is corrected for, beside what the runs have waited
    assert result.disturbed
    assert measurer.noise.disturbed == 1


def test_waiting_is_a_bounded_share_of_all_the_time(target):
    limits, pace = Limits(noise_wait_seconds=0.3), Pace(patience_seconds=0.6, patience_share=0.01)
    with LocalMeasurer(target, 2, limits, workers=1, peak_gflops=1e6, pace=pace) as measurer:
        results = list(measurer.measure([Job(i, programs.scheduled_matmul(128)) for i in range(6)]))
    assert results[0].seconds_waiting > 0.2
    assert results[-1].seconds_waiting < 0.1
    assert 0.4 < measurer.noise.seconds_waiting < 1.0
    assert measurer.noise.disturbed == 6
