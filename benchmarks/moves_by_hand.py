"""Schedules written by hand with TVM's primitives, and the same as moves from the untuned program, timed in turn.

    .venv/bin/python benchmarks/moves_by_hand.py FOLDER [NAME ...] [--rounds 30]

``FOLDER`` has ``hand_schedules.py`` (see ``by_hand.py``) and ``intel_fp32.py``, which are imported and run as your own
code. To reach: each as fast as its script, within 3 %.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colt.measure.base import Limits
from colt.moves import read_moves
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs import workloads
from colt.tvm.programs.workloads import deepseek_r1_experts
from colt.tvm.sketches import DesignSpace, generate
from colt.tvm.space.plans import UNTUNED
from colt.tvm.space.space import TvmSpace
from colt.tvm.workers import LocalMeasurer
from colt.util.stats import estimate, paired_ratio

THREADS = len(os.sched_getaffinity(0))
LIMITS = Limits(min_repeat_ms=20.0, build_seconds=60.0)


@dataclass(frozen=True)
class ByHand:
    """A program, the module that its script schedules, and the moves."""

    module: Any
    scheduled: Any
    moves: list[str]


def tile(block: str, rows: str, columns: str, sums: str, out: str, size: tuple[int, int], first: str) -> list[str]:
    """A register tile of rows x vectors that sums in a buffer; ``first``: which loop goes outside, rows or columns."""
    outer = [f"{rows}_0", f"{columns}_0"] if first == "rows" else [f"{columns}_0", f"{rows}_0"]
    return [
        f"cache_write({block}, {out})",
        f"split({block}.{rows}, [_, {size[0]}])",
        f"split({block}.{columns}, [_, {size[1]}, 16])",
        f"reorder({block}, [{', '.join([*outer, sums, f'{rows}_1', f'{columns}_1', f'{columns}_2'])}])",
        f"reverse_compute_at({out}_global, {block}.{outer[-1]})",
        *marked(block, f"{rows}_1", f"{columns}_1", f"{columns}_2"),
    ]


def marked(block: str, rows: str, vectors: str, lanes: str) -> list[str]:
    """The register tile's loops unrolled and vectorised."""
    return [f"vectorize({block}.{lanes})", f"unroll({block}.{rows})", f"unroll({block}.{vectors})"]


def vectors(block: str, loop: str) -> list[str]:
    """The loop in vectors of 16."""
    return [f"split({block}.{loop}, [_, 16])", f"vectorize({block}.{loop}_1)"]


def attention(size: int, rows: int, columns: int) -> list[str]:
    """Rows of the result in parallel with all that they need; K packed; row reductions in lanes."""
    sums = [("rowmax", "r1"), ("rowsum", "r2")]
    moves = ["cache_read(QK, K)", "transform_layout(QK, K_global, [d0, d2, d1])"]
    moves += [move for b, r in sums for move in (f"split({b}.{r}, [_, 16])", f"rfactor({b}.{r}_1, 2)")]
    moves += [f"split(O.i, [_, {size}])", "fuse(O, [h, i_0])"]
    under = ("prob", "rowsum", "rowsum_rf", "expv", "rowmax", "rowmax_rf", "QK")
    moves += [*(f"compute_at({block}, O.h_i_0)" for block in under), "parallel(O.h_i_0)"]
    moves += [*vectors("prob", "j"), *vectors("expv", "j")]
    for block, r in sums:
        moves += [f"reorder({block}_rf, [i, {r}_0, {r}_1])", f"vectorize({block}_rf.{r}_1)"]
        moves += [f"reorder({block}, [i, {r}_1])"]
    moves += [*tile("QK", "i", "j", "d", "QK", (rows, columns), "rows"), *vectors("QK_global", "ax2")]
    moves += [*tile("O", "i_1", "x", "j2", "O", (rows, columns), "rows"), *vectors("O_global", "ax2")]
    return [*moves, "fuse(K_global, [ax0, ax1])", "parallel(K_global.ax0_ax1)"]


def swiglu(size: int, rows: int, columns: int) -> list[str]:
    """Columns of the hidden layer in parallel, with both of its products; then those of the result."""
    moves = [f"split(act.i, [_, {size}])", "reorder(act, [i_0, t, i_1])"]
    moves += ["compute_at(up, act.i_0)", "compute_at(gate, act.i_0)", "parallel(act.i_0)", *vectors("act", "i_1")]
    for block, sums in (("gate", "k1"), ("up", "k2")):
        moves += [*tile(block, "t", "i", sums, block, (rows, columns), "columns"), *vectors(f"{block}_global", "ax1")]
    moves += [f"split(Y.h, [_, {size}])", "reorder(Y, [h_0, t, h_1, k3])", "parallel(Y.h_0)"]
    return [*moves, *tile("Y", "t", "h_1", "k3", "Y", (rows, columns), "columns"), *vectors("Y_global", "ax1")]


