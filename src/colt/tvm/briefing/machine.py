"""The machine in a few lines."""

from __future__ import annotations

from colt.machine import Hardware, Rates
from colt.machine.cpuinfo import Cache
from colt.tvm.cost.scorer import machine_of


def machine(hardware: Hardware, threads: int) -> str:
    """Threads, vectors, registers, caches and, where measured, peaks, bandwidths and what instructions take: the facts
    that decide between schedules."""
    simd, peaks = hardware.simd, hardware.peaks
    rates = peaks.rates
    facts = [
        f"{hardware.cpu}; {threads} thread{'s' * (threads > 1)}{_cores(hardware)}",
        f"{simd.name}: {simd.fp32_lanes} fp32 lanes, {simd.registers} vector registers",
    ]
    if peaks.fma_gflops_all_threads is not None:
        facts.append(f"peak {peaks.fma_gflops_all_threads:.0f} GFLOPS")
    levels = [
        f"L1d {_cache(hardware.l1d)}",
        f"L2 {_cache(hardware.l2)}{_speed(None if rates is None else rates.l2_gbs)}",
    ]
    if hardware.l3:
        levels.append(f"L3 {_cache(hardware.l3)}{_speed(None if rates is None else rates.l3_gbs)}")
    if peaks.bandwidth_gbs is not None:
        levels.append(f"memory {peaks.bandwidth_gbs:.0f} GB/s in all")
    lines = ["; ".join(facts), ", ".join(levels)]
    if rates is not None:
        lines.append(_ports(rates, machine_of(hardware, threads).slot_ns))
    return "\n".join(lines)


def _speed(gbs: float | None) -> str:
    """What a thread reads from a cache, where that was measured."""
    return "" if gbs is None else f" {gbs:.0f} GB/s a thread"


def _cores(hardware: Hardware) -> str:
    """Whether threads have ports of their own."""
    cores = hardware.physical_cores
    if cores is None:
        return ""
    if cores < hardware.cores:
        return f", {hardware.cores} hyperthreads on {cores} core{'s' * (cores > 1)}"
    return " on cores of their own"


def _ports(rates: Rates, slot_ns: float) -> str:
    """What instructions take."""
    return (
        f"In vector FMAs ({slot_ns:.2g} ns a thread), measured: store {rates.store:.2g}, broadcast load "
        f"{rates.broadcast:.2g} (also inside an FMA), division {rates.division:.2g}, loop turn {rates.loop:.2g}, FMA "
        f"latency {rates.latency:.2g}; a parallel loop starts in {rates.launch_us:.2g} us"
    )


def _cache(cache: Cache) -> str:
    kib = cache.bytes // 2**10
    size = f"{kib // 2**10} MiB" if kib % 2**10 == 0 else f"{kib} KiB"
    return f"{size} shared" if cache.shared else size
