"""Records made up, for tests of what keeps them."""

from __future__ import annotations

from typing import Any

from colt.records.record import Key, MachineKey, Origin, ProgramKey, StockForm, StoredRecord, Versions, Words

ORIGIN = Origin(by="tuner", when="2026-01-01T00:00:00Z", run="matmul-1", trials=64, seconds=30.5, usd=0.25)


def key(structure: int = 1, family: int = 1, extents: tuple[int, ...] = (64, 64, 64), **machine: Any) -> Key:
    """A key of that program; ``machine`` differs from the usual one."""
    usual = {"target": '{"kind":"llvm"}', "features": "avx512f", "threads": 2, "exact_math": False}
    return Key(
        program=ProgramKey(structure=f"{structure:016x}", family=f"{family:016x}", extents=extents),
        machine=MachineKey(**usual | machine),
        versions=Versions(tvm="0.27.0"),
    )


def record(tile: int = 8, latency_us: float = 100.0, of: Key | None = None, **changes: Any) -> StoredRecord:
    """A record whose schedule has that inner tile."""
    usual = {
        "name": "matmul",
        "key": of or key(),
        "latency_us": latency_us,
        "interval_us": (latency_us * 0.9, latency_us * 1.1),
        "verified": True,
        "machine": "0123456789abcdef",
        "cpu": "a processor",
        "origin": ORIGIN,
        "words": Words(variant="plain", sketch="fused", knobs={"C.i": [8, 1, 1, tile], "unroll": 16, "p.at": "root"}),
        "stock": StockForm(program="123", trace="[[], []]", target="{}", arguments="[]"),
    }
    return StoredRecord(**usual | changes)