def conv(size: int, rows: int, columns: int) -> list[str]:
    """Filters and rows of pixels in parallel; register tiles of filters x pixels."""
    return [
        "cache_write(Y, Y)",
        f"split(Y.o, [_, {size // rows}, {rows}])",
        f"split(Y.x, [_, {columns}, 16])",
        "reorder(Y, [n, o_0, y, o_1, x_0, rc, ry, rx, o_2, x_1, x_2])",
        "fuse(Y, [n, o_0, y])",
        "parallel(Y.n_o_0_y)",
        "reverse_compute_at(Y_global, Y.x_0)",
        "fuse(pad, [n, c])",
        "parallel(pad.n_c)",
        *marked("Y", "o_2", "x_1", "x_2"),
        *vectors("Y_global", "ax3"),
    ]


def gemm(size: int, rows: int, columns: int) -> list[str]:
    """Few rows: columns in parallel, blocks of terms outside of the register tiles."""
    return [
        f"split(C.j, [_, {size}])",
        f"split(C.k, [_, {512 if size < 1024 else 32}])",
        f"split(C.j_1, [_, {columns}, 16])",
        f"split(C.i, [_, {rows}])",
        "reorder(C, [b, j_0, k_0, j_1_0, i_0, k_1, i_1, j_1_1, j_1_2])",
        "fuse(C, [b, j_0])",
        "parallel(C.b_j_0)",
        *marked("C", "i_1", "j_1_1", "j_1_2"),
    ]


def packed(size: int, rows: int, columns: int) -> list[str]:
    """The transposed operand packed; rows in parallel."""
    moves = ["cache_read(C, B)", "transform_layout(C, B_global, [d1, d0])", f"split(C.i, [_, {size}])"]
    moves += ["parallel(C.i_0)", *tile("C", "i_1", "j", "k", "C", (rows, columns), "columns")]
    return [*moves, *vectors("C_global", "ax1"), "parallel(B_global.ax0)"]


def gemm_ahead(rows: int, columns: int, size: int, terms: int, ahead: int) -> list[str]:
    """Blocks of terms outermost, sums of a block in a buffer, and prefetches."""
    return [
        "cache_write(C, C)",
        f"split(C.j, [_, {size // (16 * columns)}, {columns}, 16])",
        f"split(C.i, [_, {rows}])",
        f"split(C.k, [_, {terms}])",
        "reorder(C, [b, j_0, k_0, j_1, i_0, k_1, i_1, j_2, j_3])",
        "fuse(C, [b, j_0])",
        "reverse_compute_at(C_global, C.b_j_0)",
        "parallel(C.b_j_0)",
        *([f"prefetch(C.k_1, B, {ahead})"] if ahead else []),
        *marked("C", "i_1", "j_2", "j_3"),
        *vectors("C_global", "ax2"),
    ]


def experts(size: int, terms: int, unrolled: int, ahead: int) -> list[str]:
    """A router and SwiGLU experts: blocks of terms outside of register tiles of 8 x 2, and prefetches."""
    moves = [f"compute_at({block}, prob.t)" for block in ("rowsum", "exp", "rowmax", "logits")]
    moves += ["parallel(prob.t)", "split(logits.kr, [_, 8])", "rfactor(logits.kr_1, 2)"]
    moves += [f"split(act.i, [_, {size}])", "reorder(act, [e, i_0, t, i_1])", "fuse(act, [e, i_0])"]
    moves += ["compute_at(up, act.e_i_0)", "compute_at(gate, act.e_i_0)", "parallel(act.e_i_0)", *vectors("act", "i_1")]
    for block, k, weights in (("gate", "kg", "Wg"), ("up", "ku", "Wu")):
        moves += blocked(block, "i", k, weights, terms, unrolled, ahead)
    moves += [
        f"split(Y.h, [_, {size}])",
        "reorder(Y, [h_0, t, h_1, expert, kd])",
        "parallel(Y.h_0)",
        "cache_write(Y, Y)",
    ]
    moves += blocked("Y", "h_1", "kd", "Wd", terms, unrolled, ahead, ["expert"])
    return [*moves, "reverse_compute_at(Y_global, Y.h_0)", *vectors("Y_global", "ax1")]


