"""Records of benchmarks that never ran, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Sequence

from colt.bench.config import BenchConfig, Peer, StrategyName
from colt.bench.figures import Results, WorkloadResults
from colt.bench.records import CellRecord, ContenderRecord, RemeasureRecord, TrialRecord


def config(**changes: object) -> BenchConfig:
    settings: dict[str, object] = {
        "workloads": ("matmul",),
        "size": "small",
        "strategies": (StrategyName.STOCK, StrategyName.COLT),
        "trials": 4,
        "seeds": 2,
        "space": "own",
        "warm_start": 0,
        "peers": (Peer.NUMPY,),
        "threads": 2,
    }
    return BenchConfig(**{**settings, **changes})  # type: ignore[arg-type]


def cell(
    strategy: StrategyName, seed: int, latencies_us: Sequence[float | None], workload: str = "matmul", **changes: object
) -> CellRecord:
    trials = tuple(
        TrialRecord(fate="ok" if us is not None else "crash", latency_us=us, seconds=float(number))
        for number, us in enumerate(latencies_us, 1)
    )
    best = min((us for us in latencies_us if us is not None), default=None)
    return CellRecord(
        workload=workload,
        strategy=strategy,
        seed=seed,
        best_us=best,
        wall_seconds=20.0 + seed,
        search_seconds=10.0 + seed,
        stop_reason="trials",
        trials=trials,
        **changes,  # type: ignore[arg-type]
    )


def failed_cell(strategy: StrategyName, seed: int, failure: str, workload: str = "matmul") -> CellRecord:
    return CellRecord(workload=workload, strategy=strategy, seed=seed, failure=failure, wall_seconds=1.0)


def winner(strategy: StrategyName, seed: int, latencies_us: Sequence[float], problem: str = "") -> ContenderRecord:
    return ContenderRecord(strategy=strategy, seed=seed, latencies_us=tuple(latencies_us), problem=problem)


def peer(name: Peer, latencies_us: Sequence[float], problem: str = "") -> ContenderRecord:
    return ContenderRecord(peer=name, latencies_us=tuple(latencies_us), problem=problem)


def results(
    cells: Sequence[CellRecord], contenders: Sequence[ContenderRecord], disturbed: int = 0, **changes: object
) -> Results:
    """Of one workload, a matmul of a million operations, so that a GFLOPS is 1000 / us."""
    rounds = max((len(one.latencies_us) for one in contenders), default=0)
    remeasured = RemeasureRecord(
        workload="matmul", flops=1_000_000, contenders=tuple(contenders), rounds=rounds, disturbed=disturbed
    )
    return Results(config(**changes), (WorkloadResults("matmul", tuple(cells), remeasured),))
