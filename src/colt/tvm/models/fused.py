"""From a graph of operators to fused functions over tensors, none of them scheduled."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.ir import GenericConst
from tvm.relax.expr_functor import PyExprMutator, mutator
from tvm.tirx import IntImm

from colt.tvm.models import comparisons, extremes, norms, transposed
from colt.tvm.models.blame import lowered
from colt.tvm.models.cast import with_products_of
from colt.tvm.models.layouts import Layouts, conversion, in_blocks, moved
from colt.tvm.programs.arrays import numpy_dtype
from colt.util.streams import keeping_remarks


@keeping_remarks()
def fused(graph: tvm.IRModule, target: Any, layouts: Layouts | None = None, products: str = "") -> tvm.IRModule:
    """The graph with each chain of operators that belongs together as one function.

    ``layouts`` are those that operators are to have; as the graph has them if left out. ``products`` is the type that
    operands of products of float32 are rounded to. Raises :class:`InputError` for an operator that TVM has no code for.
    """
    return lowered(graph, lambda part: _fused(part, target, layouts, products))


def _fused(graph: tvm.IRModule, target: Any, layouts: Layouts | None, products: str) -> tvm.IRModule:
    passes = [relax.transform.DecomposeOpsForInference(), relax.transform.CanonicalizeBindings()]
    if layouts:
        passes.append(conversion(layouts))
    with target, tvm.transform.PassContext(opt_level=3):
        canonical = with_main(graph, _Canonical(graph).visit_expr(graph["main"]))
        converted = tvm.transform.Sequential(passes)(canonical)
        if products:
            converted = with_main(converted, with_products_of(products, converted["main"], converted))
        written = relax.transform.LegalizeOps({**_rules(), "relax.nn.conv2d": in_blocks})
        sorts = relax.backend.DispatchSortScan()  # operators that TVM would make functions of after all others
        last = (relax.transform.FoldConstant(), sorts, written, relax.get_pipeline("zero"))
        return tvm.transform.Sequential(last)(folded(converted))


def _rules() -> dict[str, Callable[[Any, Any], Any]]:
    """What to make of operators that TVM has no code for, or other code than they mean."""
    return transposed.rules() | comparisons.rules() | extremes.rules() | norms.rules()


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

    def laid_out(call: Any, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return moved(call.attrs.index_map, array, [int(extent) for extent in call.ty.shape])

    def cast(call: Any, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return array.astype(numpy_dtype(str(call.ty.dtype)))

    return {
        "relax.astype": cast,
        "relax.permute_dims": permuted,
        "relax.reshape": reshaped,
        "relax.expand_dims": reshaped,
        "relax.layout_transform": laid_out,
        "relax.squeeze": reshaped,
    }


_EXTREMES = {"relax.maximum": relax.op.maximum, "relax.minimum": relax.op.minimum}


@mutator
class _Canonical(PyExprMutator):  # type: ignore[misc]
    """Writes operators as ``ConvertLayout`` takes them, which are the same for PyTorch and ONNX then.

    A clip is a maximum and a minimum, of bounds with the axes and channels of the tensor: layouts do not pass through
    others.
    Axes that are squeezed are counted from the front: for others the pass reads memory that is not there. What is
    stacked is concatenated: the pass would look for the new axis in the tensors that have none yet.
    """

    def visit_call_(self, op: Any) -> Any:
        call = self.visit_expr_post_order(op)
        name = getattr(call.op, "name", "")
        if name == "relax.squeeze" and call.attrs.axis is not None:
            axes = [int(axis) for axis in call.attrs.axis]
            return relax.op.squeeze(call.args[0], [axis % call.args[0].ty.ndim for axis in axes])
        if name == "relax.stack":
            return self._stacked(call)
        if name == "relax.clip":
            return self._clipped(call)
        if name in _EXTREMES:
            first, second = call.args
            if _is_number(second) and first.ty.ndim > 0:
                return _EXTREMES[name](first, _bound(second.value.numpy(), first))
            if _is_number(first) and second.ty.ndim > 0:
                return _EXTREMES[name](_bound(first.value.numpy(), second), second)
        return call

    def _stacked(self, call: Any) -> Any:
        parts, rank = call.args[0], call.ty.ndim
        axis = int(call.attrs.axis) % rank
        count = len(parts.ty.fields)
        each = parts.fields if isinstance(parts, relax.Tuple) else [relax.TupleGetItem(parts, n) for n in range(count)]
        return relax.op.concat([self.builder_.emit(relax.op.expand_dims(one, [axis])) for one in each], axis)

    def _clipped(self, call: Any) -> Any:
        tensor, *bounds = call.args
        low, high = (getattr(bound, "value", None) for bound in bounds)
        if tensor.ty.ndim < 1 or not isinstance(low, int | float) or not isinstance(high, int | float):
            return call
        if low > -math.inf:
            tensor = self.builder_.emit(relax.op.maximum(tensor, _bound(low, tensor)))
        return tensor if high == math.inf else relax.op.minimum(tensor, _bound(high, tensor))


def _is_number(expr: Any) -> bool:
    return isinstance(expr, GenericConst) and not expr.value.shape


def _as_number(bound: Any, tensor: Any) -> Any:
    """A constant of one value as a number, if it has no more elements along an axis than the tensor that it bounds;
    ``None`` for anything else."""
    if not isinstance(bound, GenericConst):
        return None
    array, shape = bound.value.numpy(), list(tensor.ty.shape)
    if array.size == 0 or array.ndim > len(shape) or not (array == array.flat[0]).all():
        return None
    along = zip(array.shape, shape[len(shape) - array.ndim :], strict=True)
    if not all(extent == 1 or (isinstance(size, IntImm) and int(size) == extent) for extent, size in along):
        return None
    return relax.const(array.reshape(-1)[:1].reshape(()), str(bound.ty.dtype))


def _bound(value: Any, tensor: Any) -> Any:
    """A constant with as many axes as the tensor, and as many channels: these may come in blocks."""
    dtype, shape = str(tensor.ty.dtype), [1] * tensor.ty.ndim
    if tensor.ty.ndim == 4 and isinstance(tensor.ty.shape[1], IntImm):
        shape[1] = int(tensor.ty.shape[1])
    return relax.const(np.full(shape, value, np.dtype(dtype)), dtype)


@mutator
class _Folding(PyExprMutator):  # type: ignore[misc]
    """Replaces moves of constants by constants, and bounds of one value by numbers."""

    def __init__(self, graph: tvm.IRModule) -> None:
        super().__init__(graph)
        self._moves = _moves()

    def visit_call_(self, op: Any) -> Any:
        call = self.visit_expr_post_order(op)
        extreme = _EXTREMES.get(getattr(call.op, "name", ""))
        if extreme is not None:
            first, second = call.args
            if (number := _as_number(self._value(second), first)) is not None:
                return extreme(first, number)
            number = _as_number(self._value(first), second)
            return call if number is None else extreme(number, second)
        move = self._moves.get(getattr(call.op, "name", ""))
        if move is None or not isinstance(operand := self._value(call.args[0]), GenericConst):
            return call
        if not all(isinstance(extent, IntImm) for extent in call.ty.shape):
            return call  # its size is known in a call only
        array = move(call, operand.value.numpy())
        return relax.const(np.ascontiguousarray(array), str(call.ty.dtype))

    def _value(self, expr: Any) -> Any:
        """A constant that was bound to a variable before, or what was given."""
        bound = self.lookup_binding(expr) if isinstance(expr, relax.Var) else None
        return expr if bound is None else bound
