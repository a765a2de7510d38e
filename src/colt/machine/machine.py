"""The machine at hand: processor, SIMD, caches, memory."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from colt.machine.cpuinfo import (
    Cache,
    Processor,
    Simd,
    count_cores,
    parse_cpuinfo,
    parse_getconf,
    read_caches,
    simd_of,
)
from colt.machine.peaks import Peaks
from colt.machine.quiet import Quiet
from colt.machine.rates import Rates
from colt.machine.tiles import tiles_granted, usable_flags

# Assumed where Linux does not say, and then listed in ``Hardware.assumed``: every processor of interest has as much.
_VECTORS = re.compile("sse|avx|fma|f16c|amx|vnni|bf16|neon|asimd|sve|sme|i8mm|fphp")
_MOST = 10**18
ASSUMED_SIMD = Simd("unknown", 128, 16)
ASSUMED_L1D = Cache(32 * 2**10, 1)
ASSUMED_L2 = Cache(256 * 2**10, 1)


@dataclass(frozen=True, slots=True)
class Hardware:
    """What matters to schedules about a machine. ``assumed`` names the fields that Linux does not tell."""

    cpu: str
    cpu_identity: str
    architecture: str
    cores: int
    """Logical CPUs that this process may use."""
    simd: Simd
    l1d: Cache
    l2: Cache
    l3: Cache | None
    memory_bytes: int
    assumed: tuple[str, ...] = ()
    flags: tuple[str, ...] = field(default=(), repr=False)
    """The processor's, without those of AMX where Linux does not let the process use it."""
    peaks: Peaks = field(default_factory=Peaks)
    physical_cores: int | None = None
    """Cores that the logical CPUs are on, as far as Linux tells; ``None`` if it does not."""

    @property
    def last_level_cache(self) -> Cache:
        """L3, or L2 on a machine without one."""
        return self.l3 or self.l2

    @property
    def vector_flags(self) -> tuple[str, ...]:
        """Those of the processor's flags that say which vector and matrix instructions it has."""
        return tuple(flag for flag in self.flags if _VECTORS.search(flag))

    def require_possible(self) -> None:
        """Raise :class:`ValueError` for a machine that there cannot be: for one that others have told of."""
        caches, peaks = [cache for cache in (self.l1d, self.l2, self.l3) if cache is not None], self.peaks
        numbers = [self.cores, self.simd.vector_bits // 64, self.simd.registers]
        numbers += [number for cache in caches for number in (cache.bytes, cache.shared_by)]
        figures = [peaks.fma_gflops_1_thread, peaks.fma_gflops_all_threads, peaks.bandwidth_gbs]
        if not all(0 < number < _MOST for number in [*numbers, *(f for f in figures if f is not None)]):
            raise ValueError("cores, vectors, caches and peaks are described by numbers above 0")
        if peaks.rates is not None:
            Rates.from_record(asdict(peaks.rates))
        if peaks.quiet is not None:
            Quiet.from_record(asdict(peaks.quiet))

    def fingerprint(self) -> str:
        """Identifies the machine by processor, flags, cores and caches: 16 hexadecimal digits."""
        caches = [asdict(cache) for cache in (self.l1d, self.l2, self.l3) if cache]
        facts = [self.cpu, self.cpu_identity, self.architecture, self.flags, self.cores, caches]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def detect(
    cpuinfo: Path = Path("/proc/cpuinfo"),
    cpus: Path = Path("/sys/devices/system/cpu"),
    granted: Callable[[], bool] = tiles_granted,
) -> Hardware:
    """What Linux says about this machine, without peaks. ``granted``: whether it lets this process use AMX."""
    usable = os.sched_getaffinity(0)
    processor = parse_cpuinfo(cpuinfo.read_text()) if cpuinfo.exists() else Processor("unknown", "", ())
    caches = read_caches(cpus / f"cpu{min(usable)}") or _system_caches(len(usable))
    simd = simd_of(processor.flags)
    known = {"simd": simd, "l1d": caches.get(1), "l2": caches.get(2)}
    return Hardware(
        cpu=processor.model,
        cpu_identity=processor.identity,
        architecture=platform.machine(),
        cores=len(usable),
        simd=simd or ASSUMED_SIMD,
        l1d=caches.get(1, ASSUMED_L1D),
        l2=caches.get(2, ASSUMED_L2),
        l3=caches.get(3),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        assumed=tuple(name for name, value in known.items() if value is None),
        flags=usable_flags(processor.flags, granted),
        physical_cores=count_cores(cpus, usable),
    )


def _system_caches(cores: int) -> dict[int, Cache]:
    """Caches by level from ``getconf``, for machines whose ``/sys`` has none; empty if it has none either."""
    try:
        answer = subprocess.run(["getconf", "-a"], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return parse_getconf(answer.stdout, cores)
