"""The root of the mean square of each row of float16, summed in float32; number and length of the rows are prime."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload
from colt.tvm.programs.workloads.held_out_low.softmax_odd import SoftmaxShape


def make_module(shape: SoftmaxShape) -> Any:
    """Blocks ``squares`` and ``Y``."""
    x = te.placeholder((shape.rows, shape.columns), dtype="float16", name="X")
    k = te.reduce_axis((0, shape.columns), name="k")

    def square(i: Any) -> Any:
        return te.sum(x[i, k].astype("float32") * x[i, k].astype("float32"), axis=k)

    squares = te.compute((shape.rows,), square, name="squares")
    return module_of_tensors([x, te.compute((shape.rows,), lambda i: te.sqrt(squares[i] / shape.columns), name="Y")])


def count_flops(shape: SoftmaxShape) -> int:
    """2 for each element; not what is done once for a row."""
    return 2 * shape.rows * shape.columns


def compute(x: Array) -> Array:
    """numpy's version."""
    y: Array = np.sqrt(np.square(x.astype(np.float32)).mean(axis=1))
    return y


WORKLOAD = Workload(
    name="fp16-row-norms",
    description="root mean square of each row of float16, prime extents",
    sizes={"small": SoftmaxShape(rows=1009, columns=1021)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
    peers_round=2e-3,  # PyTorch's results are float16
)
