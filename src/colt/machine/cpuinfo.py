"""What Linux says about the processor: text and files in, plain values out. Tests feed it those of other machines."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Simd:
    """A vector instruction set: the width of a register in bits and the number of them that a program can name."""

    name: str
    vector_bits: int
    registers: int

    @property
    def fp32_lanes(self) -> int:
        """float32 elements in a register."""
        return self.vector_bits // 32


@dataclass(frozen=True, slots=True)
class Cache:
    """One cache: its size in bytes and how many logical CPUs share it."""

    bytes: int
    shared_by: int

    @property
    def shared(self) -> bool:
        """Whether more than one logical CPU uses it."""
        return self.shared_by > 1


@dataclass(frozen=True, slots=True)
class Processor:
    """One processor of ``/proc/cpuinfo``. ``model`` is its marketing name, ``identity`` what tells steppings apart."""

    model: str
    identity: str
    flags: tuple[str, ...]


_UNKNOWN = "unknown"

# (flags that must all be there, what they mean), widest first. FMA comes with AVX2 in practice; without it there is
# no fused peak to speak of, so such a machine counts as AVX.
_X86 = (
    ({"avx512f"}, Simd("AVX-512", 512, 32)),
    ({"avx2", "fma"}, Simd("AVX2", 256, 16)),
    ({"avx"}, Simd("AVX", 256, 16)),
    ({"sse2"}, Simd("SSE2", 128, 16)),
)
# SVE machines count as NEON: TVM emits vectors of fixed width, which become NEON instructions there.
_ARM = (({"asimd"}, Simd("NEON", 128, 32)),)


def parse_cpuinfo(text: str) -> Processor:
    """Read ``/proc/cpuinfo`` of an x86 or ARM machine; what is not there is ``unknown``."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, separator, value = line.partition(":")
        if separator:
            fields.setdefault(key.strip().lower(), value.strip())  # the first processor's; ARM puts the model last
    flags = fields.get("flags") or fields.get("features") or ""
    x86 = [fields[key] for key in ("vendor_id", "cpu family", "model", "stepping") if key in fields]
    arm = [fields[key] for key in ("cpu implementer", "cpu variant", "cpu part", "cpu revision") if key in fields]
    arm_name = "ARM {} part {}".format(*(fields.get(f"cpu {key}", _UNKNOWN) for key in ("implementer", "part")))
    model = fields.get("model name") or (arm_name if arm else _UNKNOWN)
    return Processor(model, " ".join(arm or x86), tuple(sorted(set(flags.split()))))


def simd_of(flags: tuple[str, ...]) -> Simd | None:
    """The widest instruction set that the flags of ``/proc/cpuinfo`` promise; ``None`` if they name none we know."""
    available = set(flags)
    return next((simd for needed, simd in _X86 + _ARM if needed <= available), None)


def read_caches(cpu_folder: Path) -> dict[int, Cache]:
    """Data and unified caches by level, from a folder such as ``/sys/devices/system/cpu/cpu0``.

    Levels whose files are missing or unreadable, as on some virtual machines, are left out.
    """
    caches: dict[int, Cache] = {}
    for index in sorted((cpu_folder / "cache").glob("index*")):
        try:
            kind, level, size, shared = (
                (index / name).read_text().strip() for name in ("type", "level", "size", "shared_cpu_list")
            )
            if kind != "Instruction":
                caches[int(level)] = Cache(parse_size(size), len(parse_cpu_list(shared)))
        except (OSError, ValueError):
            continue
    return caches


def count_cores(cpus: Path, usable: Iterable[int]) -> int | None:
    """How many cores these logical CPUs are on, from a folder such as ``/sys/devices/system/cpu``; ``None`` if it does
    not tell."""
    cores = set()
    for number in usable:
        try:
            cores.add(parse_cpu_list((cpus / f"cpu{number}/topology/thread_siblings_list").read_text()))
        except (OSError, ValueError):
            return None
    return len(cores) or None


def parse_getconf(text: str, cores: int) -> dict[int, Cache]:
    """Caches by level from the output of ``getconf -a``, which knows no sharing and adds up the slices of an L3."""
    names = {"LEVEL1_DCACHE_SIZE": 1, "LEVEL2_CACHE_SIZE": 2, "LEVEL3_CACHE_SIZE": 3}
    lines = [line.split() for line in text.splitlines()]
    sizes = {
        names[line[0]]: int(line[1]) for line in lines if len(line) == 2 and line[0] in names and line[1].isdigit()
    }
    return {level: Cache(size, cores if level == 3 else 1) for level, size in sizes.items() if size > 0}


def parse_size(text: str) -> int:
    """The bytes of a size such as ``32K``. Raises ValueError."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text.strip())
    size = int(match[1]) * {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}[match[2]] if match else 0
    if size == 0:
        raise ValueError(f"{text!r} is no size of a cache")
    return size


def parse_cpu_list(text: str) -> frozenset[int]:
    """The CPUs of a list such as ``0-3,8``. Raises ValueError."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return frozenset(cpus)
