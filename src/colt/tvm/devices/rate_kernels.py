"""Measures a machine's rates in this process and prints them as one line of JSON:
``python -m colt.tvm.devices.rate_kernels THREADS [dots]``, with ``dots`` those of dot instructions alone.

:mod:`colt.tvm.devices.peaks` runs it, with ``TVM_NUM_THREADS`` set to the same number. Every kernel is bound by one
thing only, and its best of many short runs counts. Walks through caches run on all threads at once, the others on one.
"""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import asdict, dataclass, field
from statistics import fmean, geometric_mean
from typing import Any

import tvm
from tvm import tirx
from tvm.ir import StringImm
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.script import tirx as T
from tvm.tirx import AttrStmt, For, ForKind, PrimFunc, SeqStmt, decl_buffer

from colt.machine import Hardware, Rates, detect
from colt.tvm.devices.host import resolve_target
from colt.tvm.devices.peak_kernels import MIN_OCCUPIED, fma_kernel
from colt.tvm.devices.register_kernels import KernelInput, Registers, UpdatePlace, arguments, build, register_kernel
from colt.tvm.dots import tiles
from colt.tvm.dots.intrinsics import instruction
from colt.tvm.dots.shims import BF16_IR, IMPORT, TILE_IR
from colt.tvm.dots.table import TABLE, TILE_ROWS, Dot, Method, has
from colt.tvm.programs.nests import whole

KERNEL_SECONDS = 0.12
LINE = 64
RUN = 128  # bytes that a walk reads before it goes on elsewhere
ROWS_APART = (2048, 4096)  # bytes between the rows of a walk
_DEPTH, _UNROLLED = 128, 8  # values of k of a register tile with operands in L1, and how many of them in a row
_TILE_STEPS = 8  # steps on tiles of a sum: operands take 32 KB
_CHAIN = 64  # dependent multiply-adds: more than hide behind each other anywhere, fewer than fill any window
_STEPS = 20_000
_MOVED = 16 << 20  # bytes of one run of a walk that goes through a small array again and again


def chain_kernel(length: int, lanes: int, steps: int, repeats: int) -> Any:
    """out[s] = x[s] after ``length`` dependent multiply-adds. Different s need not wait for each other."""
    frame = Registers(1, lanes, (), around=(repeats, steps), turns=length)

    def start(x: Any, at: UpdatePlace) -> Any:
        return x[0].vload([at.around[-1], 0], frame.vector)

    def step(total: Any, x: Any, at: UpdatePlace) -> Any:
        return total * x[1].vload([at.turn, 0], frame.vector) + start(x, at)

    return register_kernel(frame, [KernelInput((steps, lanes)), KernelInput((length, lanes))], step, start)


def sum_kernel(lanes: int, steps: int, repeats: int) -> Any:
    """One vector sum of the rows of x, ``repeats`` times."""
    frame = Registers(1, lanes, (repeats, steps))
    return register_kernel(
        frame, [KernelInput((steps, lanes))], lambda total, x, at: total + x[0].vload([at.loops[-1], 0], frame.vector)
    )


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
    frame = Registers(rows, lanes, (repeats, steps))

    def step(total: Any, x: Any, at: UpdatePlace) -> Any:
        element = tirx.BufferLoad(x[0], [at.loops[-1], at.register])
        return total + tirx.Broadcast(element, lanes) * x[1].vload([0], frame.vector)

    return register_kernel(frame, [KernelInput((steps, rows)), KernelInput((lanes,))], step)


