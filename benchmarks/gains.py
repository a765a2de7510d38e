"""What 64 trials gain, on the built-in workloads and on programs outside the list.

    .venv/bin/python benchmarks/gains.py [--trials 64] [--seed 0] [NAME ...]

The programs outside the list are of other kinds than the workloads; COLT must gain on them as well.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from tvm import te, tirx

import colt
from colt.tvm import workloads
from colt.tvm.program import module_of_tensors


def matmul_nt(n: int = 512) -> Any:
    a, b = te.placeholder((n, n), name="A"), te.placeholder((n, n), name="B")
    k = te.reduce_axis((0, n), name="k")
    return [a, b, te.compute((n, n), lambda i, j: te.sum(a[i, k] * b[j, k], axis=k), name="C")]


def batch_matmul_epilogue(batch: int = 8, n: int = 192) -> Any:
    a, b = (te.placeholder((batch, n, n), name=name) for name in "AB")
    bias = te.placeholder((n,), name="bias")
    k = te.reduce_axis((0, n), name="k")
    c = te.compute((batch, n, n), lambda s, i, j: te.sum(a[s, i, k] * b[s, k, j], axis=k), name="C")
    return [a, b, bias, te.compute((batch, n, n), lambda s, i, j: te.max(c[s, i, j] + bias[j], 0.0), name="out")]


def gemv(n: int = 2048) -> Any:
    a, x = te.placeholder((n, n), name="A"), te.placeholder((n,), name="x")
    k = te.reduce_axis((0, n), name="k")
    return [a, x, te.compute((n,), lambda i: te.sum(a[i, k] * x[k], axis=k), name="y")]


def depthwise(channels: int = 128, size: int = 56) -> Any:
    x, f = te.placeholder((channels, size, size), name="X"), te.placeholder((channels, 3, 3), name="F")
    ry, rx = te.reduce_axis((0, 3), name="ry"), te.reduce_axis((0, 3), name="rx")

    def padded(c: Any, i: Any, j: Any) -> Any:
        inside = tirx.all(i >= 1, i < size + 1, j >= 1, j < size + 1)
        return tirx.if_then_else(inside, x[c, i - 1, j - 1], 0.0)

    pad = te.compute((channels, size + 2, size + 2), padded, name="pad")

    def term(c: Any, i: Any, j: Any) -> Any:
        return te.sum(pad[c, i + ry, j + rx] * f[c, ry, rx], axis=[ry, rx])

    return [x, f, te.compute((channels, size, size), term, name="Y")]


def row_norm(rows: int = 512, columns: int = 1024) -> Any:
    x = te.placeholder((rows, columns), name="X")
    r = te.reduce_axis((0, columns), name="r")
    squares = te.compute((rows,), lambda i: te.sum(x[i, r] * x[i, r], axis=r), name="squares")
    scaled = te.compute((rows, columns), lambda i, j: x[i, j] / te.sqrt(squares[i] / columns + 1e-5), name="Y")
    return [x, scaled]


def matmul_odd(m: int = 333, n: int = 250, k: int = 509) -> Any:
    a, b = te.placeholder((m, k), name="A"), te.placeholder((k, n), name="B")
    r = te.reduce_axis((0, k), name="k")
    return [a, b, te.compute((m, n), lambda i, j: te.sum(a[i, r] * b[r, j], axis=r), name="C")]


OUTSIDE: dict[str, Callable[[], Any]] = {
    "matmul-nt": matmul_nt,
    "batch-matmul-epilogue": batch_matmul_epilogue,
    "gemv": gemv,
    "depthwise-conv": depthwise,
    "row-norm": row_norm,
    "matmul-odd": matmul_odd,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=[*workloads.names(), *OUTSIDE])
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    gains: dict[bool, list[float]] = {True: [], False: []}
    for name in options.names:
        program = module_of_tensors(OUTSIDE[name]()) if name in OUTSIDE else name
        started = time.perf_counter()
        result = colt.tune(program, trials=options.trials, seed=options.seed)
        seconds = time.perf_counter() - started
        gains[name in OUTSIDE].append(result.speedup)
        gflops = f"{result.best.gflops:6.1f}" if result.best and result.best.gflops else "     -"
        receipt = result.receipt
        failed = receipt.trials.total - receipt.trials.fates["ok"]
        print(
            f"{name:22} {result.speedup:7.1f}x  {gflops} GFLOPS  {seconds:5.0f} s  {failed} of "
            f"{receipt.trials.total} failed, stopped: {receipt.stop_reason}, verified: {receipt.verified.ok}",
            flush=True,
        )
    for outside, label in ((False, "workloads"), (True, "programs outside the list")):
        if gains[outside]:
            print(f"{label}: geometric mean {statistics.geometric_mean(gains[outside]):.1f}x")


if __name__ == "__main__":
    main()
