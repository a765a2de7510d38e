"""Measures a machine's rates in this process and prints them as one line of JSON:
``python -m colt.tvm.devices.rate_kernels THREADS``.

:mod:`colt.tvm.devices.peaks` runs it, with ``TVM_NUM_THREADS`` set to the same number. Every kernel is bound by one
thing only, and its best of many short runs counts. Walks through caches run on all threads at once, the others on one.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean, geometric_mean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script import tirx as T

from colt.machine import Hardware, Rates, detect
from colt.tvm.devices.peak_kernels import MIN_OCCUPIED, build, filled, fma_kernel

KERNEL_SECONDS = 0.12
LINE = 64
RUN = 128  # bytes that a walk reads before it goes on elsewhere
ROWS_APART = (2048, 4096)  # bytes between the rows of a walk
_DEPTH, _UNROLLED = 128, 8  # values of k of a register tile with operands in L1, and how many of them in a row
_CHAIN = 64  # dependent multiply-adds: more than hide behind each other anywhere, fewer than fill any window
_STEPS = 20_000
_shares: list[float] = []
_MOVED = 16 << 20  # bytes of one run of a walk that goes through a small array again and again


def chain_kernel(length: int, lanes: int, steps: int, repeats: int) -> Any:
    """out[s] = x[s] after ``length`` dependent multiply-adds. Different s need not wait for each other."""

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def main(x: T.handle, f: T.handle, out: T.handle) -> None:
        X = T.match_buffer(x, (steps, lanes), "float32")
        F = T.match_buffer(f, (length, lanes), "float32")
        Out = T.match_buffer(out, (steps, lanes), "float32")
        for _repeat in range(repeats):
            for s in range(steps):
                with T.sblock("chain"):
                    acc = T.sblock_alloc_buffer((1, lanes), "float32")
                    for lane in T.vectorized(lanes):
                        acc[0, lane] = X[s, lane]
                    for u in T.unroll(length):
                        for lane in T.vectorized(lanes):
                            acc[0, lane] = acc[0, lane] * F[u, lane] + X[s, lane]
                    for lane in T.vectorized(lanes):
                        Out[s, lane] = acc[0, lane]

    return main


def sum_kernel(lanes: int, steps: int, repeats: int) -> Any:
    """One vector sum of the rows of x, ``repeats`` times."""

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def main(x: T.handle, out: T.handle) -> None:
        X = T.match_buffer(x, (steps, lanes), "float32")
        Out = T.match_buffer(out, (1, lanes), "float32")
        with T.sblock("sum"):
            acc = T.sblock_alloc_buffer((1, lanes), "float32")
            for lane in T.vectorized(lanes):
                acc[0, lane] = T.float32(0)
            for _repeat in range(repeats):
                for s in range(steps):
                    for lane in T.vectorized(lanes):
                        acc[0, lane] = acc[0, lane] + X[s, lane]
            for lane in T.vectorized(lanes):
                Out[0, lane] = acc[0, lane]

    return main


def store_kernel(lanes: int, steps: int, repeats: int) -> Any:
    """out[s] = x, ``repeats`` times with other values."""

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def main(x: T.handle, out: T.handle) -> None:
        X = T.match_buffer(x, (lanes,), "float32")
        Out = T.match_buffer(out, (steps, lanes), "float32")
        for repeat in range(repeats):
            for s in range(steps // 16):
                for u in T.unroll(16):
                    for lane in T.vectorized(lanes):
                        Out[s * 16 + u, lane] = X[lane] + T.cast(repeat, "float32")

    return main


def division_kernel(lanes: int, steps: int, repeats: int) -> Any:
    """out[s] = x[s] / f[s], ``repeats`` times with other divisors."""

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def main(x: T.handle, f: T.handle, out: T.handle) -> None:
        X = T.match_buffer(x, (steps, lanes), "float32")
        F = T.match_buffer(f, (steps, lanes), "float32")
        Out = T.match_buffer(out, (steps, lanes), "float32")
        for repeat in range(repeats):
            for s in range(steps):
                for lane in T.vectorized(lanes):
                    Out[s, lane] = X[s, lane] / (F[s, lane] + T.cast(repeat, "float32"))

    return main


def broadcast_kernel(rows: int, steps: int, lanes: int, repeats: int) -> Any:
    """out[i] = the sum over s of x[s, i] f: a multiply-add of one element in all lanes for each row and step."""

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def main(x: T.handle, f: T.handle, out: T.handle) -> None:
        X = T.match_buffer(x, (steps, rows), "float32")
        F = T.match_buffer(f, (lanes,), "float32")
        Out = T.match_buffer(out, (rows, lanes), "float32")
        with T.sblock("broadcast"):
            acc = T.sblock_alloc_buffer((rows, lanes), "float32")
            for i in T.unroll(rows):
                for lane in T.vectorized(lanes):
                    acc[i, lane] = T.float32(0)
            for _repeat in range(repeats):
                for s in range(steps):
                    for i in T.unroll(rows):
                        for lane in T.vectorized(lanes):
                            acc[i, lane] = acc[i, lane] + X[s, i] * F[lane]
            for i in T.unroll(rows):
                for lane in T.vectorized(lanes):
                    Out[i, lane] = acc[i, lane]

    return main


def tile_kernel(rows: int, depth: int, lanes: int, unrolled: int, repeats: int) -> Any:
    """out[i, j] = sum over k of a[k, i] b[k, j] in a register tile two vectors wide; ``unrolled`` values of k without a
    branch."""

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def main(a: T.handle, b: T.handle, out: T.handle) -> None:
        A = T.match_buffer(a, (depth, rows), "float32")
        B = T.match_buffer(b, (depth, 2, lanes), "float32")
        Out = T.match_buffer(out, (rows, 2, lanes), "float32")
        for _repeat in range(repeats):
            with T.sblock("tile"):
                acc = T.sblock_alloc_buffer((rows, 2, lanes), "float32")
                for i in T.unroll(rows):
                    for u in T.unroll(2):
                        for lane in T.vectorized(lanes):
                            acc[i, u, lane] = T.float32(0)
                for k in range(depth // unrolled):
                    for n in T.unroll(unrolled):
                        for i in T.unroll(rows):
                            for u in T.unroll(2):
                                for lane in T.vectorized(lanes):
                                    acc[i, u, lane] = (
                                        acc[i, u, lane] + A[k * unrolled + n, i] * B[k * unrolled + n, u, lane]
                                    )
                for i in T.unroll(rows):
                    for u in T.unroll(2):
                        for lane in T.vectorized(lanes):
                            Out[i, u, lane] = acc[i, u, lane]

    return main


def walk_kernel(threads: int, rows: int, columns: int, vectors: int, lanes: int, repeats: int) -> Any:
    """Each thread sums its part of x down one column of ``vectors`` vectors after the other."""

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def main(x: T.handle, out: T.handle) -> None:
        X = T.match_buffer(x, (threads, rows, columns, vectors, lanes), "float32")
        Out = T.match_buffer(out, (threads, vectors, lanes), "float32")
        for t in T.parallel(threads):
            with T.sblock("walk"):
                vt = T.axis.spatial(threads, t)
                acc = T.sblock_alloc_buffer((vectors, lanes), "float32")
                for u in T.unroll(vectors):
                    for lane in T.vectorized(lanes):
                        acc[u, lane] = T.float32(0)
                for _repeat in range(repeats):
                    for c in range(columns):
                        for r in range(rows):
                            for u in T.unroll(vectors):
                                for lane in T.vectorized(lanes):
                                    acc[u, lane] = acc[u, lane] + X[vt, r, c, u, lane]
                for u in T.unroll(vectors):
                    for lane in T.vectorized(lanes):
                        Out[vt, u, lane] = acc[u, lane]

    return main


def launch_kernel(threads: int) -> Any:
    """A parallel loop with next to nothing to do."""

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def main(x: T.handle) -> None:
        X = T.match_buffer(x, (threads, 16), "float32")
        for t in T.parallel(threads):
            for lane in T.vectorized(16):
                X[t, lane] = T.float32(0)

    return main


def fastest_ns(kernel: Any, arrays: Sequence[NDArray[np.float32]], threads: int = 1) -> float:
    """Nanoseconds of the fastest of many runs. How much of its threads' processor time it got goes to ``_shares``."""
    function = build(kernel, threads)["main"]
    function(*arrays)
    best = float("inf")
    started, used = time.perf_counter(), time.process_time()
    while time.perf_counter() < started + KERNEL_SECONDS:
        begin = time.perf_counter_ns()
        function(*arrays)
        best = min(best, time.perf_counter_ns() - begin)
    _shares.append((time.process_time() - used) / (time.perf_counter() - started) / threads)
    return best


