"""Machines, speed-ups and verdicts of verification in words."""

from __future__ import annotations

import shlex

from colt.machine import Cache, Hardware, Quiet, Rates
from colt.store.receipt import FleetPart, Receipt
from colt.util.text import counted, in_us


def hardware_rows(hardware: Hardware) -> list[tuple[str, str]]:
    """Everything that is known about the machine, as names and values."""
    simd, peaks = hardware.simd, hardware.peaks
    rows = [
        ("cpu", hardware.cpu),
        ("cores", f"{hardware.cores} usable"),
        ("SIMD", f"{simd.name}: {simd.fp32_lanes} fp32 lanes, {simd.registers} vector registers"),
        ("L1 data", _cache(hardware.l1d)),
        ("L2", _cache(hardware.l2)),
        ("L3", _cache(hardware.l3)),
        ("memory", f"{hardware.memory_bytes / 2**30:.1f} GiB"),
        ("FMA peak, 1 thread", _figure(peaks.fma_gflops_1_thread, "GFLOPS")),
        (
            f"FMA peak, {counted(peaks.threads or 0, 'thread')}",
            _figure(peaks.fma_gflops_all_threads, f"GFLOPS ({peaks.fma_pattern})"),
        ),
        ("memory bandwidth", _figure(peaks.bandwidth_gbs, f"GB/s ({peaks.bandwidth_pattern})")),
        *(_rate_rows(peaks.rates) if peaks.rates else ()),
        *(_quiet_rows(peaks.quiet) if peaks.quiet else ()),
        ("measured", _when(peaks.measured_at)),
    ]
    if hardware.assumed:
        rows.append(("assumed, not known", ", ".join(hardware.assumed)))
    return rows


def _rate_rows(rates: Rates) -> list[tuple[str, str]]:
    """A line is the time in which 64 contiguous bytes arrive."""
    return [
        ("L2 bandwidth, a thread", f"{rates.l2_gbs:.0f} GB/s; {rates.l2_jump:.1f} lines lost by going on elsewhere"),
        (
            "L3 bandwidth, a thread",
            f"{rates.l3_gbs:.0f} GB/s; {rates.l3_jump:.1f} lines, from memory {rates.dram_jump:.1f}",
        ),
        ("FMA waits for an FMA", f"{rates.latency:.1f} FMAs long, a sum for a sum {rates.add_latency:.1f}"),
        ("FMAs looked ahead", f"{rates.window:.0f}"),
        ("store, broadcast, division", f"{rates.store:.1f}, {rates.broadcast:.1f}, {rates.division:.1f} FMAs long"),
        *([("dot instructions", _dots(rates))] if rates.dots else []),
        ("turn of a loop", f"{rates.loop:.1f} FMAs long"),
        ("start of a parallel loop", in_us(rates.launch_us)),
    ]


def _quiet_rows(quiet: Quiet) -> list[tuple[str, str]]:
    slower, queued = quiet.slowdown_threshold, quiet.queued_threshold
    return [
        ("steady within", f"{quiet.slowdown:.2f}x; threads wait for {quiet.queued:.1%} of the time"),
        ("another load is", f"what slows the machine down by {slower:.2f}x, or has threads wait for {queued:.0%}"),
    ]


def _dots(rates: Rates) -> str:
    found = [f"{name} {slots:.1f}" for name, slots in rates.dots if slots is not None]
    return f"{', '.join(found)} FMAs long" if found else "none"


def _cache(cache: Cache | None) -> str:
    if cache is None:
        return "none"
    size = f"{cache.bytes / 2**20:g} MiB" if cache.bytes >= 2**20 else f"{cache.bytes / 2**10:g} KiB"
    return f"{size}, shared by {cache.shared_by} cores" if cache.shared else f"{size} per core"


def _when(time: str | None) -> str:
    return "never" if time is None else time.replace("T", " ").replace("+00:00", " UTC")


def _figure(value: float | None, unit: str) -> str:
    return "not measured" if value is None else f"{value:.1f} {unit}"


def verified_text(receipt: Receipt) -> str:
    """What verification says of the result. An untuned program that is kept is compared with nothing."""
    if receipt.best is None:
        return "nothing, as the untuned program is kept"
    return f"{'ok' if receipt.verified.ok else 'FAILED'} {receipt.verified.message}".rstrip()


def speedup_text(speedup: float, interval: tuple[float, float] | None) -> str:
    """A speed-up with its 95 % interval, if there is one."""
    if interval is None:
        return f"{_times(speedup)} (no interval)"
    low, high = interval
    return f"{_times(speedup)} ({_times(low)} to {_times(high)} with 95 % confidence)"


def _times(factor: float) -> str:
    return f"{factor:,.1f}x" if factor >= 10 else f"{factor:.2f}x"


def how_to_go_on(stop_reason: str, run_dir: str) -> str:
    """What to do after a run that has stopped before its end; empty if it has come to it."""
    stopped = {
        "interrupted": "it was interrupted",
        "broken off": "it broke off",
        "storage": "its files could not be written any more",
        "pool": "no language model could be asked",
    }
    why = stopped.get(stop_reason)
    return "" if why is None else f"{why}; colt resume {shlex.quote(run_dir)} goes on from here"


def fleet_text(fleet: FleetPart) -> str:
    """Who measured how many trials, where it was decided, and who was lost or refused."""
    hosts = ", ".join(f"{host.name} {len(host.trials)}{' (left)' if host.left else ''}" for host in fleet.hosts)
    decided = f"; decided on {fleet.decided_on}" if fleet.decided_on else ""
    lost = f"; hosts lost {fleet.lost}x, {counted(fleet.measured_again, 'trial')} measured again" if fleet.lost else ""
    refused = f"; refused: {', '.join(fleet.refused)}" if fleet.refused else ""
    return f"{hosts}{decided}{lost}{refused}"
