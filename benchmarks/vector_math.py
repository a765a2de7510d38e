"""The gain from vector math on single functions, on softmax and GELU, and on whole workloads, with and without in turn.

    .venv/bin/python benchmarks/vector_math.py functions [--mcpu haswell]
    .venv/bin/python benchmarks/vector_math.py layers
    .venv/bin/python benchmarks/vector_math.py workloads [--count 6] [--rounds 20] [NAME ...]

``functions`` adds each function of 4096 elements to a vector in the cache, on one thread, and subtracts the time of
adding; a slot is the time of a vector multiply-add. ``layers`` compares a hand schedule of 512 x 4096 elements with
numpy, each in its own process. ``workloads`` times schedules that the architect constructs for either math, and their
builds. ``tests/helpers/vector_math_accuracy.py`` checks the accuracy.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from time import perf_counter
from typing import Any

import numpy as np
import tvm
from scipy.special import erf
from tvm import s_tir, te, tirx

import side_by_side
import structures
from colt.machine import detect
from colt.tvm.cost.scorer import machine_of
from colt.tvm.devices.host import resolve_target, set_threads
from colt.tvm.devices.peaks import hardware_with_peaks
from colt.tvm.programs import workloads
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.sketches import DesignSpace, derive, generate
from colt.tvm.space.space import TvmSpace
from colt.tvm.vector_math import FUNCTIONS, rewrite

THREADS = len(os.sched_getaffinity(0))
ROWS, COLUMNS = 512, 4096
WORKLOADS = ["llama3-attention", "flux-attention", "llama4-scout-mlp"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("functions", "layers", "workloads"))
    parser.add_argument("names", nargs="*")
    parser.add_argument("--mcpu")
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        side_by_side.serve(contender(options.names[0], options.serve))
    elif options.what == "functions":
        functions(options.mcpu)
    elif options.what == "layers":
        layers()
    else:
        for name in options.names or WORKLOADS:
            workload(name, options.count, options.rounds)


# ---- functions ----


def functions(mcpu: str | None) -> None:
    set_threads(1)
    target = resolve_target({"kind": "llvm", **({"mcpu": mcpu} if mcpu else {})}, 1)
    peak = hardware_with_peaks(1).peaks.fma_gflops_1_thread
    assert peak is not None
    vector_ns, lanes = 2 * detect().simd.fp32_lanes / peak, detect().simd.fp32_lanes
    nothing = nanoseconds(added(lambda x: x), target)
    print(f"{target.attrs['mcpu']}: adding takes {nothing:.3f} ns an element")
    for name, function in FUNCTIONS.items():
        exact = added(getattr(tirx, name))
        taken = [nanoseconds(mod, target) - nothing for mod in (rewrite(exact), exact)]
        print(
            f"{name:8} {taken[0]:.3f} ns an element, exact {taken[1]:.3f}, ratio {taken[1] / taken[0]:.1f}; "
            f"{taken[0] * lanes / vector_ns:.1f} slots a vector (the model: {function.slots:g})"
        )


def added(fn: Any, size: int = 4096, times: int = 64) -> Any:
    x, shifts = te.placeholder((size,), name="x"), te.placeholder((times,), name="shifts")
    k = te.reduce_axis((0, times), "k")
    y = te.compute((size,), lambda i: te.sum(fn(x[i] + shifts[k]), axis=k), name="y")
    schedule = s_tir.Schedule(module_of_tensors([x, shifts, y]))
    block = schedule.get_sblock("y")
    i, axis = schedule.get_loops(block)
    outer, inner = schedule.split(i, [None, 16])
    schedule.reorder(axis, outer, inner)
    schedule.vectorize(inner)
    schedule.decompose_reduction(block, axis)
    return schedule.mod


def nanoseconds(mod: Any, target: Any) -> float:
    kernel = tvm.tirx.build(mod, target=target)
    x = tvm.runtime.tensor(np.random.default_rng(0).uniform(0.1, 6, 4096).astype("f"))
    arguments = x, tvm.runtime.tensor(np.zeros(64, "f")), tvm.runtime.empty((4096,), "float32")
    found = kernel.time_evaluator("main", tvm.cpu(), number=20, repeat=25)(*arguments)
    return float(min(found.results)) / (4096 * 64) * 1e9


# ---- layers ----


def softmax(x: Any) -> Any:
    shape, r1, r2 = (ROWS, COLUMNS), te.reduce_axis((0, COLUMNS), "r1"), te.reduce_axis((0, COLUMNS), "r2")
    top = te.compute((ROWS,), lambda i: te.max(x[i, r1], axis=r1), name="top")
    e = te.compute(shape, lambda i, j: te.exp(x[i, j] - top[i]), name="e")
    total = te.compute((ROWS,), lambda i: te.sum(e[i, r2], axis=r2), name="total")
    return te.compute(shape, lambda i, j: e[i, j] / total[i], name="y")


def gelu(x: Any) -> Any:
    return te.compute((ROWS, COLUMNS), lambda i, j: x[i, j] * 0.5 * (te.erf(x[i, j] * 0.5**0.5) + 1.0), name="y")


def numpy_softmax(x: Any) -> Any:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def numpy_gelu(x: Any) -> Any:
    return x * np.float32(0.5) * (erf(x * np.float32(0.5**0.5)) + np.float32(1))


LAYERS = {"softmax": (softmax, numpy_softmax), "gelu": (gelu, numpy_gelu)}


def scheduled(layer: Any) -> Any:
    """A hand schedule: a parallel loop over rows, elementwise blocks in vectors, reductions in 16 lanes."""
    x = te.placeholder((ROWS, COLUMNS), name="x")
    schedule = s_tir.Schedule(module_of_tensors([x, layer(x)]))
    row, column = schedule.get_loops(schedule.get_sblock("y"))
    if layer is softmax:
        for name in ("total", "e", "top"):
            block = schedule.get_sblock(name)
            if name != "e":
                lanes = schedule.split(schedule.get_loops(block)[-1], [None, 16])[1]
                partial = schedule.rfactor(lanes, factor_axis=1)
            schedule.compute_at(block, row)
            if name == "e":
                schedule.vectorize(schedule.split(schedule.get_loops(block)[-1], [None, 16])[1])
                continue
            schedule.compute_at(partial, row)
            lane, step = schedule.get_loops(partial)[-2:]
            schedule.reorder(step, lane)
            schedule.vectorize(lane)
    schedule.vectorize(schedule.split(column, [None, 16])[1])
    schedule.parallel(row)
    return schedule.mod


def contender(name: str, who: str) -> Any:
    layer, by_numpy = LAYERS[name]
    x = np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).astype("f")
    if who == "numpy":
        return lambda: by_numpy(x)
    set_threads(THREADS)
    mod = scheduled(layer)
    kernel = tvm.tirx.build(rewrite(mod) if who == "vector math" else mod, target=resolve_target(None, THREADS))["main"]
    arguments = tvm.runtime.tensor(x), tvm.runtime.empty(x.shape, "float32")
    kernel(*arguments)
    np.testing.assert_allclose(arguments[1].numpy(), by_numpy(x), rtol=1e-4, atol=1e-6)
    return lambda: kernel(*arguments)


def layers() -> None:
    for name in LAYERS:
        command = [sys.executable, __file__, "layers", name, "--serve"]
        found = side_by_side.in_turn({who: [*command, who] for who in ("vector math", "exact", "numpy")})
        print(f"{name:8} {ROWS} x {COLUMNS}: " + ", ".join(f"{who} {us:.0f} us" for who, us in found.items()))


# ---- workloads ----


def workload(name: str, count: int, rounds: int) -> None:
    set_threads(THREADS)
    target = resolve_target(None, THREADS)
    machine = machine_of(hardware_with_peaks(THREADS), THREADS)
    workload = workloads.get(name)
    mod = workload.build("small")
    postprocs = generate(mod, target).postprocs
    design = DesignSpace(tuple(derive(mod, target)[0]), postprocs)
    kernels, building = [], []
    for vector_math in (False, True):
        space = TvmSpace(mod, design, vector_math=vector_math)
        for schedule in structures.constructed(space, machine, count):
            started = perf_counter()
            kernels.append(structures.build(space, schedule, target))
            building.append(perf_counter() - started)
    half = len(kernels) // 2
    rng = np.random.default_rng(0)
    arguments = [
        tvm.runtime.tensor(rng.standard_normal(argument.shape).astype(argument.dtype) * 0.1)
        for argument in workload.arguments("small")
    ]
    seconds = structures.timed_in_turn(kernels, arguments, rounds)
    gflops = [workload.flops("small") / 1e9 / taken for taken in seconds]
    exact, vector = gflops[:half], gflops[half:]
    middle = [statistics.median(some) for some in (exact, vector, building[:half], building[half:])]
    print(
        f"{name:18} best of {half}: exact {max(exact):.1f} GFLOPS, vector math {max(vector):.1f}, "
        f"ratio {max(vector) / max(exact):.2f}; medians {middle[0]:.1f}, {middle[1]:.1f}; "
        f"seconds to build {middle[2]:.2f}, {middle[3]:.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
