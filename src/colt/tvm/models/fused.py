"""From a graph of operators to fused functions over tensors, none of them scheduled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.ir import GenericConst
from tvm.relax.expr_functor import PyExprMutator, mutator

from colt.tvm.models.blame import lowered

CHANNELS_LAST = {"relax.nn.conv2d": ["NHWC", "HWIO"]}
"""Layouts of data and weights, by operator, in which sums over channels read what lies side by side."""


def fused(graph: tvm.IRModule, target: Any, layouts: dict[str, list[str]] | None = None) -> tvm.IRModule:
    """The graph with each chain of operators that belongs together as one function.

    ``layouts`` are those that operators are to have; as the graph has them if left out. Raises :class:`InputError` for
    an operator that TVM has no code for.
    """
    return lowered(graph, lambda part: _fused(part, target, layouts))


def _fused(graph: tvm.IRModule, target: Any, layouts: dict[str, list[str]] | None) -> tvm.IRModule:
    passes = [relax.transform.DecomposeOpsForInference(), relax.transform.CanonicalizeBindings()]
    if layouts:
        passes.append(relax.transform.ConvertLayout(layouts))
    with target, tvm.transform.PassContext(opt_level=3):
        positive = with_main(graph, _Positive(graph).visit_expr(graph["main"]))
        converted = tvm.transform.Sequential(passes)(positive)
        return tvm.transform.Sequential([relax.transform.FoldConstant(), relax.get_pipeline("zero")])(folded(converted))


def folded(graph: tvm.IRModule) -> tvm.IRModule:
    """The graph with moves of constants carried out. TVM's own pass, which compiles each, takes a second for some."""
    return with_main(graph, _Folding(graph).visit_expr(graph["main"]))


def with_main(graph: tvm.IRModule, main: Any) -> tvm.IRModule:
    """The graph with another ``main``."""
    return tvm.IRModule({**dict(graph.functions.items()), graph.get_global_var("main"): main})


def _moves() -> dict[str, Callable[[Any, np.ndarray[Any, Any]], np.ndarray[Any, Any]]]:
    def permuted(call: Any, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        axes = call.attrs.axes
        return np.transpose(array, None if axes is None else [int(axis) for axis in axes])

    def reshaped(call: Any, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return array.reshape([int(extent) for extent in call.ty.shape])

    return {
        "relax.permute_dims": permuted,
        "relax.reshape": reshaped,
        "relax.expand_dims": reshaped,
        "relax.squeeze": reshaped,
    }


@mutator
class _Positive(PyExprMutator):  # type: ignore[misc]
    """Counts axes that are squeezed from the front: ``ConvertLayout`` reads memory that is not there for others."""

    def visit_call_(self, op: Any) -> Any:
        call = self.visit_expr_post_order(op)
        if getattr(call.op, "name", "") != "relax.squeeze" or call.attrs.axis is None:
            return call
        axes = [int(axis) for axis in call.attrs.axis]
        rank = call.args[0].ty.ndim
        return relax.op.squeeze(call.args[0], [axis % rank for axis in axes]) if min(axes, default=0) < 0 else call


@mutator
class _Folding(PyExprMutator):  # type: ignore[misc]
    """Replaces moves of constants by constants."""

    def __init__(self, graph: tvm.IRModule) -> None:
        super().__init__(graph)
        self._moves = _moves()

    def visit_call_(self, op: Any) -> Any:
        call = self.visit_expr_post_order(op)
        move = self._moves.get(getattr(call.op, "name", ""))
        if move is None or not isinstance(operand := self._value(call.args[0]), GenericConst):
            return call
        array = move(call, operand.value.numpy())
        return relax.const(np.ascontiguousarray(array), str(operand.value.dtype))

    def _value(self, expr: Any) -> Any:
        """A constant that was bound to a variable before, or what was given."""
        bound = self.lookup_binding(expr) if isinstance(expr, relax.Var) else None
        return expr if bound is None else bound
