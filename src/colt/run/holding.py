"""The device of a run: held as long as the run may measure on it, looked at, and measured on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from colt.machine import Hardware, Quiet
from colt.measure.base import Limits, Measurer
from colt.plan import Plan
from colt.tvm.devices.hold import Hold
from colt.tvm.programs.program import fingerprint
from colt.world.answers import Clock, Looked
from colt.world.measurer import RecordableMeasurer
from colt.world.world import World

TRIAL_LIMITS = Limits()
"""Trials are timed until they can be ranked; the leaders are timed again, in turn, at the end."""
COLD_CACHES = 2
"""Weights of so many times the last-level cache leave nothing in it of those before."""


def limits_on(quiet: Quiet | None) -> Limits:
    """The limits of trials on a machine that is known to be so steady; the usual ones if that is not known."""
    if quiet is None:
        return TRIAL_LIMITS
    return replace(TRIAL_LIMITS, noise_threshold=quiet.slowdown_threshold, noise_queued=quiet.queued_threshold)


def hold(plan: Plan, world: World) -> Hold | None:
    """Have the device to measure on, until the hold is closed; ``None`` if nothing is measured there.

    Raises :class:`~colt.errors.MeasureError` if others have it for too long.
    """
    return world.live(plan.device.hold) if world.parts.measurer is None else None


def look(plan: Plan, world: World, notes: Sequence[str]) -> Looked:
    """The machine with its peaks, and what the user should know; ``notes`` are what the hold says.

    Raises :class:`~colt.errors.MeasureError` if the device is not there, or its peaks cannot be measured.
    """

    def answer() -> Looked:
        hardware, more = plan.device.look()
        return Looked(hardware=hardware, notes=(*notes, *more))

    return world.take(f"hardware, {plan.threads} threads", Looked, answer)


def bytes_apart(plan: Plan, hardware: Hardware) -> int | None:
    """How far calls of a model's programs are apart, see :attr:`~colt.measure.base.Limits.apart_bytes`."""
    return min(plan.weight_bytes, COLD_CACHES * hardware.last_level_cache.bytes) or None


def measurer(
    plan: Plan, world: World, hardware: Hardware, apart_bytes: int | None, clock: Callable[[], Clock | None]
) -> RecordableMeasurer:
    """What measures on the device, to be entered. ``clock`` says where the run's time has gone."""
    parts, peaks = world.parts, hardware.peaks
    limits = replace(limits_on(peaks.quiet), apart_bytes=apart_bytes)
    peak = peaks.of_reference

    def make() -> Measurer:
        if parts.measurer is not None:
            return parts.measurer(limits, peak)
        return plan.device.measurer(limits, peak_gflops=peak, pace=plan.pace)

    several = plan.options.fleet is not None or plan.options.boards > 1
    return RecordableMeasurer(world, make, fingerprint, clock, several)
