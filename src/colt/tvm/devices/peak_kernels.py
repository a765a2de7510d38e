"""Measures peaks in this process and prints them as one line of JSON: ``python -m colt.tvm.devices.peak_kernels
THREADS``.

:mod:`colt.tvm.devices.peaks` runs it, with ``TVM_NUM_THREADS`` set to the same number. Every figure is the best of many
short runs of several kernels in turn: a peak is what the machine can do, not what it does on average.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm.script import tirx as T

from colt.machine import Hardware, Peaks, detect
from colt.tvm.devices.register_kernels import (
    KernelInput,
    Registers,
    UpdatePlace,
    arguments,
    build,
    filled,
    register_kernel,
)

FMA_SECONDS = 1.2
BANDWIDTH_SECONDS = 1.2
MIN_OCCUPIED = 0.9  # of the processor time of its threads that this process should get
_FMA_STEPS = 200_000  # 1 to 5 ms, long beside the start of a parallel loop, short beside a spell of other load
_STREAM_VECTORS = 8  # independent sums, so that additions keep up with loads


def fma_kernel(threads: int, vectors: int, lanes: int, steps: int) -> Any:
    """Each thread keeps ``vectors`` accumulators of ``lanes`` float32 in registers: ``steps`` times a = a + a·f."""
    frame = Registers(vectors, lanes, (steps,), threads)
    return register_kernel(
        frame,
        [KernelInput((vectors, lanes)), KernelInput((lanes,))],
        lambda total, x, at: total + total * x[1].vload([0], frame.vector),
        lambda x, at: x[0].vload([at.register, 0], frame.vector),
    )


def read_kernel(threads: int, streams: int, steps: int, lanes: int) -> Any:
    """Sums an array; each thread reads ``streams`` places of its part in turn."""
    vectors = _STREAM_VECTORS // streams
    frame = Registers(_STREAM_VECTORS, lanes, (steps,), threads)
    source = KernelInput((threads, streams, steps, vectors, lanes))

    def add(total: Any, x: Any, at: UpdatePlace) -> Any:
        stream, vector = divmod(at.register, vectors)
        return total + x[0].vload([at.thread, stream, at.loops[0], vector, 0], frame.vector)

    return register_kernel(frame, [source], add)


def copy_kernel(threads: int, steps: int, lanes: int) -> Any:
    """out = x."""

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def main(x: T.handle, out: T.handle) -> None:
        X = T.match_buffer(x, (threads, steps, lanes), "float32")
        Out = T.match_buffer(out, (threads, steps, lanes), "float32")
        for t in T.parallel(threads):
            for step in range(steps):
                for lane in T.vectorized(lanes):
                    Out[t, step, lane] = X[t, step, lane]

    return main


def triad_kernel(threads: int, steps: int, lanes: int) -> Any:
    """out = x + 3·y."""

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def main(x: T.handle, y: T.handle, out: T.handle) -> None:
        X = T.match_buffer(x, (threads, steps, lanes), "float32")
        Y = T.match_buffer(y, (threads, steps, lanes), "float32")
        Out = T.match_buffer(out, (threads, steps, lanes), "float32")
        for t in T.parallel(threads):
            for step in range(steps):
                for lane in T.vectorized(lanes):
                    Out[t, step, lane] = X[t, step, lane] + T.float32(3) * Y[t, step, lane]

    return main


@dataclass(frozen=True, slots=True)
class PeakKernel:
    """A built kernel with its arguments; ``giga`` is what one run does, in 10⁹ operations or bytes."""

    name: str
    giga: float
    run: Callable[[], Any]


def fastest(contenders: Sequence[PeakKernel], seconds: float) -> tuple[float, str]:
    """The best rate of any contender, in 10⁹ a second, and its name. They run in turn for ``seconds`` in all."""
    best = {contender.name: 0.0 for contender in contenders}
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        for contender in contenders:
            begin = time.perf_counter()
            contender.run()
            rate = contender.giga / (time.perf_counter() - begin)
            best[contender.name] = max(best[contender.name], rate)
    winner = max(best, key=lambda name: best[name])
    return best[winner], winner


def fma_contenders(hardware: Hardware, threads: int) -> list[PeakKernel]:
    """Kernels with different numbers of accumulators, all enough to hide the latency of an FMA."""
    registers, lanes = hardware.simd.registers, hardware.simd.fp32_lanes
    contenders = []
    for vectors in (registers // 2, registers * 3 // 4):
        kernel = fma_kernel(threads, vectors, lanes, _FMA_STEPS)
        arrays = arguments(kernel, 1.0, 0.0)  # a·f is 0, so nothing overflows; the compiler cannot know
        giga = 2e-9 * threads * vectors * lanes * _FMA_STEPS
        contenders.append(contender(f"{vectors} accumulators", giga, build(kernel, threads), arrays))
    return contenders


def bandwidth_contenders(hardware: Hardware, threads: int) -> list[PeakKernel]:
    """Kernels over arrays that no cache holds."""
    lanes = hardware.simd.fp32_lanes
    cached = hardware.last_level_cache.bytes
    wanted = min(max(4 * cached, 64 * 2**20), 512 * 2**20, hardware.memory_bytes // 16)
    chunk = threads * _STREAM_VECTORS * lanes
    elements = wanted // 4 // chunk * chunk
    x, y, out = (filled((elements,)) for _ in range(3))
    giga = 4e-9 * elements
    steps = elements // threads // lanes
    flat = (threads, steps, lanes)
    contenders = [
        contender("copy", 2 * giga, build(copy_kernel(*flat), threads), [a.reshape(flat) for a in (x, out)]),
        contender("triad", 3 * giga, build(triad_kernel(*flat), threads), [a.reshape(flat) for a in (x, y, out)]),
    ]
    for streams in (1, 2):
        vectors = _STREAM_VECTORS // streams
        per_stream = steps // streams // vectors
        kernel = read_kernel(threads, streams, per_stream, lanes)
        arrays = (x.reshape((threads, streams, per_stream, vectors, lanes)), filled((threads, _STREAM_VECTORS, lanes)))
        contenders.append(contender(f"read, {streams} streams a thread", giga, build(kernel, threads), arrays))
    return contenders


def contender(name: str, giga: float, library: Any, arrays: Sequence[NDArray[np.float32]]) -> PeakKernel:
    """Bind a kernel to its arguments, and run it once, which compiles it."""
    function = library["main"]
    function(*arrays)
    return PeakKernel(name, giga, lambda: function(*arrays))


def measure(threads: int) -> Peaks:
    """All peaks."""
    hardware = detect()
    one, _ = fastest(fma_contenders(hardware, 1), FMA_SECONDS / 2)
    contenders = fma_contenders(hardware, threads)
    begin, used = time.perf_counter(), time.process_time()
    everyone, _ = fastest(contenders, FMA_SECONDS)
    occupied = (time.process_time() - used) / (time.perf_counter() - begin) / min(threads, hardware.cores)
    bandwidth, pattern = fastest(bandwidth_contenders(hardware, threads), BANDWIDTH_SECONDS)
    return Peaks(
        fma_gflops_1_thread=round(one, 2),
        fma_gflops_all_threads=round(max(one, everyone), 2),  # all but one thread may idle
        bandwidth_gbs=round(bandwidth, 2),
        bandwidth_pattern=pattern,
        threads=threads,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        disturbed=occupied < MIN_OCCUPIED,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(measure(int(sys.argv[1])))))