def slot_ns(hardware: Hardware) -> float:
    """Nanoseconds of a vector multiply-add at the peak of one thread."""
    lanes = hardware.simd.fp32_lanes
    counts = (hardware.simd.registers // 2, hardware.simd.registers * 3 // 4)
    return min(_multiply_adds_ns(count, lanes) for count in counts)


def _multiply_adds_ns(vectors: int, lanes: int) -> float:
    """Nanoseconds of a multiply-add where ``vectors`` of them need not wait for each other."""
    arrays = filled((vectors, lanes)), filled((lanes,), 0.0), filled((1, vectors, lanes))
    return fastest_ns(fma_kernel(1, vectors, lanes, _STEPS), arrays) / (_STEPS * vectors)


def in_slots(lanes: int, registers: int, slot: float) -> dict[str, float]:
    """The rates of instructions."""
    latency = _multiply_adds_ns(1, lanes) / slot
    rows = min(8, registers // 4)  # with two vectors each: a usual register tile
    turns = _tile_ns(rows, lanes, 1) - _tile_ns(rows, lanes, _UNROLLED)
    return {
        "latency": latency,
        "add_latency": _sum_ns(lanes) / slot,
        "window": latency * _CHAIN / max(1.0, _chain_ns(lanes) / slot),
        "store": _store_ns(lanes) / slot,
        "broadcast": _broadcast_ns(registers // 2, lanes) / slot,
        "division": _division_ns(lanes) / slot,
        "loop": max(0.0, turns / slot) * _UNROLLED / (_UNROLLED - 1),
    }


def _chain_ns(lanes: int) -> float:
    arrays = filled((32, lanes)), filled((_CHAIN, lanes), 0.5), filled((32, lanes))
    return fastest_ns(chain_kernel(_CHAIN, lanes, 32, 100), arrays) / (32 * 100 * _CHAIN)


def _sum_ns(lanes: int) -> float:
    return fastest_ns(sum_kernel(lanes, 256, 100), (filled((256, lanes)), filled((1, lanes)))) / (256 * 100)


def _store_ns(lanes: int) -> float:
    return fastest_ns(store_kernel(lanes, 256, 100), (filled((lanes,)), filled((256, lanes)))) / (256 * 100)


def _broadcast_ns(rows: int, lanes: int) -> float:
    arrays = filled((64, rows)), filled((lanes,)), filled((rows, lanes))
    return fastest_ns(broadcast_kernel(rows, 64, lanes, 200), arrays) / (64 * rows * 200)


def _division_ns(lanes: int) -> float:
    arrays = [filled((64, lanes)) for _ in range(3)]
    return fastest_ns(division_kernel(lanes, 64, 100), arrays) / (64 * 100)


def _tile_ns(rows: int, lanes: int, unrolled: int) -> float:
    """Nanoseconds of one value of k."""
    arrays = filled((_DEPTH, rows)), filled((_DEPTH, 2, lanes)), filled((rows, 2, lanes))
    return fastest_ns(tile_kernel(rows, _DEPTH, lanes, unrolled, 100), arrays) / (_DEPTH * 100)


def of_level(bytes_per_thread: int, threads: int, lanes: int) -> tuple[float, float]:
    """Bytes a nanosecond of contiguous loads, and the lines that a load elsewhere loses, of whatever holds an array of
    that size for each thread."""
    vectors = 8
    steps = max(1, bytes_per_thread // (4 * lanes * vectors))
    moved = steps * 4 * lanes * vectors
    repeats = max(1, _MOVED // moved)
    arrays = filled((threads, 1, steps, vectors, lanes)), filled((threads, vectors, lanes))
    whole = fastest_ns(walk_kernel(threads, 1, steps, vectors, lanes, repeats), arrays, threads)
    rate = moved * repeats / whole
    lost = [_jump_ns(moved, apart, threads, lanes, repeats, rate) * rate / LINE for apart in ROWS_APART]
    return rate, geometric_mean([max(0.1, lines) for lines in lost])


def _jump_ns(moved: int, apart: int, threads: int, lanes: int, repeats: int, rate: float) -> float:
    """Nanoseconds that every :data:`RUN` bytes take longer down columns of rows ``apart`` bytes apart."""
    vectors = RUN // (4 * lanes)
    rows, columns = moved // apart, apart // RUN
    array = filled((threads, rows, columns, vectors, lanes))
    kernel = walk_kernel(threads, rows, columns, vectors, lanes, repeats)
    taken = fastest_ns(kernel, (array, filled((threads, vectors, lanes))), threads)
    return taken / (rows * columns * repeats) - RUN / rate


def of_memory(hardware: Hardware, threads: int) -> dict[str, float]:
    """The rates of caches and memory. Arrays are half of L2; as large as several L2; twice the last level."""
    lanes, l2 = hardware.simd.fp32_lanes, hardware.l2.bytes // hardware.l2.shared_by
    last = hardware.last_level_cache.bytes
    from_l2, l2_jump = of_level(l2 // 2, threads, lanes)
    beyond_l2 = min(8 * l2, last // (2 * threads)) if hardware.l3 else 4 * l2
    from_l3, l3_jump = of_level(beyond_l2, threads, lanes)
    large = min(max(2 * last, 32 << 20), 256 << 20, hardware.memory_bytes // 32)
    _, dram_jump = of_level(large // threads, threads, lanes)
    return {"l2_gbs": from_l2, "l3_gbs": from_l3, "l2_jump": l2_jump, "l3_jump": l3_jump, "dram_jump": dram_jump}


def measure(threads: int) -> tuple[Rates, bool]:
    """All rates, and whether other programs took processor time meanwhile."""
    hardware = detect()
    _shares.clear()
    instructions = in_slots(hardware.simd.fp32_lanes, hardware.simd.registers, slot_ns(hardware))
    launch = fastest_ns(launch_kernel(threads), (filled((threads, 16)),), threads) / 1000 if threads > 1 else 0.0
    values = {**instructions, **of_memory(hardware, threads), "launch_us": launch}
    return Rates(**{name: round(value, 3) for name, value in values.items()}), fmean(_shares) < MIN_OCCUPIED


if __name__ == "__main__":
    rates, disturbed = measure(int(sys.argv[1]))
    print(json.dumps({"rates": asdict(rates), "disturbed": disturbed}))
