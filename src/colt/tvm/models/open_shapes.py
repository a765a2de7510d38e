"""Graphs some of whose sizes are known in a call only."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax
from tvm.tirx import IntImm

from colt.tvm.models.fused import with_main

_BOUNDS = ("tir_var_lower_bound", "tir_var_upper_bound")


def without_bounds(graph: tvm.IRModule) -> tvm.IRModule:
    """The graph without what its importer says of the range of sizes.

    TVM leaves out what is for smaller sizes, and allots memory for the largest. A call of another size would be wrong
    then, and PyTorch's ranges do not always hold: they begin at 2 where 1 is as good.
    """
    main = graph["main"]
    for name in _BOUNDS:
        main = main.without_attr(name)
    return with_main(graph, main)


def output_shapes(main: Any) -> list[tuple[tuple[int | str, ...], str]]:
    """Shapes and types of what a graph gives. A size that is open is written as it follows from those of the inputs."""
    kinds = list(main.ret_ty.fields) if isinstance(main.ret_ty, relax.TupleType) else [main.ret_ty]
    return [(_shape(kind), _text(kind.dtype)) for kind in kinds]


def _shape(kind: Any) -> tuple[int | str, ...]:
    if kind.shape is None:
        return ("any",) * max(0, int(kind.ndim))
    return tuple(int(one) if isinstance(one, IntImm) else _text(one) for one in kind.shape)


def _text(thing: Any) -> str:
    """As a text of Python's: those of TVM are of a type of their own."""
    return str(str(thing))
