"""The peaks and the rates of this machine, measured with TVM kernels in separate processes.

The processes (:mod:`colt.tvm.devices.peak_kernels`, :mod:`~colt.tvm.devices.rate_kernels` and
:mod:`~colt.tvm.devices.quiet_looks`) are new each time, since TVM's number of threads is fixed once it has run a
parallel kernel. This module does not import TVM.
"""

from __future__ import annotations

import json
import os
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from colt.errors import InputError, MeasureError
from colt.machine import Hardware, Peaks, Quiet, Rates, detect, load_peaks, read_dots, save_peaks
from colt.tvm.own import command

Part = TypeVar("Part")
_TIMEOUT_S = 90.0  # it takes 5 s on an idle machine, 17 s on one where two others compete for each core


def hardware_with_peaks(threads: int, refresh: bool = False) -> Hardware:
    """This machine with its peaks and rates for ``threads`` threads, from the cache; what is missing there is measured
    now, and cached.

    ``refresh`` measures in any case. Peaks measured while other programs kept the processor busy come with a warning
    and are not cached. Raises as :func:`measure_peaks`.
    """
    hardware = detect()
    known = None if refresh else load_peaks(hardware, threads)
    peaks = known or measure_peaks(threads)
    if peaks.rates is None:
        rates, disturbed = measure_rates(threads)
        peaks = replace(peaks, rates=rates, disturbed=peaks.disturbed or disturbed)
    elif not peaks.rates.complete:
        dots, disturbed = measure_dots(threads)
        peaks = replace(peaks, rates=replace(peaks.rates, dots=dots), disturbed=peaks.disturbed or disturbed)
    if peaks.quiet is None and not peaks.disturbed:
        peaks = replace(peaks, quiet=measure_quiet(peaks))
    if peaks.disturbed:
        warnings.warn("other programs kept the processor busy: the measured peaks may be too low", stacklevel=2)
    elif peaks != known:
        save_peaks(hardware, peaks)
    return replace(hardware, peaks=peaks)


def measured_again(hardware: Hardware, threads: int) -> Hardware:
    """The machine after another measurement. No peak is lower than before: each is the most ever seen.

    The peaks are cached unless other programs disturbed both measurements. Raises as :func:`measure_peaks`.
    """
    measured = measure_peaks(threads)
    disturbed = measured.disturbed and hardware.peaks.disturbed
    peaks = replace(
        measured.at_least(hardware.peaks), disturbed=disturbed, rates=hardware.peaks.rates, quiet=hardware.peaks.quiet
    )
    if not disturbed:
        save_peaks(hardware, peaks)
    return replace(hardware, peaks=peaks)


def measure_peaks(threads: int) -> Peaks:
    """Measure now. This takes some seconds, during which the machine should be idle otherwise.

    Raises
    ------
    InputError
        ``threads`` is not a positive integer.
    MeasureError
        The process died, took too long, or did not answer with peaks.
    """
    answer = _answer("peak_kernels", threads, "the peaks")
    try:
        peaks = Peaks.from_record(answer)
    except ValueError as error:
        raise MeasureError(f"measuring the peaks gave no result: {error}") from error
    if peaks.threads != threads:
        raise MeasureError(f"the peaks were measured with {peaks.threads} threads instead of {threads}")
    return peaks


def measure_rates(threads: int) -> tuple[Rates, bool]:
    """Measure now; also whether other programs took processor time meanwhile. This takes some seconds. Raises as
    :func:`measure_peaks`."""
    return _rates(threads, "rates", Rates.from_record)


def measure_dots(threads: int) -> tuple[tuple[tuple[str, float | None], ...], bool]:
    """Measure the dot instructions alone; see :attr:`Rates.dots` and :func:`measure_rates`."""
    return _rates(threads, "dots", read_dots, "dots")


def _rates(threads: int, name: str, read: Callable[[object], Part], *options: str) -> tuple[Part, bool]:
    """The part of that name of what the process that measures rates answers, and whether it was disturbed."""
    answer = _answer("rate_kernels", threads, "the rates", *options)
    try:
        if not isinstance(answer, dict) or not isinstance(answer.get("disturbed"), bool):
            raise ValueError("it does not say whether it was disturbed")
        return read(answer.get(name)), answer["disturbed"]
    except ValueError as error:
        raise MeasureError(f"measuring the rates gave no result: {error}") from error


def measure_quiet(peaks: Peaks) -> Quiet | None:
    """Measure now how steady the machine is for the peaks' number of threads; ``None`` while other programs keep it
    busy. This takes some seconds. Raises as :func:`measure_peaks`."""
    assert peaks.threads is not None
    what = "how quiet the machine is"
    answer = _answer("quiet_looks", peaks.threads, what, str(peaks.fma_gflops_all_threads))
    try:
        if not isinstance(answer, dict) or "quiet" not in answer:
            raise ValueError("it does not say what was seen")
        return None if answer["quiet"] is None else Quiet.from_record(answer["quiet"])
    except ValueError as error:
        raise MeasureError(f"measuring {what} gave no result: {error}") from error


def _answer(module: str, threads: int, what: str, *arguments: str) -> object:
    """What a measuring process prints, as JSON."""
    if threads < 1:
        raise InputError(f"threads is {threads}; it takes an integer of at least 1")
    try:
        done = subprocess.run(
            command(f"colt.tvm.devices.{module}", str(threads), *arguments),
            env=os.environ | {"TVM_NUM_THREADS": str(threads), "TVM_BIND_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MeasureError(f"{what} of this machine could not be measured: {error}") from error
    if done.returncode != 0:
        raise MeasureError(f"measuring {what} ended with status {done.returncode}: {_last_line(done.stderr)}")
    try:
        answer: object = json.loads(_last_line(done.stdout))
    except ValueError as error:
        raise MeasureError(f"measuring {what} gave no result: {error}") from error
    return answer


def _last_line(text: str) -> str:
    """TVM may print before the answer, and a traceback ends with its message."""
    return (text.strip().splitlines() or ["it printed nothing"])[-1]
