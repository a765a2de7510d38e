"""How near to the limit of this machine a program runs, and what keeps that limit believable.

A peak that a kernel exceeds is void: it is measured again, and if the kernel still exceeds it, the kernel's own figure
is the peak from then on, since it has been seen. Only correct kernels may be held against a peak.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from colt.errors import MeasureError
from colt.machine import Bound, Hardware, Roofline, Work, save_peaks
from colt.machine.roofline import ROUNDING
from colt.tvm.devices.peaks import measured_again
from colt.tvm.programs.source import Program, why_no_roofline
from colt.world.answers import Looked
from colt.world.world import Live, World

BEYOND_CACHES = 4
"""Arguments of so many times the last-level cache show what memory can do; part of smaller ones may come from there."""
MISCOUNT = 2.0
"""No kernel is so many times above a peak that has just been measured: what it does was counted wrong."""


@dataclass(slots=True)
class Ceiling:
    """The roofline of one program on this machine; ``hardware`` holds the peaks as they stand."""

    program: Program
    threads: int
    hardware: Hardware
    note: Callable[[str], None]
    outside: World = field(default_factory=Live)
    _measured_again: bool = False
    _miscounted: bool = False

    @property
    def work(self) -> Work | None:
        """What the program does, as far as it can be held against the peaks."""
        program = self.program
        if why_no_roofline(program) is not None or self._miscounted:
            return None
        in_cache = program.min_bytes <= self.hardware.last_level_cache.bytes
        return Work(program.flops or 0, program.min_bytes, in_cache)

    @property
    def roofline(self) -> Roofline | None:
        """What the program can reach at most; ``None`` if that is not known."""
        return self.work.roofline(self.hardware.peaks) if self.work else None

    def share(self, latency_us: float) -> float | None:
        """The share of the roofline that a latency reaches; above 1 until :meth:`admit` has dealt with it."""
        if self.work is None or self.roofline is None:
            return None
        return self.work.gflops(latency_us) / self.roofline.gflops

    def admit(self, latency_us: float) -> None:
        """Take a correct kernel's latency in: no peak is below what the kernel reached afterwards."""
        if not self._exceeded(latency_us):
            return
        if not self._measured_again:
            self._measure_again(latency_us)
        if not self._exceeded(latency_us):
            return
        # Operations and bytes of a program of one's own are estimates: it may skip operations, or read arrays in part.
        if self.program.workload is None and (self.share(latency_us) or 0.0) > MISCOUNT:
            self._miscounted = True
            self.note(
                f"the {self.program.name} kernel would exceed {self._peak()} more than {MISCOUNT:g} times: "
                "it does less than was counted, so that no share of the roofline is given"
            )
        else:
            self._raise(latency_us)

    def _exceeded(self, latency_us: float) -> bool:
        return (self.share(latency_us) or 0.0) > 1 + ROUNDING

    def _measure_again(self, latency_us: float) -> None:
        self._measured_again = True
        self.note(f"a kernel reaches {self.share(latency_us):.2f} of {self._peak()}, which is void and measured again")
        seen = self.outside.take(f"hardware again, {self.threads} threads", Looked, self._look_again)
        self.hardware = seen.hardware
        for message in seen.notes:
            self.note(message)

    def _look_again(self) -> Looked:
        hardware, messages = self.hardware, []
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                hardware = measured_again(hardware, self.threads)
            except MeasureError as error:
                messages.append(str(error))
        return Looked(hardware=hardware, notes=(*messages, *(str(warning.message) for warning in warned)))

    def _raise(self, latency_us: float) -> None:
        work, old = self.work, self.hardware.peaks
        assert work is not None
        peaks = work.raised(old, latency_us, f"the {self.program.name} kernel")
        self.hardware = replace(self.hardware, peaks=peaks)
        kept = peaks
        if work.bytes_moved < BEYOND_CACHES * self.hardware.last_level_cache.bytes:
            kept = replace(peaks, bandwidth_gbs=old.bandwidth_gbs, bandwidth_pattern=old.bandwidth_pattern)
        if kept != old and not old.disturbed:
            self.outside.live(lambda: save_peaks(self.hardware, kept))
        until = "from now on" if kept == peaks and not old.disturbed else "in this run only"
        self.note(f"a kernel still exceeds it, so that its own figure counts {until}: {self._peak()}")

    def _peak(self) -> str:
        """The peak that bounds the program, in words."""
        peaks = self.hardware.peaks
        if self.roofline is not None and self.roofline.bound is Bound.BANDWIDTH:
            return f"the memory bandwidth of {peaks.bandwidth_gbs:.2f} GB/s"
        return f"the FMA peak of {peaks.fma_gflops_all_threads:.2f} GFLOPS"
