"""The CPU of this machine as a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tvm.target import Target

from colt.errors import MeasureError
from colt.machine import Hardware, Peaks, save_peaks
from colt.measure.base import Limits, Measurer, Pace
from colt.store.directory import KERNEL
from colt.tvm.devices.base import USUAL_PACE, require_threads
from colt.tvm.devices.hold import Hold, hold_this_machine
from colt.tvm.devices.host import available_cores, resolve_target
from colt.tvm.devices.host_cpu import host_cpu
from colt.tvm.devices.peaks import hardware_with_peaks, measured_again
from colt.tvm.workers import LocalMeasurer
from colt.util.caught import caught_warnings


@dataclass(frozen=True, slots=True)
class CpuDevice:
    """Kernels run in worker processes on this machine. A :class:`~colt.tvm.devices.base.Device`."""

    target: Target
    threads: int

    place = "this machine"
    address = None
    assumptions = ()
    why_no_peaks = None
    remeasures = True
    kernel_name = KERNEL
    why_not_linked = None

    @classmethod
    def resolved(cls, target: str | Mapping[str, Any] | Target | None, threads: int | None) -> CpuDevice:
        """This machine, for :func:`~colt.tvm.devices.host.resolve_target` of ``target``; all cores if ``threads`` is
        ``None``. Raises :class:`~colt.errors.InputError`."""
        cores = available_cores()
        require_threads(threads, cores, ", the cores of this machine")
        return cls(resolve_target(target, threads or cores), threads or cores)

    def to_config(self) -> Mapping[str, str]:
        """See :meth:`Device.to_config`."""
        return {}

    def hold(self) -> Hold:
        """See :meth:`Device.hold`; runs on this machine measure beside each other, but not beside a fleet."""
        return hold_this_machine()

    def look(self) -> tuple[Hardware, tuple[str, ...]]:
        """See :meth:`Device.look`; peaks come from the machine's cache, or are measured now."""
        with caught_warnings() as notes:
            hardware = hardware_with_peaks(self.threads)
        cpu = host_cpu(hardware.flags)
        used = tuple(map(str, self.target.attrs.get("mattr") or ())) == cpu.corrections
        remarks = [cpu.remark] if cpu.remark and used else []
        return hardware, (*remarks, *notes)

    def look_again(self, hardware: Hardware) -> tuple[Hardware, tuple[str, ...]]:
        """See :meth:`Device.look_again`."""
        with caught_warnings() as notes:
            try:
                hardware = measured_again(hardware, self.threads)
            except MeasureError as error:
                notes.append(str(error))
        return hardware, tuple(notes)

    def keep_peaks(self, hardware: Hardware, peaks: Peaks) -> None:
        """See :meth:`Device.keep_peaks`; they go to the machine's cache."""
        save_peaks(hardware, peaks)

    def measurer(
        self, limits: Limits | None = None, *, peak_gflops: float | None = None, pace: Pace = USUAL_PACE
    ) -> Measurer:
        """See :meth:`Device.measurer`."""
        return LocalMeasurer(self.target, self.threads, limits, peak_gflops=peak_gflops, pace=pace)
