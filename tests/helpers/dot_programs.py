"""Contractions over few bits, their exact results, and the processors that have dot instructions for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te

from colt.tvm.programs.program import module_of_tensors

FLAGS = {
    "avx512vnni": "avx512_vnni",
    "avxvnniint8": "avx_vnni_int8",
    "avxvnni": "avx_vnni",
    "avx512bw": "avx512bw",
    "avx2": "avx2",
    "avx512bf16": "avx512_bf16",
}
"""Linux's name of each instruction set."""
PROCESSORS = {
    "avx512vnni": "cascadelake",
    "avxvnniint8": "sierraforest",
    "avxvnni": "alderlake",
    "avx512bw": "skylake-avx512",
    "avx2": "haswell",
    "avx512bf16": "znver4",
}
"""For each instruction set, a processor whose code uses no better one."""


def target_with(instruction_set: str) -> dict[str, Any]:
    """A target for a processor that has this instruction set and no better one."""
    return {"kind": "llvm", "mcpu": PROCESSORS[instruction_set], "num-cores": 2}


def runs_here(instruction_set: str) -> bool:
    """Whether this machine runs such code."""
    words = Path("/proc/cpuinfo").read_text().split()
    others = {"cascadelake": "avx512cd", "skylake-avx512": "avx512cd", "sierraforest": "avx_ifma", "alderlake": "gfni"}
    return FLAGS[instruction_set] in words and others.get(PROCESSORS[instruction_set], "avx2") in words


def matmul(m: int, n: int, k: int, left: str, right: str, layout: str = "NN", *, swapped: bool = False) -> Any:
    """``C[i, j]``, block ``C``. ``layout``: whether A and B are stored as they are (N) or transposed (T).

    ``swapped``: the elements of B come first in the product.
    """
    a = te.placeholder((m, k) if layout[0] == "N" else (k, m), dtype=left, name="A")
    b = te.placeholder((k, n) if layout[1] == "N" else (n, k), dtype=right, name="B")
    t = te.reduce_axis((0, k), name="k")
    result = "float32" if left == "bfloat16" else "int32"

    def product(i: Any, j: Any) -> Any:
        one = (a[i, t] if layout[0] == "N" else a[t, i]).astype(result)
        other = (b[t, j] if layout[1] == "N" else b[j, t]).astype(result)
        return te.sum(other * one if swapped else one * other, axis=t)

    return module_of_tensors([a, b, te.compute((m, n), product, name="C")])


def linear_with_zero_points(m: int, n: int, k: int, kind: str) -> Any:
    """A product of bytes less zero points, scaled in a block ``Y``. ``kind`` says where the zero points come from."""
    x = te.placeholder((m, k), dtype="uint8", name="X")
    w = te.placeholder((n, k), dtype="int8", name="W")
    zeros = te.placeholder((n,), dtype="int32", name="Z")
    t = te.reduce_axis((0, k), name="k")
    left = {"constants": 117, "channels": 3, "left only": 255, "right only": 0}[kind]
    right = {"constants": lambda j: -5, "channels": lambda j: zeros[j], "right only": lambda j: zeros[j]}.get(kind)

    def product(i: Any, j: Any) -> Any:
        one = x[i, t].astype("int32")
        other = w[j, t].astype("int32")
        one = one - left if left else one
        return te.sum(one * (other - right(j) if right else other), axis=t)

    p = te.compute((m, n), product, name="P")
    return module_of_tensors([x, w, zeros, te.compute((m, n), lambda i, j: p[i, j] * 3, name="Y")])


def with_zero_points(x: NDArray[Any], w: NDArray[Any], zeros: NDArray[Any], kind: str) -> NDArray[np.int32]:
    """The same in 64 bits."""
    left = {"constants": 117, "channels": 3, "left only": 255, "right only": 0}[kind]
    right = zeros if kind in ("channels", "right only") else np.full_like(zeros, -5 if kind == "constants" else 0)
    product = (x.astype(np.int64) - left) @ (w.astype(np.int64) - right[:, None]).T
    return (3 * product).astype(np.int32)


def operands(m: int, n: int, k: int, left: str, right: str, layout: str = "NN") -> tuple[NDArray[Any], NDArray[Any]]:
    """Operands for :func:`matmul`, the types' extremes among them."""
    rng = np.random.default_rng(m + n + k)
    shapes = ((m, k) if layout[0] == "N" else (k, m), (k, n) if layout[1] == "N" else (n, k))
    drawn = []
    for dtype, shape in zip((left, right), shapes, strict=True):
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        values = rng.integers(low, high + 1, shape).astype(dtype)
        values[: shape[0] // 2] = np.where(rng.random((shape[0] // 2, shape[1])) < 0.5, low, high)
        drawn.append(values)
    return drawn[0], drawn[1]


def exact(a: NDArray[Any], b: NDArray[Any], layout: str = "NN") -> NDArray[np.int32]:
    """The product in integers."""
    left, right = a.astype(np.int64), b.astype(np.int64)
    return ((left if layout[0] == "N" else left.T) @ (right if layout[1] == "N" else right.T)).astype(np.int32)


def chain(m: int, k: int, n: int, last: int = 0) -> Any:
    """A product, rounded to bfloat16, times a matrix; the second sum goes without its ``last`` terms."""
    shapes = {"A": (m, k), "B": (k, n), "C": (n, n)}
    a, b, c = (te.placeholder(shape, dtype="bfloat16", name=name) for name, shape in shapes.items())
    s, t = te.reduce_axis((0, k), name="s"), te.reduce_axis((0, n - last), name="t")

    def wide(one: Any) -> Any:
        return one.astype("float32")

    first = te.compute((m, n), lambda i, j: te.sum(wide(a[i, s]) * wide(b[s, j]), axis=s), name="D")
    short = te.compute((m, n), lambda i, j: first[i, j].astype("bfloat16"), name="E")
    product = te.compute((m, n), lambda i, j: te.sum(wide(short[i, t]) * wide(c[t, j]), axis=t), name="F")
    return module_of_tensors([a, b, c, product])
