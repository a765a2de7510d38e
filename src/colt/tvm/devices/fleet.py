"""The hosts of a Ray cluster as a device: :mod:`colt.fleet`, with TVM on the hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tvm
from tvm.target import Target

from colt.errors import ArgumentError, InputError, MeasureError
from colt.fleet.cluster import require_address
from colt.fleet.likeness import Wanted, choose
from colt.fleet.measurer import FleetMeasurer
from colt.fleet.roster import Equipment
from colt.fleet.session import Session, entered
from colt.fleet.wire import HostReport
from colt.machine import Hardware, detect
from colt.measure.base import Limits, Measurer, Pace
from colt.tvm.devices.assumed import resolve_board_target
from colt.tvm.devices.base import USUAL_PACE, Device
from colt.tvm.devices.cpu import CpuDevice
from colt.tvm.devices.elsewhere import Elsewhere
from colt.tvm.devices.hold import Hold
from colt.tvm.devices.host import available_cores, target_config
from colt.tvm.devices.host_cpu import host_cpu
from colt.tvm.own import packed
from colt.tvm.programs.program import fingerprint
from colt.tvm.workers import LocalMeasurer
from colt.util.version import versions

_TIMES = 3
"""How often the reference kernel is timed where a host joins."""
_TRIPLES = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu", "arm64": "aarch64-linux-gnu"}


class CpuSide:
    """What a host does: a :class:`~colt.fleet.host.Side`."""

    def report(self) -> HostReport:
        """See :meth:`Side.report`."""
        hardware = detect()
        cpu = host_cpu(hardware.flags)
        return HostReport(
            cpu=hardware.cpu,
            architecture=hardware.architecture,
            features=hardware.vector_flags,
            cores=available_cores(),
            mcpu=cpu.name,
            mattr=cpu.corrections,
            versions=versions(),
        )

    def hardware(self, target: str, threads: int) -> tuple[Hardware, tuple[str, ...]]:
        """See :meth:`Side.hardware`; peaks come from the host's cache, or are measured now."""
        return CpuDevice(Target(target_config(target)), threads).look()

    def measurer(self, target: str, threads: int, limits: Limits, pace: Pace) -> Measurer:
        """See :meth:`Side.measurer`."""
        return LocalMeasurer(Target(target_config(target)), threads, limits, pace=pace)

    def references_us(self, measurer: Measurer) -> Sequence[float]:
        """See :meth:`Side.references_us`."""
        assert isinstance(measurer, LocalMeasurer)
        return [measurer.gauge()[1] for _ in range(_TIMES)]


SIDE = packed(CpuSide())


@dataclass(frozen=True, slots=True)
class FleetDevice(Elsewhere):
    """Kernels are built and run on the hosts of a cluster that are alike. A :class:`~colt.tvm.devices.base.Device`."""

    cluster: str
    """Its address, as the user gave it."""
    target: Target
    threads: int
    wanted: Wanted

    place = "the fleet"
    assumptions = ()
    why_no_peaks = None

    @classmethod
    def resolved(
        cls,
        cluster: str,
        cpu: str | None,
        target: str | Mapping[str, Any] | Target | None,
        threads: int | None,
    ) -> FleetDevice:
        """Enter the cluster and choose the hosts: of a model with ``cpu`` in its name, or of that which most have.

        Raises :class:`~colt.errors.InputError` where there is no cluster, or no host to be chosen.
        """
        require_address(cluster)
        session = entered(cluster, available_cores(), SIDE)
        try:
            heard = session.reports(cpu)
        except InputError:
            session.close()
            raise
        if not heard:
            silent = "; ".join(f"{name}: {why}" for name, why in session.silent().items())
            session.close()  # else it would take the hosts once they are free
            raise ArgumentError("fleet", f"has no host that can measure ({silent or 'the cluster lends no cores'})")
        wanted = choose(heard, cpu, threads)
        model = next(report for report, _ in heard.values() if report.cpu == wanted.cpu)
        found = resolve_board_target(_completed(target, model), wanted.threads)
        return cls(cluster, found.target, wanted.threads, wanted)

    @classmethod
    def recorded(cls, cluster: str, cpu: str | None, target: Target, threads: int) -> FleetDevice:
        """The fleet of a run that is over; nothing is entered."""
        return cls(cluster, target, threads, Wanted(cpu or "", threads))

    def elsewhere(self, cluster: str) -> FleetDevice:
        """The same hosts in another cluster. Raises :class:`~colt.errors.InputError` if that is no address."""
        require_address(cluster)
        return replace(self, cluster=cluster)

    @property
    def address(self) -> str:
        """Where it is."""
        return f"Ray cluster at {self.cluster}"

    def to_config(self) -> Mapping[str, str]:
        """See :meth:`Device.to_config`; the cpu is what was chosen."""
        return {"fleet": self.cluster, "fleet_cpu": self.wanted.cpu}

    def hold(self) -> Hold:
        """See :meth:`Device.hold`; waits for the first host, others may join later."""
        session = self._session()
        before_s = session.queued_s
        try:
            session.await_host()
        except MeasureError:
            session.close()  # else it would take the hosts once they are free
            raise
        return Hold(before_s, session.queued_s - before_s, close=session.close)

    def look(self) -> tuple[Hardware, tuple[str, ...]]:
        """See :meth:`Device.look`: the first host, whose peaks come from its cache or are measured now."""
        said = self._session().hardware(str(self.target), self.threads)
        return said.hardware, said.notes

    def measurer(
        self, limits: Limits | None = None, *, peak_gflops: float | None = None, pace: Pace = USUAL_PACE
    ) -> Measurer:
        """See :meth:`Device.measurer`. Hosts find out themselves how fast they are when quiet: they may differ."""
        limits = limits or Limits()
        session = self._session()
        session.equip(Equipment(str(self.target), self.threads, limits, pace))
        return FleetMeasurer(session, limits, fingerprint, self._here)

    def _here(self) -> Measurer:
        """What writes libraries, on this machine."""
        return LocalMeasurer(self.target, min(self.threads, available_cores()), workers=1)

    def _session(self) -> Session:
        session = entered(self.cluster, available_cores(), SIDE)
        session.admit(self.wanted)
        return session


def require_like_here(device: Device, what: str) -> None:
    """See that this machine is like the hosts of a fleet, since ``what`` runs here in the end.

    Raises :class:`~colt.errors.InputError`.
    """
    if not isinstance(device, FleetDevice):
        return
    here, cores = detect().cpu, available_cores()
    if here != device.wanted.cpu:
        raise ArgumentError(
            "fleet", f"has hosts with {device.wanted.cpu}, this machine is {here}: {what} runs here in the end"
        )
    if device.threads > cores:
        raise ArgumentError(
            "fleet",
            f"has kernels of {device.threads} threads, this machine has {cores} cores: {what} runs here in the end",
        )


def _completed(target: str | Mapping[str, Any] | Target | None, host: HostReport) -> Any:
    """The target with the processor of a host, where the user names none."""
    try:
        config = target_config(target)
    except (ValueError, TypeError, tvm.error.InternalError):
        return target  # whoever resolves it says why
    if config.get("kind") == "llvm" and config.get("mcpu") in (None, "native"):
        config["mcpu"] = host.mcpu
        if host.mattr:
            config.setdefault("mattr", list(host.mattr))
        if host.architecture != detect().architecture:
            config.setdefault("mtriple", _TRIPLES.get(host.architecture, host.architecture))
    return config
