"""Measuring peaks, once for real; what the parent makes of a process that fails; the kernels' machine code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from colt.errors import InputError, MeasureError
from colt.machine import DOT_INSTRUCTIONS, Peaks, Quiet, Rates, detect, load_peaks, save_peaks
from colt.tvm.devices import peak_kernels, peaks, rate_kernels, register_kernels
from colt.tvm.devices.host import available_cores
from colt.tvm.dots import TABLE
from colt.tvm.dots.table import Method
from tests.helpers.dot_programs import runs_here

PEAKS = Peaks(100.0, 190.0, 20.0, "copy", 2, "2026-01-01T00:00:00+00:00")
ANSWER = json.dumps(asdict(PEAKS))
DOTS = tuple((name, None if "int8" in name else 1.0) for name in DOT_INSTRUCTIONS)
RATES = Rates(8.0, 4.0, 200.0, 2.0, 1.0, 5.0, 0.1, 250.0, 100.0, 5.0, 4.0, 2.0, 1.0, DOTS)
QUIET = Quiet(1.1, 0.01)
MEASURED = replace(PEAKS, rates=RATES, quiet=QUIET)
RATES_ANSWER = {"rates": asdict(RATES), "dots": DOTS, "disturbed": False}
QUIET_ANSWER = {"quiet": asdict(QUIET)}


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLT_CACHE_DIR", str(tmp_path))


@pytest.fixture
def answers(monkeypatch):
    """Let the process that measures peaks be one that runs the given Python code, the others print ``rates`` and
    ``quiet``; gives the list of what was measured."""
    started = []
    real = subprocess.run

    def answer(code: str, rates: object = RATES_ANSWER, quiet: object = QUIET_ANSWER) -> list[str]:
        def run(command, **options):
            _, module, threads, *parts = command[command.index("-m") + 1 :]
            name = module.rpartition(".")[2]
            started.append(" ".join([name, threads, *(parts if name == "rate_kernels" else ())]))
            others = {"rate_kernels": rates, "quiet_looks": quiet}
            ran = f"print({json.dumps(others[name])!r})" if name in others else code
            return real([sys.executable, "-c", ran], **options)

        monkeypatch.setattr(subprocess, "run", run)
        return started

    return answer


@pytest.mark.alone
def test_measured_peaks_are_plausible():
    threads = available_cores()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this machine may be busy
        measured = peaks.hardware_with_peaks(threads).peaks
    assert measured.measured
    assert measured.threads == threads
    assert 1 < measured.fma_gflops_1_thread < 1000
    assert measured.fma_gflops_1_thread * 0.9 <= measured.fma_gflops_all_threads
    assert measured.fma_gflops_all_threads <= measured.fma_gflops_1_thread * threads * 2
    assert 0.5 < measured.bandwidth_gbs < 5000
    assert load_peaks(detect(), threads) == (None if measured.disturbed else measured)


@pytest.mark.alone
def test_measured_rates_are_plausible():
    rates, _ = peaks.measure_rates(available_cores())
    assert 2 < rates.latency < 40
    assert 1 < rates.add_latency < 40
    assert 8 < rates.window < 5000
    assert all(0.2 < slots < 60 for slots in (rates.store, rates.broadcast, rates.division))
    assert rates.l3_gbs < rates.l2_gbs
    assert 0 < rates.launch_us < 1000
    assert rates.complete
    assert all(slots is None or 0.4 < slots < 20 for _, slots in rates.dots)


def test_the_cache_saves_measuring_until_refreshed(answers):
    started = answers(f"print({ANSWER!r})")
    assert peaks.hardware_with_peaks(2).peaks == MEASURED
    assert peaks.hardware_with_peaks(2).peaks == MEASURED
    assert started == ["peak_kernels 2", "rate_kernels 2", "quiet_looks 2"]
    peaks.hardware_with_peaks(2, refresh=True)
    assert started == ["peak_kernels 2", "rate_kernels 2", "quiet_looks 2"] * 2


def test_only_what_the_cache_lacks_is_measured(answers):
    save_peaks(detect(), PEAKS)  # as an earlier version left it
    started = answers("raise SystemExit('known')")
    assert peaks.hardware_with_peaks(2).peaks == MEASURED
    assert load_peaks(detect(), 2) == MEASURED
    assert started == ["rate_kernels 2", "quiet_looks 2"]


def test_of_known_rates_only_the_missing_dots_are_measured(answers):
    save_peaks(detect(), replace(MEASURED, rates=replace(RATES, dots=DOTS[:2])))
    started = answers("raise SystemExit('known')")
    assert peaks.hardware_with_peaks(2).peaks == MEASURED
    assert load_peaks(detect(), 2) == MEASURED
    assert started == ["rate_kernels 2 dots"]


def test_every_instruction_set_of_the_table_is_measured():
    assert {row.instruction_set for row in TABLE} == set(DOT_INSTRUCTIONS)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "does not say whether it was disturbed"),
        ({"rates": asdict(RATES)}, "does not say whether it was disturbed"),
        ({"rates": {}, "disturbed": False}, "rates are not an object with the fields latency, add_latency"),
        ({"rates": asdict(RATES) | {"store": -1}, "disturbed": False}, "store is -1, not a number from 0"),
        ({"rates": asdict(RATES) | {"l3_gbs": 0}, "disturbed": False}, "l3_gbs is 0"),
        ({"rates": asdict(RATES) | {"loop": True}, "disturbed": False}, "loop is True"),
        ({"rates": asdict(RATES) | {"dots": [["amx", 1.0]]}, "disturbed": False}, "dots hold .'amx', 1.0., not a pair"),
        ({"rates": asdict(RATES) | {"dots": [["avx2", -1]]}, "disturbed": False}, "avx2 is -1, not a number from 0"),
    ],
)
def test_rates_that_make_no_sense_are_an_error(answers, answer, message):
    answers(f"print({ANSWER!r})", answer)
    with pytest.raises(MeasureError, match=message):
        peaks.hardware_with_peaks(2)
    assert load_peaks(detect(), 2) is None


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([], "does not say what was seen"),
        ({"quiet": {}}, "not an object with the fields"),
        ({"quiet": 1}, "not an object"),
    ],
)
def test_looks_that_make_no_sense_are_an_error(answers, answer, message):
    answers(f"print({ANSWER!r})", quiet=answer)
    with pytest.raises(MeasureError, match=message):
        peaks.hardware_with_peaks(2)


def test_a_machine_that_is_never_quiet_is_looked_at_again_next_time(answers):
    started = answers(f"print({ANSWER!r})", quiet={"quiet": None})
    for _ in range(2):
        assert peaks.hardware_with_peaks(2).peaks == replace(MEASURED, quiet=None)
    assert started == ["peak_kernels 2", "rate_kernels 2", "quiet_looks 2", "quiet_looks 2"]


def test_peaks_measured_again_do_not_fall_and_are_kept(answers):
    started = answers(f"print({ANSWER!r})")
    before = replace(MEASURED, fma_gflops_all_threads=150.0, bandwidth_gbs=25.0, bandwidth_pattern="triad")
    again = peaks.measured_again(replace(detect(), peaks=before), 2).peaks
    assert again == replace(MEASURED, bandwidth_gbs=25.0, bandwidth_pattern="triad")
    assert load_peaks(detect(), 2) == again
    assert len(started) == 1


def test_disturbed_peaks_are_used_but_not_kept(answers):
    disturbed = replace(MEASURED, disturbed=True, quiet=None)
    for of_peaks, of_rates in ((True, False), (False, True)):
        answer = json.dumps(asdict(replace(PEAKS, disturbed=of_peaks)))
        started = answers(f"print({answer!r})", RATES_ANSWER | {"disturbed": of_rates})
        for _ in range(2):
            with pytest.warns(UserWarning, match="kept the processor busy"):
                assert peaks.hardware_with_peaks(2).peaks == disturbed
    assert len(started) == 8


def test_what_tvm_prints_before_the_answer_does_not_matter(answers):
    answers(f"print('[12:00] warning: something'); print({ANSWER!r})")
    assert peaks.measure_peaks(2) == PEAKS


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit('no vectors here')", "status 1: no vectors here"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "status -11"),
        ("", "gave no result"),
        ("print('{}')", "gave no result: peaks are not an object"),
        (f"print({ANSWER.replace('190.0', '-1')!r})", "gave no result: fma_gflops_all_threads is -1"),
        (f"print({json.dumps(asdict(replace(PEAKS, threads=1)))!r})", "with 1 threads instead of 2"),
    ],
)
def test_a_process_that_fails_is_an_error_and_nothing_is_kept(answers, code, message):
    answers(code)
    with pytest.raises(MeasureError, match=message):
        peaks.hardware_with_peaks(2)
    assert load_peaks(detect(), 2) is None


def test_a_process_that_hangs_is_ended(answers, monkeypatch):
    monkeypatch.setattr(peaks, "_TIMEOUT_S", 0.2)
    answers("import time; time.sleep(60)")
    with pytest.raises(MeasureError, match="timed out"):
        peaks.measure_peaks(2)


def test_threads_are_at_least_one():
    with pytest.raises(InputError, match="threads is 0"):
        peaks.measure_peaks(0)


@pytest.mark.skipif(detect().simd.name != "AVX-512", reason="reads AVX-512 assembly")
def test_the_fma_loop_is_nothing_but_fused_multiply_adds_on_registers():
    vectors = 24
    assembly = register_kernels.build(peak_kernels.fma_kernel(1, vectors, 16, 1000), 1).inspect_source("asm")
    blocks = re.split(r"^\.?\w+:.*$", assembly, flags=re.MULTILINE)
    loop = max(blocks, key=lambda block: block.count("vfmadd"))
    instructions = [line.split("#")[0].strip() for line in loop.splitlines() if line.startswith("\t")]
    instructions = [line for line in instructions if line and not line.startswith(".")]
    fused = [line for line in instructions if re.fullmatch(r"vfmadd\w+ps\s+%zmm\d+, %zmm\d+, %zmm\d+", line)]
    others = [line for line in instructions if line not in fused]
    assert len(fused) >= vectors
    assert len(fused) % vectors == 0
    assert all(re.match(r"(add|dec|inc|cmp|sub|test|j)\w*\s", line) for line in others), others
    assert len(others) <= 4


def run(kernel, *values: float):
    """The result of a kernel called with arrays filled with these values; on as many threads as it has parts."""
    arrays = register_kernels.arguments(kernel, *values)
    register_kernels.build(kernel, 2)["main"](*arrays)
    return arrays[-1]


def test_peak_kernels_compute_what_they_claim():
    np.testing.assert_array_equal(run(peak_kernels.copy_kernel(2, 8, 4)), 1.0)
    np.testing.assert_array_equal(run(peak_kernels.triad_kernel(2, 8, 4), 1.0, 2.0), 7.0)
    sums = run(peak_kernels.read_kernel(2, 2, 10, 4), 0.5)
    assert sums.shape == (2, 8, 4)
    np.testing.assert_array_equal(sums, 5.0)
    np.testing.assert_array_equal(run(peak_kernels.fma_kernel(1, 3, 4, 5), 3.0, 1.0), 3.0 * 2**5)


def test_rate_kernels_compute_what_they_say():
    chained = 2.0
    for _ in range(5):
        chained = chained * 0.5 + 2.0
    np.testing.assert_allclose(run(rate_kernels.chain_kernel(5, 4, 3, 2), 2.0, 0.5), chained)
    np.testing.assert_allclose(run(rate_kernels.sum_kernel(4, 3, 2), 2.0), 12.0)
    np.testing.assert_allclose(run(rate_kernels.store_kernel(4, 16, 3), 7.0), 9.0)
    np.testing.assert_allclose(run(rate_kernels.division_kernel(4, 3, 2), 2.0, 1.0), 1.0)
    np.testing.assert_allclose(run(rate_kernels.broadcast_kernel(2, 3, 4, 2), 2.0, 3.0), 36.0)
    np.testing.assert_allclose(run(rate_kernels.tile_kernel(2, 16, 4, 8, 2), 2.0, 3.0), 96.0)
    np.testing.assert_allclose(run(rate_kernels.walk_kernel(2, 3, 5, 2, 4, 2)), 30.0)


@pytest.mark.parametrize("name", [name for name in DOT_INSTRUCTIONS if not name.startswith("amx")])
def test_a_tile_of_dots_computes_dots(name):
    dot = next(row for row in TABLE if row.instruction_set == name)
    if not runs_here(name):
        pytest.skip(f"this processor lacks {name}")
    words = {"bfloat16": 0x40004000, "uint8": 0x02020202, "int8": 0x02020202}[dot.left]  # a group of twos
    if dot.method is Method.MADD:
        words = 0x00020002
    kernel = rate_kernels.tile_kernel(2, 16, dot.lanes, 8, 2, dot)
    np.testing.assert_array_equal(run(kernel, words, words), 16 * dot.group * 4)
