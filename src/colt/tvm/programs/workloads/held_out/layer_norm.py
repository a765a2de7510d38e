"""Layer normalisation: each row less its mean, over its standard deviation, scaled and shifted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload

EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class LayerNormShape:
    """X is rows × columns; the scale and the shift have one element for each column."""

    rows: int
    columns: int


def make_module(shape: LayerNormShape) -> Any:
    """Blocks ``total``, ``squares``, ``Y``."""
    rows, columns = shape.rows, shape.columns
    x = te.placeholder((rows, columns), name="X")
    scale, shift = (te.placeholder((columns,), name=name) for name in ("scale", "shift"))
    k, q = (te.reduce_axis((0, columns), name=name) for name in ("k", "q"))
    total = te.compute((rows,), lambda i: te.sum(x[i, k], axis=k), name="total")

    def centred(i: Any, j: Any) -> Any:
        return x[i, j] - total[i] / columns

    squares = te.compute((rows,), lambda i: te.sum(centred(i, q) * centred(i, q), axis=q), name="squares")
    y = te.compute(
        (rows, columns),
        lambda i, j: centred(i, j) / te.sqrt(squares[i] / columns + EPSILON) * scale[j] + shift[j],
        name="Y",
    )
    return module_of_tensors([x, scale, shift, y])


def count_flops(shape: LayerNormShape) -> int:
    """8 for each element: 1 for the sum, 3 for the squares, 4 for the result; not what is done once for a row."""
    return 8 * shape.rows * shape.columns


def compute(x: Array, scale: Array, shift: Array) -> Array:
    """numpy's version."""
    centred: Array = x - x.mean(axis=-1, keepdims=True)
    centred *= scale / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + x.dtype.type(EPSILON))
    centred += shift
    return centred


WORKLOAD = Workload(
    name="layer-norm",
    description="layer normalisation of rows, with scale and shift",
    sizes={"small": LayerNormShape(rows=512, columns=768)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
