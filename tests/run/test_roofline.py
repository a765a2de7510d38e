"""The roofline of a program, and what becomes of a peak that a kernel exceeds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tvm.target import Target

from colt.errors import MeasureError
from colt.machine import Bound, Cache, Hardware, Peaks, detect, load_peaks, save_peaks
from colt.measure.base import Limits
from colt.measure.simulated import SimulatedMeasurer
from colt.plan import plan
from colt.run.loop import run
from colt.run.roofline import Ceiling
from colt.tvm.devices import peaks as peaks_module
from colt.tvm.devices.cpu import CpuDevice
from colt.tvm.devices.fleet import FleetDevice
from colt.tvm.programs.arguments import Argument, Role
from colt.tvm.programs.source import Program, why_no_roofline
from colt.tvm.programs.workloads import get
from colt.world.parts import Parts, current, using
from colt.world.world import Live, World
from tests.helpers.simulated_runs import StatedCpu, simulated

PEAKS = Peaks(50.0, 100.0, 20.0, "copy", 2, "2026-01-01T00:00:00+00:00")
MIB = 2**20


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLT_CACHE_DIR", str(tmp_path))


@pytest.fixture
def hardware() -> Hardware:
    """This machine with a last-level cache of 1 MiB, and peaks that are in the cache file."""
    here = replace(detect(), l3=Cache(MIB, 2), peaks=PEAKS)
    save_peaks(here, PEAKS)
    return here


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Peaks]:
    """What further measurements give, in turn; a test fills it."""
    answers: list[Peaks] = []

    def measure_peaks(threads: int) -> Peaks:
        if not answers:
            raise MeasureError("nothing more is to be measured")
        return answers.pop(0)

    monkeypatch.setattr(peaks_module, "measure_peaks", measure_peaks)
    return answers


def program(flops: int | None = 10**9, nbytes: int = MIB, dtype: str = "float32", known: bool = True) -> Program:
    """1 ms is 1000 GFLOPS; ``known``: flops and bytes are those of a built-in workload, not estimated."""
    arguments = (Argument("A", (nbytes // 4,), dtype, Role.INPUT),)
    return Program("mine", None, arguments, flops, nbytes, workload=get("matmul") if known else None)


@dataclass
class Peaked:
    """The run, as far as peaks are concerned."""

    hardware: Hardware
    world: World = field(default_factory=Live)
    notes: list[str] = field(default_factory=list)

    def note(self, message: str) -> None:
        self.notes.append(message)


def ceiling(of: Program, hardware: Hardware) -> tuple[Ceiling, list[str]]:
    """With the messages that it gives."""
    host = Peaked(hardware)
    return Ceiling(of, CpuDevice(None, 2), host), host.notes


def test_a_program_in_the_cache_is_bound_by_the_fma_peak(hardware: Hardware) -> None:
    found, _ = ceiling(program(nbytes=MIB), hardware)
    assert found.roofline is not None
    assert (found.roofline.gflops, found.roofline.bound) == (100.0, Bound.FMA)
    assert found.share(20_000.0) == pytest.approx(0.5)  # 50 of 100 GFLOPS


def test_a_program_beyond_the_cache_is_bound_by_what_memory_feeds(hardware: Hardware) -> None:
    found, _ = ceiling(program(flops=8 * MIB, nbytes=8 * MIB), hardware)
    assert found.roofline is not None
    assert (found.roofline.gflops, found.roofline.bound) == (20.0, Bound.BANDWIDTH)
    assert found.share(8 * MIB / 10e3) == pytest.approx(0.5)  # 10 of 20 GB/s


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (program(flops=None), "not known"),
        (program(dtype="float16"), "float32, it uses float16"),
        (program(dtype="int8"), "float32, it uses int8"),
    ],
    ids=["no-flops", "half", "integers"],
)
def test_a_program_without_a_roofline_says_why(of: Program, why: str, hardware: Hardware) -> None:
    assert why in (why_no_roofline(of) or "")
    found, notes = ceiling(of, hardware)
    assert found.roofline is None
    assert found.share(1.0) is None
    found.admit(1e-3)
    assert notes == []


def test_below_the_peak_nothing_is_measured(hardware: Hardware, measured: list[Peaks]) -> None:
    found, notes = ceiling(program(), hardware)
    found.admit(10_000.0)  # 100 GFLOPS
    assert (found._host.hardware, notes) == (hardware, [])


def test_a_peak_that_is_exceeded_is_measured_again(hardware: Hardware, measured: list[Peaks]) -> None:
    measured.append(replace(PEAKS, fma_gflops_all_threads=180.0, bandwidth_gbs=18.0))
    found, notes = ceiling(program(), hardware)
    found.admit(8_000.0)  # 125 GFLOPS
    assert found.share(8_000.0) == pytest.approx(125 / 180)
    assert found._host.hardware.peaks.bandwidth_gbs == 20.0  # a peak is the most ever seen: it does not fall
    assert load_peaks(hardware, 2) == found._host.hardware.peaks
    assert len(notes) == 1
    assert "1.25 of the FMA peak of 100.00 GFLOPS" in notes[0]


@pytest.mark.parametrize("again", [PEAKS, None], ids=["no-better", "not-measurable"])
def test_a_kernel_that_still_exceeds_it_is_the_peak_from_then_on(
    hardware: Hardware, measured: list[Peaks], again: Peaks | None
) -> None:
    measured += [again] if again else []
    found, notes = ceiling(program(), hardware)
    found.admit(8_000.0)
    assert found.share(8_000.0) == pytest.approx(1.0, abs=1e-3)
    peaks = found._host.hardware.peaks
    assert peaks.fma_gflops_all_threads == pytest.approx(125.0, abs=0.02)
    assert peaks.fma_pattern == "the mine kernel"
    assert load_peaks(hardware, 2) == peaks
    assert "its own figure counts from now on: the FMA peak of 125" in notes[-1]
    found.admit(7_900.0)  # a little faster in the final timing: nothing is measured again
    assert (found.share(7_900.0) or 0.0) <= 1.0


def test_where_no_peak_is_measured_again_nothing_else_is_said(hardware: Hardware, measured: list[Peaks]) -> None:
    """Hosts of a fleet are measuring by then."""
    host = Peaked(hardware)
    found = Ceiling(program(), FleetDevice.recorded("auto", "cpu", Target("llvm"), 2), host)
    found.admit(8_000.0)
    found.admit(7_000.0)
    assert [message.partition(":")[0] for message in host.notes] == [
        "a kernel reaches 1.25 of the FMA peak of 100.00 GFLOPS, which is void",
        "a kernel reaches 1.14 of the FMA peak of 125.01 GFLOPS, which is void",
    ]
    assert all("void: its own figure counts in this run only: the FMA peak of 1" in message for message in host.notes)
    assert load_peaks(hardware, 2) == PEAKS


def test_a_bandwidth_that_is_exceeded_is_void_too(hardware: Hardware, measured: list[Peaks]) -> None:
    measured.append(PEAKS)
    found, notes = ceiling(program(flops=8 * MIB, nbytes=8 * MIB), hardware)
    found.admit(8 * MIB / 30e3)  # 30 of 20 GB/s
    peaks = found._host.hardware.peaks
    assert peaks.bandwidth_gbs == pytest.approx(30.0, abs=0.02)
    assert (peaks.bandwidth_pattern, peaks.fma_gflops_all_threads) == ("the mine kernel", 100.0)
    assert load_peaks(hardware, 2) == peaks
    assert "the memory bandwidth of 20.00 GB/s" in notes[0]


def test_what_a_cache_may_have_fed_in_part_says_nothing_about_memory_to_other_runs(
    hardware: Hardware, measured: list[Peaks]
) -> None:
    measured.append(PEAKS)
    found, notes = ceiling(program(flops=2 * MIB, nbytes=2 * MIB), hardware)
    found.admit(2 * MIB / 30e3)
    assert found.share(2 * MIB / 30e3) == pytest.approx(1.0, abs=1e-3)
    assert load_peaks(hardware, 2) == PEAKS
    assert "in this run only" in notes[-1]


def test_disturbed_peaks_are_not_kept(hardware: Hardware, measured: list[Peaks]) -> None:
    disturbed = replace(PEAKS, disturbed=True)
    measured.append(disturbed)
    found, _ = ceiling(program(), replace(hardware, peaks=disturbed))
    found.admit(8_000.0)
    assert found.share(8_000.0) == pytest.approx(1.0, abs=1e-3)
    assert load_peaks(hardware, 2) == PEAKS


def test_what_was_not_timed_in_turn_raises_no_peak_of_other_runs(hardware: Hardware, measured: list[Peaks]) -> None:
    """It may have been corrected by too much: a raised peak would have other runs take the machine for a slow one."""
    measured.append(PEAKS)
    found, notes = ceiling(program(), hardware)
    found.admit(8_000.0, lasting=False)
    assert found.share(8_000.0) == pytest.approx(1.0, abs=1e-3)
    assert load_peaks(hardware, 2) == PEAKS
    assert "in this run only" in notes[-1]


@pytest.mark.parametrize(("pattern", "seen"), [("FMA loop", 100.0), ("the mine kernel", None)])
def test_only_the_loop_that_measures_peaks_says_how_fast_a_quiet_machine_is(
    own_program: str, pattern: str, seen: float | None
) -> None:
    """Other kernels may count as more than they do, as those of dot instructions: against such a figure the loop always
    looks slow, and every latency would be corrected for a load that is not there."""
    peaks: list[float | None] = []

    def measurer(limits: Limits, peak_gflops: float | None) -> SimulatedMeasurer:
        peaks.append(peak_gflops)
        return simulated()

    made: Any = plan(own_program, trials=2, pool=["scout"], use_records=False, threads=2)
    stated = StatedCpu(made.target, made.threads, replace(PEAKS, fma_pattern=pattern))
    with using(replace(current(), measurer=measurer)):
        run(replace(made, device=stated))
    assert peaks == [seen]


def test_an_estimate_that_no_machine_could_reach_is_a_miscount(hardware: Hardware, measured: list[Peaks]) -> None:
    """A program of one's own may do less than TVM counts: then it has no share, and the peaks stay as they are."""
    measured.append(PEAKS)
    found, notes = ceiling(program(known=False), hardware)
    found.admit(100.0)  # 10,000 GFLOPS
    assert found.share(100.0) is None
    assert found.roofline is None
    assert found._host.hardware.peaks == PEAKS == load_peaks(hardware, 2)
    assert "less than was counted" in notes[-1]


def test_what_another_measurer_says_is_not_kept(hardware: Hardware, measured: list[Peaks]) -> None:
    """Made-up latencies would tell every later run that the machine is that fast."""
    measured.append(PEAKS)
    host = Peaked(hardware, world=Live(Parts(measurer=lambda limits, peak_gflops: simulated())))
    Ceiling(program(), CpuDevice(None, 2), host).admit(8_000.0)
    assert host.hardware.peaks != PEAKS
    assert load_peaks(hardware, 2) == PEAKS