def blocked(
    block: str,
    columns: str,
    k: str,
    weights: str,
    terms: int,
    unrolled: int,
    ahead: int,
    outer: list[str] | None = None,
) -> list[str]:
    """Register tiles of 8 x 2 inside of blocks of terms, some of which are unrolled."""
    order = [*(outer or []), f"{k}_0", f"{columns}_0", "t_0", f"{k}_1_0", f"{k}_1_1", "t_1", f"{columns}_1"]
    return [
        f"split({block}.t, [_, 8])",
        f"split({block}.{columns}, [_, 2, 16])",
        f"split({block}.{k}, [_, {terms}])",
        f"split({block}.{k}_1, [_, {unrolled}])",
        f"reorder({block}, [{', '.join([*order, f'{columns}_2'])}])",
        *([f"prefetch({block}.{k}_1_0, {weights}, {ahead // unrolled})"] if ahead else []),
        *marked(block, "t_1", f"{columns}_1", f"{columns}_2"),
        f"unroll({block}.{k}_1_1)",
    ]


SIMPLE: dict[str, tuple[str, Callable[[int, int, int], list[str]], tuple[int, int, int]]] = {
    "attention": ("llama3-attention small", attention, (32, 8, 2)),
    "swiglu": ("llama4-scout-mlp small", swiglu, (128, 8, 2)),
    "conv": ("flux-conv small", conv, (32, 8, 2)),
    "gemm": ("deepseek-r1-moe paper", gemm, (1024, 8, 2)),
    "packed-nt": ("matmul NT 512", packed, (128, 8, 2)),
}
"""What the programs of ``hand_schedules.py`` are called there, and their tiles."""


def programs(folder: Path) -> dict[str, Callable[[], ByHand]]:
    """All programs, by name."""
    theirs = load(folder / "hand_schedules.py").PROGRAMS

    def simple(name: str) -> ByHand:
        called, moves, size = SIMPLE[name]
        build, schedule, _ = theirs[called]
        return ByHand(build()[0], schedule(build()[0], *size).mod, moves(*size))

    def of_intel(name: str) -> ByHand:
        sys.modules["colt.tvm.workloads"] = workloads  # where and as what the script looks for it
        deepseek_r1_experts.Shape = deepseek_r1_experts.ExpertsShape  # type: ignore[attr-defined]
        script = load(folder / "intel_fp32.py")
        if name == "moe-prefetch":
            kept = script.gemm_sched(16, 1792, 512, 8, 2, 256, 32, 32).mod
            return ByHand(untuned_gemm(script), kept, gemm_ahead(8, 2, 256, 32, 32))
        rows = tuple(32 * 512 + 16 * vector for vector in range(2))
        kept = script.experts(BI=128, BH=128, kb=32, pf=rows, pfy=rows, ku=4).mod
        return ByHand(script.EX.make_module(script.SH), kept, experts(128, 32, 4, 32))

    found = {name: (lambda name=name: simple(name)) for name in SIMPLE}
    return {**found, **{name: (lambda name=name: of_intel(name)) for name in ("moe-prefetch", "experts-prefetch")}}


def untuned_gemm(script: Any) -> Any:
    """The program that ``gemm_sched`` schedules."""
    te = script.te
    left, right = te.placeholder((1, 16, 1792), name="A"), te.placeholder((1792, 512), name="B")
    k = te.reduce_axis((0, 1792), name="k")
    c = te.compute((1, 16, 512), lambda b, i, j: te.sum(left[b, i, k] * right[k, j], axis=k), name="C")
    return script.module([left, right, c])


def load(path: Path) -> Any:
    """The file as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--dry", action="store_true", help="make the moves and verify them, but time nothing")
    options = parser.parse_args()
    target = resolve_target(None, THREADS)
    known = programs(options.folder)
    for name in options.names or known:
        program = known[name]()
        space = TvmSpace(program.module, DesignSpace((), generate(program.module, target).postprocs))
        schedule = space.apply(UNTUNED, read_moves(program.moves), random.Random(0)).schedule
        moved = space.module(schedule)
        with LocalMeasurer(target, THREADS) as measurer:
            for what, module in (("script", program.scheduled), ("moves", moved)):
                found = measurer.verify(program.module, module, 0, LIMITS)
                assert found.ok, f"{name}, by {what}: {found.message}"
            if options.dry:
                print(f"{name:18} {len(program.moves)} moves, verified", flush=True)
                continue
            theirs, ours = measurer.interleave([program.scheduled, moved], options.rounds, LIMITS)
        ratio = paired_ratio(theirs, ours)
        ends = "" if ratio.interval is None else f" ({ratio.interval.low:.3f} to {ratio.interval.high:.3f})"
        print(
            f"{name:18} script {estimate(theirs).median:8.1f} us, {len(program.moves):2} moves "
            f"{estimate(ours).median:8.1f} us, moves are faster by {ratio.median:.3f}{ends}",
            flush=True,
        )


if __name__ == "__main__":
    main()
