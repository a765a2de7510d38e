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
