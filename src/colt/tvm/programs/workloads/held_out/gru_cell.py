"""One step of a gated recurrent unit, as PyTorch has it: two contractions, three gates, the new state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.workloads.base import Array, Workload

_GATES = 3  # reset, update, new


@dataclass(frozen=True, slots=True)
class GruCellShape:
    """X is batch × inputs, H is batch × hidden; W is 3·hidden × inputs, U is 3·hidden × hidden, with a bias each."""

    batch: int
    inputs: int
    hidden: int


def make_module(shape: GruCellShape) -> Any:
    """Blocks ``XW``, ``HU``, ``reset``, ``update``, ``new``, ``Y``."""
    batch, hidden, wide = shape.batch, shape.hidden, _GATES * shape.hidden
    x, h = te.placeholder((batch, shape.inputs), name="X"), te.placeholder((batch, hidden), name="H")
    w, u = te.placeholder((wide, shape.inputs), name="W"), te.placeholder((wide, hidden), name="U")
    bw, bu = (te.placeholder((wide,), name=name) for name in ("bw", "bu"))
    kx, kh = te.reduce_axis((0, shape.inputs), name="kx"), te.reduce_axis((0, hidden), name="kh")
    xw = te.compute((batch, wide), lambda b, j: te.sum(x[b, kx] * w[j, kx], axis=kx), name="XW")
    hu = te.compute((batch, wide), lambda b, j: te.sum(h[b, kh] * u[j, kh], axis=kh), name="HU")

    def from_input(b: Any, j: Any) -> Any:
        return xw[b, j] + bw[j]

    def from_state(b: Any, j: Any) -> Any:
        return hu[b, j] + bu[j]

    def gate(b: Any, j: Any) -> Any:
        return 1.0 / (1.0 + te.exp(-(from_input(b, j) + from_state(b, j))))

    state = (batch, hidden)
    reset = te.compute(state, lambda b, j: gate(b, j), name="reset")
    update = te.compute(state, lambda b, j: gate(b, j + hidden), name="update")
    new = te.compute(
        state,
        lambda b, j: te.tanh(from_input(b, j + 2 * hidden) + reset[b, j] * from_state(b, j + 2 * hidden)),
        name="new",
    )
    y = te.compute(state, lambda b, j: new[b, j] + update[b, j] * (h[b, j] - new[b, j]), name="Y")
    return module_of_tensors([x, h, w, u, bw, bu, y])


def count_flops(shape: GruCellShape) -> int:
    """Both contractions; the gates are not counted."""
    return 2 * shape.batch * _GATES * shape.hidden * (shape.inputs + shape.hidden)


def compute(x: Array, h: Array, w: Array, u: Array, bw: Array, bu: Array) -> Array:
    """numpy's version."""
    xr, xz, xn = np.split(x @ w.T + bw, _GATES, axis=-1)
    hr, hz, hn = np.split(h @ u.T + bu, _GATES, axis=-1)
    reset, update = 1 / (1 + np.exp(-(xr + hr))), 1 / (1 + np.exp(-(xz + hz)))
    new = np.tanh(xn + reset * hn)
    y: Array = new + update * (h - new)
    return y


WORKLOAD = Workload(
    name="gru-cell",
    description="one step of a gated recurrent unit",
    sizes={"small": GruCellShape(batch=32, inputs=512, hidden=512)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
