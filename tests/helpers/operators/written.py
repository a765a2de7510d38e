"""Operators in loops that people write by hand: as one block, tiled, with scratch values, in rows of unequal length.

``COLT_WRITTEN_SIZE`` makes them as large as people have them: 1024, for figures.
"""

# No future import: TVMScript evaluates the annotations.
import os
from typing import Any

import numpy as np
from tvm.script import tirx as T

from tests.helpers.operators.case import Cases

CASES = given = Cases()
N = int(os.environ.get("COLT_WRITTEN_SIZE", "48"))
HALF, TILES, SQUARE = N // 2, N // 16, N * N
SHORT, PIECES = N - 5, (N + 26) // 32
ODD_ROWS, FLAT, LONG = N + 3, (N + 3) * N, N * N + 8192


def _wide(x: Any) -> Any:
    return x.astype("float64")


# ---- statements that hide in one block, or share loops ----


@T.prim_func(s_tir=True)
def product_in_one_block(
    A: T.Buffer((HALF, HALF), "float32"), B: T.Buffer((HALF, HALF), "float32"), C: T.Buffer((HALF, HALF), "float32")
):
    with T.sblock("C"):
        for i, j in T.grid(HALF, HALF):
            C[i, j] = T.float32(0)
            for k in range(HALF):
                C[i, j] = C[i, j] + A[i, k] * B[k, j]


given(lambda a, b, c: [_wide(a) @ b])(product_in_one_block)


def _softmax(x: Any, y: Any) -> list[Any]:
    raised = np.exp(_wide(x) - x.max(1, keepdims=True))
    return [raised / raised.sum(1, keepdims=True)]


@T.prim_func(s_tir=True)
def softmax_in_one_block(A: T.Buffer((N, N), "float32"), B: T.Buffer((N, N), "float32")):
    with T.sblock("softmax"):
        top = T.sblock_alloc_buffer((1,), "float32")
        total = T.sblock_alloc_buffer((1,), "float32")
        for i in range(N):
            top[0] = T.float32(-1e30)
            for j in range(N):
                top[0] = T.max(top[0], A[i, j])
            total[0] = T.float32(0)
            for j in range(N):
                B[i, j] = T.exp(A[i, j] - top[0])
                total[0] = total[0] + B[i, j]
            for j in range(N):
                B[i, j] = B[i, j] / total[0]


given(_softmax)(softmax_in_one_block)


@T.prim_func(s_tir=True)
def blocks_under_shared_loops(
    A: T.Buffer((HALF, HALF), "float32"), B: T.Buffer((HALF, HALF), "float32"), D: T.Buffer((HALF, HALF), "float32")
):
    C = T.sblock_alloc_buffer((HALF, HALF), "float32")
    for i, j in T.grid(HALF, HALF):
        for k in range(HALF):
            with T.sblock("C"):
                vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                with T.init():
                    C[vi, vj] = T.float32(0)
                C[vi, vj] = C[vi, vj] + A[vi, vk] * B[vk, vj]
        with T.sblock("D"):
            vi, vj = T.axis.remap("SS", [i, j])
            D[vi, vj] = T.max(C[vi, vj], T.float32(0))


given(lambda a, b, d: [np.maximum(_wide(a) @ b, 0)])(blocks_under_shared_loops)


@T.prim_func(s_tir=True)
def row_norms(A: T.Buffer((N, N), "float32"), B: T.Buffer((N, N), "float32")):
    """The sum has a block of its own, and shares the loop over the rows with what divides by it."""
    total = T.sblock_alloc_buffer((N,), "float32")
    for i in range(N):
        for j in range(N):
            with T.sblock("total"):
                vi, vj = T.axis.remap("SR", [i, j])
                with T.init():
                    total[vi] = T.float32(0)
                total[vi] = total[vi] + A[vi, vj] * A[vi, vj]
        for j in range(N):
            with T.sblock("B"):
                vi, vj = T.axis.remap("SS", [i, j])
                B[vi, vj] = A[vi, vj] * T.rsqrt(total[vi])


