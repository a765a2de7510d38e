"""Measured rates of a machine: what single instructions, caches and the start of a parallel loop take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

DOT_INSTRUCTIONS = (
    *("avx512vnni", "avxvnniint8", "avxvnni", "avx512bw", "avx2", "avx512bf16"),
    *("amx-int8", "amx-bf16"),
)
"""The instruction sets whose dot instructions are measured, by LLVM's names of their features."""
_MOST = 1e6
"""No rate of a real machine is larger, in any of the units below."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What the analytical model takes from the machine. A *slot* is the time of one vector multiply-add at the peak of
    one thread, a *line* the time in which 64 contiguous bytes come from the level of memory in question."""

    latency: float
    """Slots from one vector multiply-add to the next into the same register."""
    add_latency: float
    """The same of sums."""
    window: float
    """Vector multiply-adds among which the processor finds some that need not wait for each other."""
    store: float
    """Slots of a vector store to L1."""
    broadcast: float
    """Slots of loading one float32 into all lanes."""
    division: float
    """Slots of a vector division."""
    loop: float
    """Slots of one turn of a loop besides its body."""
    l2_gbs: float
    """Gigabytes (10⁹ bytes) a second of contiguous loads from L2, for each of the threads at once."""
    l3_gbs: float
    """The same from L3; from memory where there is no L3."""
    l2_jump: float
    """Lines lost from L2 each time that loads go on elsewhere."""
    l3_jump: float
    """The same from L3."""
    dram_jump: float
    """The same from memory."""
    launch_us: float
    """Microseconds to start and end a parallel loop on all threads."""
    dots: tuple[tuple[str, float | None], ...] = ()
    """Slots of one vector dot instruction, by instruction set; ``None`` if the machine lacks it. One on tiles counts as
    16 on vectors. Those of earlier versions' files are not known."""

    @property
    def complete(self) -> bool:
        """Whether every dot instruction is known."""
        return {name for name, _ in self.dots} >= set(DOT_INSTRUCTIONS)

    @classmethod
    def from_record(cls, record: object) -> Rates:
        """Rates from JSON; ``dots`` may be missing.

        Raises
        ------
        ValueError
            A field is missing, unknown, or not plausible.
        """
        names = [item.name for item in fields(cls) if item.name != "dots"]
        if not isinstance(record, Mapping) or set(record) - {"dots"} != set(names):
            raise ValueError(f"rates are not an object with the fields {', '.join(names)}")
        return cls(**{name: _plausible(name, record[name]) for name in names}, dots=read_dots(record.get("dots", ())))


def read_dots(record: object) -> tuple[tuple[str, float | None], ...]:
    """Rates of dot instructions from JSON. Raises ``ValueError`` as :meth:`Rates.from_record`."""
    if not isinstance(record, list | tuple):
        raise ValueError(f"dots are {record!r}, not a list of pairs")
    found: list[tuple[str, float | None]] = []
    for pair in record:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or pair[0] not in DOT_INSTRUCTIONS:
            raise ValueError(f"dots hold {pair!r}, not a pair of one of {', '.join(DOT_INSTRUCTIONS)} and a number")
        found.append((pair[0], None if pair[1] is None else _plausible(pair[0], pair[1])))
    return tuple(found)


def _plausible(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST:
        raise ValueError(f"{name} is {value!r}, not a number from 0 to {_MOST:g}")
    if name.endswith("gbs") and value == 0:
        raise ValueError(f"{name} is 0")
    return float(value)
