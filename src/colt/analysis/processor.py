"""The processor as the analytical model sees it: what it can do in a slot, its caches, and their bandwidths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

ASSUMED_DOTS: Mapping[str, float] = MappingProxyType(
    {"avx512bw": 2.0, "avx2": 2.0, "amx-int8": 2.0, "amx-bf16": 2.0},
)
"""Two instructions where the processor has none that also adds; 16 cycles for a tile, which counts as 16 vectors, where
two vector instructions take one cycle."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The hardware as the model sees it. The defaults are assumptions, for machines on which nothing was measured.

    ``l2``, ``l3`` and ``dram`` are bandwidths of contiguous loads in bytes per nanosecond, ``dram`` for all threads
    together, the others for each. A load that starts elsewhere costs as much as that many further lines of its level:
    ``l2_jump``, ``l3_jump``, ``dram_jump``.
    """

    vector_bits: int
    registers: int
    threads: int
    peak_gflops: float
    """The fp32 peak of one thread."""
    l1_bytes: int
    l2_bytes: int
    l3_bytes: int
    dram: float
    l2: float = 100.0
    l3: float = 24.0
    l2_jump: float = 0.0
    l3_jump: float = 5.0
    dram_jump: float = 5.0
    latency: float = 7.0
    """Slots from one multiply-add to the next into the same register."""
    add_latency: float = 7.0
    """The same of sums, maxima and minima."""
    window: float = 0.0
    """Vector multiply-adds among which the processor finds some that need not wait for each other; 0: only the next."""
    store: float = 1.8
    """Slots of a vector store."""
    broadcast: float = 0.85
    """Slots of loading one element into all lanes."""
    division: float = 10.0
    """Slots of a vector division."""
    loop: float = 0.35
    """Slots that one turn of a loop that is not unrolled costs besides its body."""
    forwarding: float = 20.0
    """Slots from storing an accumulator to loading it again."""
    launch_us: float = 4.0
    """Microseconds to start a parallel loop on all threads."""
    dots: Mapping[str, float] = field(default_factory=lambda: ASSUMED_DOTS)
    """Slots of a vector dot instruction, by instruction set; 1 for those that it does not name. An instruction on tiles
    counts as 16."""

    @property
    def slot_ns(self) -> float:
        """Nanoseconds of one vector multiply-add."""
        return 2.0 * (self.vector_bits / 32) / self.peak_gflops
