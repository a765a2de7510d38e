"""Layer normalisation over bfloat16, computed in float32; bfloat16 in, bfloat16 out."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload
from colt.tvm.programs.workloads.held_out import layer_norm
from colt.tvm.programs.workloads.held_out.layer_norm import EPSILON, LayerNormShape, count_flops


def make_module(shape: LayerNormShape) -> Any:
    """Blocks ``total``, ``squares``, ``Y``."""
    rows, columns = shape.rows, shape.columns
    x = te.placeholder((rows, columns), dtype="bfloat16", name="X")
    scale, shift = (te.placeholder((columns,), dtype="bfloat16", name=name) for name in ("scale", "shift"))
    k, q = (te.reduce_axis((0, columns), name=name) for name in ("k", "q"))
    total = te.compute((rows,), lambda i: te.sum(x[i, k].astype("float32"), axis=k), name="total")

    def centred(i: Any, j: Any) -> Any:
        return x[i, j].astype("float32") - total[i] / columns

    def normal(i: Any, j: Any) -> Any:
        unit = centred(i, j) / te.sqrt(squares[i] / columns + EPSILON)
        return (unit * scale[j].astype("float32") + shift[j].astype("float32")).astype("bfloat16")

    squares = te.compute((rows,), lambda i: te.sum(centred(i, q) * centred(i, q), axis=q), name="squares")
    return module_of_tensors([x, scale, shift, te.compute((rows, columns), normal, name="Y")])


def compute(x: Array, scale: Array, shift: Array) -> Array:
    """numpy's version."""
    wide = (array.astype(np.float32) for array in (x, scale, shift))
    return layer_norm.compute(*wide).astype(ml_dtypes.bfloat16)


WORKLOAD = Workload(
    name="bf16-layer-norm",
    description="layer normalisation of rows of bfloat16, with scale and shift",
    sizes={"small": LayerNormShape(rows=389, columns=1000)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
