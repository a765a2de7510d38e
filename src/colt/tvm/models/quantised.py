"""Products of quantised tensors, as files of ONNX write them (QDQ), over the integers themselves.

A quantised tensor is (q - zero point) · scale. Files hold a product of two such as one of floats, each of which is
dequantised before. What it means is

    Σ (a - za) (b - zb) · sa · sb  =  (Σ a b  -  za Σ b  -  zb Σ a  +  K za zb) · sa · sb

whose first sum dot instructions compute. Sums over weights are constants. A convolution pads with zeros where it should
pad with za, so what its weights sum to there is left out of the second sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.ir import GenericConst
from tvm.relax.expr_functor import PyExprMutator, mutator

from colt.tvm.models.graph import Graph
from colt.tvm.programs.arrays import numpy_dtype
from colt.util.text import counted

Array = np.ndarray[Any, Any]
EIGHT_BITS = ("int8", "uint8")
_WHOLE = (
    "over integers, data have one scale, weights one for all or for each output channel, and those of convolutions the "
    "zero point 0"
)
_CONVOLUTIONS = {f"relax.nn.conv{axes}d": getattr(relax.op.nn, f"conv{axes}d") for axes in (1, 2, 3)}


def with_integer_products(graph: Graph) -> Graph:
    """The graph with products of quantised tensors over integers, where scales and zero points are constants: one for a
    tensor, or one for each output channel of weights. Others stay as they are, over floats, and a note counts them."""
    module = graph.module
    if not _has_quantised(module["main"]):
        return graph
    rewriting = _Integers(module)
    functions = dict(module.functions.items())
    functions[module.get_global_var("main")] = rewriting.visit_expr(module["main"])
    notes = graph.notes
    if rewriting.left:
        notes = (*notes, f"{counted(rewriting.left, 'product')} of quantised tensors computed over floats: {_WHOLE}")
    module = relax.transform.DeadCodeElimination()(tvm.IRModule(functions))
    return replace(graph, module=module, narrow="int8" if rewriting.made else "", notes=notes)


def _has_quantised(main: Any) -> bool:
    found = []

    def look(node: Any) -> None:
        if isinstance(node, relax.Call) and getattr(node.op, "name", "") in ("relax.quantize", "relax.dequantize"):
            found.append(node)

    relax.analysis.post_order_visit(main, look)
    return bool(found)


@dataclass(frozen=True)
class _Quantised:
    """Where a tensor of floats comes from: (``integers`` - ``zero``) · ``scale``.

    ``axis`` is that along which there are several scales; ``None`` if there is one.
    """

    integers: Any
    scale: Array
    zero: Array
    axis: int | None

    @property
    def rank(self) -> int:
        return int(self.integers.ty.ndim)

    @property
    def single(self) -> bool:
        """Whether one scale and one zero point are of the whole tensor."""
        return self.axis is None


@mutator
class _Integers(PyExprMutator):  # type: ignore[misc]
    def __init__(self, graph: tvm.IRModule) -> None:
        super().__init__(graph)
        self._known = dict[Any, _Quantised]()
        self.made = self.left = 0
        self._makers: dict[str, Callable[[Any], Any]] = {
            "relax.quantize": self._quantised,
            "relax.dequantize": self._dequantised,
            "relax.permute_dims": self._permuted,
            "relax.reshape": self._reshaped,
            **dict.fromkeys(("relax.matmul", *_CONVOLUTIONS), self._product),
        }

    def visit_call_(self, op: Any) -> Any:
        call = self.visit_expr_post_order(op)
        maker = self._makers.get(getattr(call.op, "name", ""))
        made = None if maker is None else maker(call)
        return call if made is None else made

    def _source(self, expr: Any) -> _Quantised | None:
        """Where a tensor of floats comes from, if it was dequantised."""
        while isinstance(expr, relax.Var):
            if expr in self._known:
                return self._known[expr]
            expr = self.lookup_binding(expr)
        return None

    # Between floats and integers, as operators whose layout can change

    def _quantised(self, call: Any) -> Any:
        found = _parameters(call)
        if found is None:
            return None
        scale, zero, axis = found
        rank, dtype = call.args[0].ty.ndim, str(call.ty.dtype)
        bounds = np.iinfo(numpy_dtype(dtype))
        # As ONNX says: divided, rounded to even, and what is outside of the type at its ends.
        divided = self.builder_.emit(relax.op.divide(call.args[0], _along(scale, rank, axis)))
        rounded = self.builder_.emit(relax.op.round(divided))
        if zero.any():
            rounded = self.builder_.emit(relax.op.add(rounded, _along(zero.astype("float32"), rank, axis)))
        least = self.builder_.emit(relax.op.maximum(rounded, _along(np.float32(bounds.min), rank, None)))
        most = self.builder_.emit(relax.op.minimum(least, _along(np.float32(bounds.max), rank, None)))
        return relax.op.astype(most, dtype)

    def _dequantised(self, call: Any) -> Any:
        found = _parameters(call)
        if found is None:
            return None
        scale, zero, axis = found
        integers = call.args[0]
        array = self._constant(integers)
        if array is not None:
            rank = array.ndim
            floats = (array.astype("float32") - _shaped(zero.astype("float32"), rank, axis)) * _shaped(
                scale, rank, axis
            )
            return self._remembered(self.builder_.emit(relax.const(floats)), integers, found)
        floats = self.builder_.emit(relax.op.astype(integers, "float32"))
        rank = floats.ty.ndim
        if zero.any():
            floats = self.builder_.emit(relax.op.subtract(floats, _along(zero.astype("float32"), rank, axis)))
        product = self.builder_.emit(relax.op.multiply(floats, _along(scale, rank, axis)))
        return self._remembered(product, integers, found)

    def _remembered(self, floats: Any, integers: Any, found: tuple[Array, Array, int | None]) -> Any:
        if str(integers.ty.dtype) in EIGHT_BITS:
            self._known[floats] = _Quantised(integers, *found)
        return floats

    # Moves of quantised tensors are moves of their integers

    def _permuted(self, call: Any) -> Any:
        source = self._source(call.args[0])
        if source is None:
            return None
        order = _order(call)
        axis = None if source.axis is None else order.index(source.axis)
        moved = self.builder_.emit(relax.op.permute_dims(source.integers, order))
        return self._moved(call, replace(source, integers=moved, axis=axis))

    def _reshaped(self, call: Any) -> Any:
        source = self._source(call.args[0])
        if source is None or not source.single:
            return None
        moved = self.builder_.emit(relax.op.reshape(source.integers, call.args[1]))
        return self._moved(call, replace(source, integers=moved))

    def _moved(self, call: Any, source: _Quantised) -> Any:
        floats = self.builder_.emit(call)
        self._known[floats] = source
        return floats

    # Products

    def _product(self, call: Any) -> Any:
        """The product over integers; ``None`` if an operand is not quantised, or scales are where none can be."""
        a, b = (self._source(operand) for operand in call.args)
        if a is None or b is None:
            return None
        made = self._convolution(call, a, b) if call.op.name in _CONVOLUTIONS else self._matmul(call, a, b)
        self.made, self.left = (self.made, self.left + 1) if made is None else (self.made + 1, self.left)
        return made

    def _matmul(self, call: Any, a: _Quantised, b: _Quantised) -> Any:
        if not a.single or not (b.single or (b.axis == b.rank - 1 and b.rank > 1)):
            return None
        if a.rank < 2 or b.rank < 2:
            return None
        total = self.builder_.emit(relax.op.matmul(a.integers, b.integers, out_dtype="int32"))
        depth = int(call.args[0].ty.shape[a.rank - 1])
        if a.zero.any():
            total = self._without(total, self._summed(b.integers, b.rank - 2), a.zero)
        if b.zero.any():
            total = self._without(total, self._summed(a.integers, a.rank - 1), b.zero)
        if a.zero.any() and b.zero.any():
            total = self._plus(total, a.zero.astype("int32") * b.zero.astype("int32") * depth)
        return self._scaled(total, a.scale * b.scale, int(call.ty.ndim) - 1)

    def _convolution(self, call: Any, a: _Quantised, b: _Quantised) -> Any:
        if not a.single or b.axis not in (None, 0) or b.zero.any():
            return None
        weights = self._constant(b.integers)
        if a.zero.any() and weights is None:
            return None
        if not (call.attrs.data_layout.startswith("NC") and call.attrs.kernel_layout.startswith("OI")):
            return None
        names = ("strides", "padding", "dilation", "groups", "data_layout", "kernel_layout")
        attrs = {name: getattr(call.attrs, name) for name in names}
        make = _CONVOLUTIONS[call.op.name]
        total = self.builder_.emit(make(a.integers, b.integers, **attrs, out_dtype="int32"))
        if a.zero.any():
            assert weights is not None
            total = self._plus(total, -a.zero.astype("int32") * _window_sums(weights, call))
        return self._scaled(total, a.scale * b.scale, 1)

    def _without(self, total: Any, sums: Any, zero: Array) -> Any:
        """Less the sums, times a zero point for all or for each of the last axis."""
        factor = relax.const(zero.astype("int32").reshape(-1) if zero.size > 1 else zero.astype("int32").reshape(()))
        return self.builder_.emit(relax.op.subtract(total, self.builder_.emit(relax.op.multiply(sums, factor))))

    def _plus(self, total: Any, array: Array) -> Any:
        return self.builder_.emit(relax.op.add(total, relax.const(np.ascontiguousarray(array, "int32"))))

    def _summed(self, integers: Any, axis: int) -> Any:
        """Sums along an axis, in int32."""
        array = self._constant(integers)
        if array is not None:
            return relax.const(array.sum(axis, dtype="int32", keepdims=True))
        wide = self.builder_.emit(relax.op.astype(integers, "int32"))
        return self.builder_.emit(relax.op.sum(wide, axis, keepdims=True))

    def _scaled(self, total: Any, scale: Array, axis: int) -> Any:
        floats = self.builder_.emit(relax.op.astype(total, "float32"))
        return relax.op.multiply(floats, _along(scale, floats.ty.ndim, axis if scale.size > 1 else None))

    def _constant(self, expr: Any) -> Array | None:
        """The value of a constant, and of one that was moved."""
        if isinstance(expr, GenericConst):
            array: Array = expr.value.numpy()
            return array
        if isinstance(expr, relax.Var):
            return self._constant(self.lookup_binding(expr))
        if isinstance(expr, relax.Call) and getattr(expr.op, "name", "") == "relax.permute_dims":
            source = self._constant(expr.args[0])
            return None if source is None else np.transpose(source, _order(expr))
        return None


def _order(permuting: Any) -> list[int]:
    """Which axis comes where when axes are permuted."""
    axes, rank = permuting.attrs.axes, int(permuting.args[0].ty.ndim)
    return list(range(rank))[::-1] if axes is None else [int(axis) for axis in axes]


def _parameters(call: Any) -> tuple[Array, Array, int | None] | None:
    """Scales, zero points as whole numbers, and the axis along which there are several; ``None`` if they are no
    constants, or of another type than float32."""
    _, *constants = call.args
    if not all(isinstance(one, GenericConst) for one in constants):
        return None
    scale, zero = (one.value.numpy().reshape(-1) for one in constants)
    floats = call.args[0] if call.op.name == "relax.quantize" else call
    if str(scale.dtype) != "float32" or str(floats.ty.dtype) != "float32" or zero.dtype.kind not in "iu":
        return None
    several = scale.size > 1
    axis = int(call.attrs.axis) % call.args[0].ty.ndim if several else None
    return scale, np.broadcast_to(zero.astype("int64"), scale.shape), axis


def _shaped(values: Array, rank: int, axis: int | None) -> Array:
    """Values along an axis, or one for all, with as many axes as a tensor of that rank."""
    return np.reshape(values, [-1 if at == axis else 1 for at in range(rank)])


def _along(values: Any, rank: int, axis: int | None) -> Any:
    return relax.const(np.ascontiguousarray(_shaped(np.asarray(values), rank, axis)), "float32")


def _window_sums(weights: Array, call: Any) -> Array:
    """What the weights of each output channel sum to, at each place of the output, over the taps that lie within the
    data: ``int32[1, channels, *places]``, with one place for all if it is the same everywhere."""
    attrs, axes = call.attrs, weights.ndim - 2
    sums = weights.sum(1, dtype="int64")
    for axis in range(axes):
        extent, places = (int(shape[2 + axis]) for shape in (call.args[0].ty.shape, call.ty.shape))
        taps = np.arange(weights.shape[2 + axis]) * int(attrs.dilation[axis]) - int(attrs.padding[axis])
        at = taps[:, None] + np.arange(places) * int(attrs.strides[axis])
        sums = np.tensordot(sums, (at >= 0) & (at < extent), axes=(1, 0))  # the next axis comes to the front
    first = sums[(slice(None), *[slice(0, 1)] * axes)]
    found: Array = first if (sums == first).all() else sums
    return found[None].astype("int32")