given(lambda a, b: [a / np.sqrt(np.square(_wide(a)).sum(1, keepdims=True))])(row_norms)


# ---- loops that are tiled, fused or cut by hand ----


@T.prim_func(s_tir=True)
def product_tiled_by_hand(
    A: T.Buffer((TILES * 8, TILES * 8), "float32"),
    B: T.Buffer((TILES * 8, TILES * 8), "float32"),
    C: T.Buffer((TILES * 8, TILES * 8), "float32"),
):
    for i0, j0, k0, i1, j1, k1 in T.grid(TILES, TILES, TILES, 8, 8, 8):
        with T.sblock("C"):
            vi = T.axis.spatial(TILES * 8, i0 * 8 + i1)
            vj = T.axis.spatial(TILES * 8, j0 * 8 + j1)
            vk = T.axis.reduce(TILES * 8, k0 * 8 + k1)
            with T.init():
                C[vi, vj] = T.float32(0)
            C[vi, vj] = C[vi, vj] + A[vi, vk] * B[vk, vj]


given(lambda a, b, c: [_wide(a) @ b])(product_tiled_by_hand)


@T.prim_func(s_tir=True)
def loops_fused_by_hand(A: T.Buffer((N, N), "float32"), B: T.Buffer((N, N), "float32")):
    for both in range(SQUARE):
        with T.sblock("B"):
            vi = T.axis.spatial(N, both // N)
            vj = T.axis.spatial(N, both % N)
            B[vi, vj] = A[vi, vj] * T.float32(2) + T.float32(1)


given(lambda a, b: [2 * a + 1])(loops_fused_by_hand)


@T.prim_func(s_tir=True)
def last_piece_cut_off(A: T.Buffer((N, SHORT), "float32"), B: T.Buffer((N, SHORT), "float32")):
    for i, j0, j1 in T.grid(N, PIECES, 32):
        with T.sblock("B"):
            vi = T.axis.spatial(N, i)
            vj = T.axis.spatial(SHORT, j0 * 32 + j1)
            T.where(j0 * 32 + j1 < SHORT)
            B[vi, vj] = A[vi, vj] * T.float32(2) + T.float32(1)


given(lambda a, b: [2 * a + 1])(last_piece_cut_off)


# ---- rows that do one step after the other ----


def _recurrence(a: Any, b: Any) -> list[Any]:
    found = np.zeros(a.shape)
    for j in range(a.shape[1]):
        found[:, j] = a[:, j] + (0.9 * found[:, j - 1] if j else 0)
    return [found]


@T.prim_func(s_tir=True)
def recurrence_of_rows(A: T.Buffer((ODD_ROWS, N), "float32"), B: T.Buffer((ODD_ROWS, N), "float32")):
    """A filter with an infinite impulse response, for each row."""
    for i, j in T.grid(ODD_ROWS, N):
        with T.sblock("B"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = T.if_then_else(vj == 0, T.float32(0), B[vi, vj - 1]) * T.float32(0.9) + A[vi, vj]


given(_recurrence)(recurrence_of_rows)


@T.prim_func(s_tir=True)
def running_sums_in_a_scratch_value(A: T.Buffer((ODD_ROWS, N), "float32"), B: T.Buffer((ODD_ROWS, N), "float32")):
    total = T.sblock_alloc_buffer((1,), "float32")
    for i in range(ODD_ROWS):
        with T.sblock("start"):
            total[0] = T.float32(0)
        for j in range(N):
            with T.sblock("B"):
                vi, vj = T.axis.remap("SS", [i, j])
                total[0] = total[0] + A[vi, vj]
                B[vi, vj] = total[0]


given(lambda a, b: [_wide(a).cumsum(1)])(running_sums_in_a_scratch_value)


@T.prim_func(s_tir=True)
def running_sums_of_flat_rows(A: T.Buffer((FLAT,), "float32"), B: T.Buffer((FLAT,), "float32")):
    with T.sblock("B"):
        for i, j in T.grid(ODD_ROWS, N):
            B[i * N + j] = A[i * N + j] + T.if_then_else(j == 0, T.float32(0), B[i * N + j - 1])


given(lambda a, b: [_wide(a).reshape(ODD_ROWS, N).cumsum(1).ravel()])(running_sums_of_flat_rows)


@T.prim_func(s_tir=True)
def one_long_running_sum(A: T.Buffer((LONG,), "float32"), B: T.Buffer((LONG,), "float32")):
    for j in range(LONG):
        with T.sblock("B"):
            vj = T.axis.spatial(LONG, j)
            B[vj] = T.if_then_else(vj == 0, T.float32(1), B[vj - 1]) + A[vj]


given(lambda a, b: [1 + _wide(a).cumsum()])(one_long_running_sum)


@T.prim_func(s_tir=True)
def running_sums_down(A: T.Buffer((N, N), "float32"), B: T.Buffer((N, N), "float32")):
    for i, j in T.grid(N, N):
        with T.sblock("B"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = T.if_then_else(vi == 0, T.float32(0), B[vi - 1, vj]) + A[vi, vj]


given(lambda a, b: [_wide(a).cumsum(0)])(running_sums_down)


@T.prim_func(s_tir=True)
def forward_substitution(
    A: T.Buffer((N, N), "float32"), B: T.Buffer((N, 64), "float32"), X: T.Buffer((N, 64), "float32")
):
    """Each of three statements has a loop over the right-hand sides for itself."""
    with T.sblock("X"):
        for i in range(N):
            for j in range(64):
                X[i, j] = B[i, j]
            for k in range(i):
                for j in range(64):
                    X[i, j] = X[i, j] - A[i, k] * X[k, j]
            for j in range(64):
                X[i, j] = X[i, j] / A[i, i]


given(
    lambda a, b, x: [np.linalg.solve(np.tril(_wide(a)), b)],
    {0: lambda rng: rng.standard_normal((N, N)) * 0.1 / N + np.eye(N) * 3},
)(forward_substitution)


def _rotated(x: Any, cos: Any, sin: Any) -> list[Any]:
    first, second = x[:, :64], x[:, 64:]
    return [np.concatenate([first * cos - second * sin, second * cos + first * sin], 1), cos, sin]


@T.prim_func(s_tir=True)
def rotated_in_place(
    x: T.Buffer((N, 128), "float32"), cos: T.Buffer((N, 64), "float32"), sin: T.Buffer((N, 64), "float32")
):
    """Each turn has a scratch value for itself."""
    for i, d in T.grid(N, 64):
        with T.sblock("x"):
            vi, vd = T.axis.remap("SS", [i, d])
            first = T.sblock_alloc_buffer((1,), "float32")
            first[0] = x[vi, vd]
            x[vi, vd] = first[0] * cos[vi, vd] - x[vi, vd + 64] * sin[vi, vd]
            x[vi, vd + 64] = x[vi, vd + 64] * cos[vi, vd] + first[0] * sin[vi, vd]


given(_rotated)(rotated_in_place)


# ---- rows of unequal length ----


@T.prim_func(s_tir=True)
def triangle_by_vector(A: T.Buffer((N, N), "float32"), x: T.Buffer((N,), "float32"), y: T.Buffer((N,), "float32")):
    for i in range(N):
        for j in range(i + 1):
            with T.sblock("y"):
                vi = T.axis.spatial(N, i)
                vj = T.axis.reduce(i + 1, j)
                with T.init():
                    y[vi] = T.float32(0)
                y[vi] = y[vi] + A[vi, vj] * x[vj]


given(lambda a, x, y: [np.tril(_wide(a)) @ x])(triangle_by_vector)


@T.prim_func(s_tir=True)
def largest_so_far(A: T.Buffer((N, N), "float32"), y: T.Buffer((N,), "float32")):
    """The largest of each row of a triangle; the last rows begin at a negative end, and have no elements."""
    with T.sblock("y"):
        for i in range(N):
            y[i] = T.float32(-7)
            for j in range(i - 20):
                y[i] = T.max(y[i], A[i, j])


def _largest(a: Any, y: Any) -> list[Any]:
    return [np.array([max([-7, *a[i, : max(i - 20, 0)]]) for i in range(N)])]


given(_largest)(largest_so_far)


def _lower_product(a: Any, b: Any, c: Any) -> list[Any]:
    found, lower = _wide(c), np.tril_indices(N)
    found[lower] = (_wide(a) @ b.T)[lower]
    return [found]


@T.prim_func(s_tir=True)
def lower_triangle_of_a_product(
    A: T.Buffer((N, 128), "float32"), B: T.Buffer((N, 128), "float32"), C: T.Buffer((N, N), "float32")
):
    for i in range(N):
        for j, k in T.grid(i + 1, 128):
            with T.sblock("C"):
                vi = T.axis.spatial(N, i)
                vj = T.axis.spatial(i + 1, j)
                vk = T.axis.reduce(128, k)
                with T.init():
                    C[vi, vj] = T.float32(0)
                C[vi, vj] = C[vi, vj] + A[vi, vk] * B[vj, vk]


given(_lower_product)(lower_triangle_of_a_product)


# ---- loops that have to stay together ----


def _one_later(a: Any, b: Any, c: Any) -> list[Any]:
    return [np.append(b[0], a[:-1]), np.append(np.append(b[0], a[:-2]), c[-1])]


@T.prim_func(s_tir=True)
def what_the_turn_before_wrote(
    A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32"), C: T.Buffer((N,), "float32")
):
    with T.sblock("all"):
        for i in range(N - 1):
            for j in range(1):
                C[i + j] = B[i]
            B[i + 1] = A[i]


given(_one_later)(what_the_turn_before_wrote)


@T.prim_func(s_tir=True)
def what_the_next_turn_overwrites(
    A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32"), C: T.Buffer((N,), "float32")
):
    with T.sblock("all"):
        for i in range(N - 1):
            for j in range(1):
                B[i + j] = A[i]
            C[i] = B[i + 1]


given(lambda a, b, c: [np.append(a[:-1], b[-1]), np.append(b[1:], c[-1])])(what_the_next_turn_overwrites)


def _carried(a: Any, b: Any) -> list[Any]:
    return [np.broadcast_to(_wide(a).sum(1).cumsum()[:, None], a.shape)]


@T.prim_func(s_tir=True)
def a_scratch_value_that_is_carried_on(A: T.Buffer((N, N), "float32"), B: T.Buffer((N, N), "float32")):
    """The value is set once, before all rows."""
    with T.sblock("all"):
        total = T.sblock_alloc_buffer((1,), "float32")
        total[0] = T.float32(0)
        for i in range(N):
            for j in range(N):
                total[0] = total[0] + A[i, j]
            for j in range(N):
                B[i, j] = total[0]


given(_carried)(a_scratch_value_that_is_carried_on)


def _overlapping(a: Any, b: Any) -> list[Any]:
    for i in range(N):
        b[i : i + 8] += a[i, :8]
    return [b]


@T.prim_func(s_tir=True)
def overlapping_rows(A: T.Buffer((N, N), "float32"), B: T.Buffer((ODD_ROWS + 8,), "float32")):
    with T.sblock("B"):
        for i, j in T.grid(N, 8):
            B[i + j] = B[i + j] + A[i, j]


given(_overlapping)(overlapping_rows)


def _three_before(a: Any, b: Any) -> list[Any]:
    for i in range(N - 3):
        b[i + 3] = b[i] * np.float32(0.5) + a[i]
    return [b]


@T.prim_func(s_tir=True)
def three_turns_before(A: T.Buffer((N,), "float32"), B: T.Buffer((N,), "float32")):
    with T.sblock("B"):
        for i in range(N - 3):
            B[i + 3] = B[i] * T.float32(0.5) + A[i]


given(_three_before)(three_turns_before)
