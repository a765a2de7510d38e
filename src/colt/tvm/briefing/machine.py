"""The machine in one line."""

from __future__ import annotations

from colt.machine import Hardware
from colt.machine.cpuinfo import Cache


def machine(hardware: Hardware, threads: int) -> str:
    """Threads, vectors, registers, caches and, where known, peaks: the facts that decide between schedules."""
    simd = hardware.simd
    facts = [
        f"{hardware.cpu}, {threads} thread{'s' * (threads > 1)}",
        f"{simd.name}: {simd.fp32_lanes} fp32 lanes, {simd.registers} vector registers",
        f"L1d {_cache(hardware.l1d)}, L2 {_cache(hardware.l2)}"
        + (f", L3 {_cache(hardware.l3)}" if hardware.l3 else ""),
    ]
    peaks = hardware.peaks
    if peaks.fma_gflops_all_threads is not None:
        facts.append(f"peak {peaks.fma_gflops_all_threads:.0f} GFLOPS")
    if peaks.bandwidth_gbs is not None:
        facts.append(f"memory {peaks.bandwidth_gbs:.0f} GB/s")
    return "; ".join(facts)


def _cache(cache: Cache) -> str:
    kib = cache.bytes // 2**10
    size = f"{kib // 2**10} MiB" if kib % 2**10 == 0 else f"{kib} KiB"
    return f"{size} shared" if cache.shared else size