def tile_kernel(rows: int, depth: int, lanes: int, unrolled: int, repeats: int, dot: Dot | None = None) -> Any:
    """out[i, j] = sum over k of a[k, i] b[k, j] in a register tile two vectors wide; ``unrolled`` values of k without a
    branch. With a ``dot``, elements are its groups, as words of 32 bits."""
    kind, imported = ("float32", "") if dot is None else ("int32", BF16_IR if dot.method is Method.BF16 else "")
    result = "float32" if dot is None else dot.result
    frame = Registers(
        2 * rows, lanes, (depth // unrolled,), around=(repeats, 1), turns=unrolled, dtype=result, imported=imported
    )

    def step(total: Any, x: Any, at: UpdatePlace) -> Any:
        row, vector = divmod(at.register, 2)
        k = at.loops[0] * unrolled + at.turn
        one = tirx.Broadcast(tirx.BufferLoad(x[0], [k, row]), lanes)
        other = x[1].vload([k, vector, 0], f"{kind}x{lanes}")
        return total + one * other if dot is None else instruction(dot, total, one, other)

    return register_kernel(frame, [KernelInput((depth, rows), kind), KernelInput((depth, 2, lanes), kind)], step)


def amx_kernel(dot: Dot, depth: int, repeats: int) -> Any:
    """out = the product of ``depth`` steps of a register tile on tiles, ``repeats`` times."""
    assert dot.tiles is not None
    down, across = dot.tiles
    left, right = (kind.replace("bfloat16", "uint16") for kind in (dot.left, dot.right))  # numpy's arrays have none
    a = decl_buffer((down * TILE_ROWS, depth * dot.terms), left, "x0")
    b = decl_buffer((across, depth * dot.fold, dot.lanes, dot.group), right, "x1")
    out = decl_buffer((dot.rows, dot.columns), dot.result, "out")
    k, repeat = (tvm.ir.Var(name, "int32") for name in ("k", "r"))
    step = SeqStmt(tiles.step(dot, a, [0, k * dot.terms], b, [0, k * dot.fold, 0, 0]))
    turns = For(k, 0, depth, ForKind.SERIAL, step)
    once = SeqStmt([*tiles.zeros(dot.tiles), turns, *tiles.stores(dot.tiles, out, [0, 0])])
    body = SeqStmt([tiles.begin(), For(repeat, 0, repeats, ForKind.SERIAL, once), tiles.end()])
    body = AttrStmt(StringImm(""), IMPORT, StringImm(TILE_IR), body)
    root = SBlock([], [whole(a), whole(b)], [whole(out)], "root", body)
    return PrimFunc([a, b, out], SBlockRealize([], True, root))


def walk_kernel(threads: int, rows: int, columns: int, vectors: int, lanes: int, repeats: int) -> Any:
    """Each thread sums its part of x down one column of ``vectors`` vectors after the other."""
    frame = Registers(vectors, lanes, (repeats, columns, rows), threads)

    def step(total: Any, x: Any, at: UpdatePlace) -> Any:
        _, column, row = at.loops
        return total + x[0].vload([at.thread, row, column, at.register, 0], frame.vector)

    return register_kernel(frame, [KernelInput((threads, rows, columns, vectors, lanes))], step)


def launch_kernel(threads: int) -> Any:
    """A parallel loop with next to nothing to do."""

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def main(x: T.handle) -> None:
        X = T.match_buffer(x, (threads, 16), "float32")
        for t in T.parallel(threads):
            for lane in T.vectorized(16):
                X[t, lane] = T.float32(0)

    return main


@dataclass(frozen=True, slots=True)
class KernelWatch:
    """Times kernels; ``shares`` holds how much of its threads' processor time each of them got."""

    shares: list[float] = field(default_factory=list)

    def fastest_ns(self, kernel: Any, *values: float, threads: int = 1) -> float:
        """Nanoseconds of the fastest of many runs on arrays filled with ``values``; see :func:`arguments`."""
        function, arrays = build(kernel, threads)["main"], arguments(kernel, *values)
        function(*arrays)
        best = float("inf")
        started, used = time.perf_counter(), time.process_time()
        while time.perf_counter() < started + KERNEL_SECONDS:
            begin = time.perf_counter_ns()
            function(*arrays)
            best = min(best, time.perf_counter_ns() - begin)
        self.shares.append((time.process_time() - used) / (time.perf_counter() - started) / threads)
        return best

    @property
    def disturbed(self) -> bool:
        """Whether other programs took processor time from the kernels."""
        return fmean(self.shares) < MIN_OCCUPIED


def slot_ns(watch: KernelWatch, hardware: Hardware) -> float:
    """Nanoseconds of a vector multiply-add at the peak of one thread."""
    lanes = hardware.simd.fp32_lanes
    counts = (hardware.simd.registers // 2, hardware.simd.registers * 3 // 4)
    return min(_multiply_adds_ns(watch, count, lanes) for count in counts)


def _multiply_adds_ns(watch: KernelWatch, vectors: int, lanes: int) -> float:
    """Nanoseconds of a multiply-add where ``vectors`` of them need not wait for each other."""
    return watch.fastest_ns(fma_kernel(1, vectors, lanes, _STEPS), 1.0, 0.0) / (_STEPS * vectors)


def of_instructions(watch: KernelWatch, hardware: Hardware, slot: float) -> dict[str, float]:
    """The rates of instructions."""
    lanes, registers = hardware.simd.fp32_lanes, hardware.simd.registers
    latency = _multiply_adds_ns(watch, 1, lanes) / slot
    chain = watch.fastest_ns(chain_kernel(_CHAIN, lanes, 32, 100), 1.0, 0.5) / (32 * 100 * _CHAIN)
    rows = _tile_rows(registers)
    turns = _tile_ns(watch, rows, lanes, 1) - _tile_ns(watch, rows, lanes, _UNROLLED)
    many = registers // 2
    return {
        "latency": latency,
        "add_latency": watch.fastest_ns(sum_kernel(lanes, 256, 100)) / (256 * 100) / slot,
        "window": latency * _CHAIN / max(1.0, chain / slot),
        "store": watch.fastest_ns(store_kernel(lanes, 256, 100)) / (256 * 100) / slot,
        "broadcast": watch.fastest_ns(broadcast_kernel(many, 64, lanes, 200)) / (64 * many * 200) / slot,
        "division": watch.fastest_ns(division_kernel(lanes, 64, 100)) / (64 * 100) / slot,
        "loop": max(0.0, turns / slot) * _UNROLLED / (_UNROLLED - 1),
    }


def _tile_rows(registers: int) -> int:
    """The rows of a usual register tile of two vectors."""
    return min(8, registers // 4)


def _tile_ns(watch: KernelWatch, rows: int, lanes: int, unrolled: int, dot: Dot | None = None) -> float:
    """Nanoseconds of one value of k."""
    return watch.fastest_ns(tile_kernel(rows, _DEPTH, lanes, unrolled, 100, dot), 0.0) / (_DEPTH * 100)


def of_dots(watch: KernelWatch, hardware: Hardware, slot: float) -> tuple[tuple[str, float | None], ...]:
    """Slots of each dot instruction in a register tile, by instruction set; ``None`` for those that this machine lacks.

    Those of half a register's width take as long as they take, in slots of whole registers."""
    target, rows = resolve_target(None, 1), _tile_rows(hardware.simd.registers)
    found: dict[str, float | None] = {}
    for dot in TABLE:
        if dot.instruction_set not in found:
            slots = _dot_ns(watch, rows, dot) / slot if has(target, dot) else None
            found[dot.instruction_set] = None if slots is None else round(slots, 3)
    return tuple(found.items())


def _dot_ns(watch: KernelWatch, rows: int, dot: Dot) -> float:
    """Nanoseconds of a dot instruction on vectors, or of a sixteenth of one on tiles."""
    if dot.tiles is None:
        return _tile_ns(watch, rows, dot.lanes, _UNROLLED, dot) / (2 * rows)
    steps = _TILE_STEPS * 100
    return watch.fastest_ns(amx_kernel(dot, _TILE_STEPS, 100), 0.0) / (steps * math.prod(dot.tiles) * TILE_ROWS)


def of_level(watch: KernelWatch, bytes_per_thread: int, threads: int, lanes: int) -> tuple[float, float]:
    """Bytes a nanosecond of contiguous loads, and the lines that a load elsewhere loses, of whatever holds an array of
    that size for each thread."""
    vectors = 8
    steps = max(1, bytes_per_thread // (4 * lanes * vectors))
    moved = steps * 4 * lanes * vectors
    repeats = max(1, _MOVED // moved)
    whole = watch.fastest_ns(walk_kernel(threads, 1, steps, vectors, lanes, repeats), threads=threads)
    rate = moved * repeats / whole
    lost = [_jump_ns(watch, moved, apart, threads, lanes, repeats, rate) * rate / LINE for apart in ROWS_APART]
    return rate, geometric_mean([max(0.1, lines) for lines in lost])


def _jump_ns(watch: KernelWatch, moved: int, apart: int, threads: int, lanes: int, repeats: int, rate: float) -> float:
    """Nanoseconds that every :data:`RUN` bytes take longer down columns of rows ``apart`` bytes apart."""
    vectors = RUN // (4 * lanes)
    rows, columns = moved // apart, apart // RUN
    kernel = walk_kernel(threads, rows, columns, vectors, lanes, repeats)
    return watch.fastest_ns(kernel, threads=threads) / (rows * columns * repeats) - RUN / rate


def of_memory(watch: KernelWatch, hardware: Hardware, threads: int) -> dict[str, float]:
    """The rates of caches and memory. Arrays are half of L2; as large as several L2; twice the last level."""
    lanes, l2 = hardware.simd.fp32_lanes, hardware.l2.bytes // hardware.l2.shared_by
    last = hardware.last_level_cache.bytes
    from_l2, l2_jump = of_level(watch, l2 // 2, threads, lanes)
    beyond_l2 = min(8 * l2, last // (2 * threads)) if hardware.l3 else 4 * l2
    from_l3, l3_jump = of_level(watch, beyond_l2, threads, lanes)
    large = min(max(2 * last, 32 << 20), 256 << 20, hardware.memory_bytes // 32)
    _, dram_jump = of_level(watch, large // threads, threads, lanes)
    return {"l2_gbs": from_l2, "l3_gbs": from_l3, "l2_jump": l2_jump, "l3_jump": l3_jump, "dram_jump": dram_jump}


def measure(threads: int) -> tuple[Rates, bool]:
    """All rates, and whether other programs took processor time meanwhile."""
    hardware, watch = detect(), KernelWatch()
    slot = slot_ns(watch, hardware)
    launch = watch.fastest_ns(launch_kernel(threads), threads=threads) / 1000 if threads > 1 else 0.0
    values = {
        **of_instructions(watch, hardware, slot),
        **of_memory(watch, hardware, threads),
        "launch_us": launch,
    }
    dots = of_dots(watch, hardware, slot)
    return Rates(**{name: round(value, 3) for name, value in values.items()}, dots=dots), watch.disturbed


def measure_dots() -> tuple[tuple[tuple[str, float | None], ...], bool]:
    """The rates of dot instructions, and whether other programs took processor time meanwhile."""
    hardware, watch = detect(), KernelWatch()
    return of_dots(watch, hardware, slot_ns(watch, hardware)), watch.disturbed


if __name__ == "__main__":
    if sys.argv[2:] == ["dots"]:
        dots, disturbed = measure_dots()
        print(json.dumps({"dots": dots, "disturbed": disturbed}))
    else:
        rates, disturbed = measure(int(sys.argv[1]))
        print(json.dumps({"rates": asdict(rates), "disturbed": disturbed}))
