"""How near to the limit of this machine a program runs, and what keeps that limit believable.

A peak that a kernel exceeds is void: it is measured again, and if the kernel still exceeds it, the kernel's own figure
is the peak from then on, since it has been seen. On a device that measures no peak again the figure counts at once,
and in that run only. Only correct kernels may be held against a peak.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from colt.machine import Bound, Hardware, Roofline, Work
from colt.machine.roofline import ROUNDING
from colt.tvm.devices.base import Device
from colt.tvm.programs.source import Program, why_no_roofline
from colt.world.answers import Looked
from colt.world.world import World

BEYOND_CACHES = 4
"""Arguments of so many times the last-level cache show what memory can do; part of smaller ones may come from there."""
MISCOUNT = 2.0
"""No kernel is so many times above a peak that has just been measured: what it does was counted wrong."""


class Host(Protocol):
    """The run, as far as its peaks are concerned."""

    hardware: Hardware
    """The machine with its peaks as they stand. All tasks share it."""
    world: World

    def note(self, message: str) -> None:
        """Tell the user."""
        ...


class Ceiling:
    """The roofline of one program on the machine of a run."""

    def __init__(self, program: Program, device: Device, host: Host) -> None:
        self.program = program
        self._device = device
        self._host = host
        self._measured_again = False
        self._miscounted = False

    @property
    def work(self) -> Work | None:
        """What the program does, as far as it can be held against the peaks."""
        program = self.program
        if why_no_roofline(program) is not None or self._miscounted:
            return None
        in_cache = program.min_bytes <= self._host.hardware.last_level_cache.bytes
        return Work(program.flops or 0, program.min_bytes, in_cache)

    @property
    def roofline(self) -> Roofline | None:
        """What the program can reach at most; ``None`` if that is not known."""
        return self.work.roofline(self._host.hardware.peaks) if self.work else None

    @property
    def limit_us(self) -> float | None:
        """Microseconds that the program takes at its roofline; ``None`` if that is not known."""
        if self.work is None or self.roofline is None:
            return None
        return self.work.flops / (self.roofline.gflops * 1e3)

    def share(self, latency_us: float) -> float | None:
        """The share of the roofline that a latency reaches; above 1 until :meth:`admit` has dealt with it."""
        if self.work is None or self.roofline is None:
            return None
        return self.work.gflops(latency_us) / self.roofline.gflops

    def admit(self, latency_us: float, lasting: bool = True) -> None:
        """Take a correct kernel's latency in: no peak is below what the kernel reached afterwards. Not ``lasting``: in
        other runs it may be, since the latency may have been corrected for another load, by too much."""
        if not self._exceeded(latency_us):
            return
        if self._device.remeasures and not self._measured_again:
            self._measure_again(latency_us)
        if not self._exceeded(latency_us):
            return
        # Operations and bytes of a program of one's own are estimates: it may skip operations, or read arrays in part.
        if self.program.workload is None and (self.share(latency_us) or 0.0) > MISCOUNT:
            self._miscounted = True
            self._host.note(
                f"the {self.program.name} kernel would exceed {self._peak()} more than {MISCOUNT:g} times: "
                "it does less than was counted, so that no share of the roofline is given"
            )
        else:
            self._raise(latency_us, lasting)

    def _exceeded(self, latency_us: float) -> bool:
        return (self.share(latency_us) or 0.0) > 1 + ROUNDING

    def _measure_again(self, latency_us: float) -> None:
        self._measured_again = True
        self._host.note(f"a kernel reaches {self._excess(latency_us)}, which is void and measured again")
        seen = self._host.world.take(f"hardware again, {self._device.threads} threads", Looked, self._look_again)
        self._host.hardware = seen.hardware
        for message in seen.notes:
            self._host.note(message)

    def _look_again(self) -> Looked:
        hardware, notes = self._device.look_again(self._host.hardware)
        return Looked(hardware=hardware, notes=notes)

    def _raise(self, latency_us: float, lasting: bool) -> None:
        work, old = self.work, self._host.hardware.peaks
        assert work is not None
        why = "still exceeds it, so that"
        if not self._device.remeasures:
            lasting, why = False, f"reaches {self._excess(latency_us)}, which is void:"
        peaks = work.raised(old, latency_us, f"the {self.program.name} kernel")
        self._host.hardware = replace(self._host.hardware, peaks=peaks)
        kept = peaks
        if work.bytes_moved < BEYOND_CACHES * self._host.hardware.last_level_cache.bytes:
            kept = replace(peaks, bandwidth_gbs=old.bandwidth_gbs, bandwidth_pattern=old.bandwidth_pattern)
        own = self._host.world.parts.measurer is None  # what another measurer says tells nothing of this machine
        if kept != old and not old.disturbed and own and lasting:
            self._host.world.live(lambda: self._device.keep_peaks(self._host.hardware, kept))
        until = "from now on" if kept == peaks and not old.disturbed and lasting else "in this run only"
        self._host.note(f"a kernel {why} its own figure counts {until}: {self._peak()}")

    def _excess(self, latency_us: float) -> str:
        return f"{self.share(latency_us):.2f} of {self._peak()}"

    def _peak(self) -> str:
        """The peak that bounds the program, in words."""
        peaks = self._host.hardware.peaks
        if self.roofline is not None and self.roofline.bound is Bound.BANDWIDTH:
            return f"the memory bandwidth of {peaks.bandwidth_gbs:.2f} GB/s"
        return f"the FMA peak of {peaks.fma_gflops_all_threads:.2f} GFLOPS"
