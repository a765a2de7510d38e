"""A graph whose products are of narrower numbers: operands are rounded, sums have 32 bits, all else stays as it was."""

from __future__ import annotations

import inspect
from typing import Any

import tvm
from tvm import relax
from tvm.relax.expr_functor import PyExprMutator, mutator

from colt.tvm.models.layouts import summed_channels

WIDE = "float32"
_PRODUCTS = {
    "relax.matmul": relax.op.matmul,
    **{f"relax.nn.conv{axes}d": getattr(relax.op.nn, f"conv{axes}d") for axes in (1, 2, 3)},
    **{f"relax.nn.conv{axes}d_transpose": getattr(relax.op.nn, f"conv{axes}d_transpose") for axes in (1, 2, 3)},
}


def with_products_of(dtype: str, main: Any, graph: tvm.IRModule) -> Any:
    """The function ``main`` of the graph, whose products of float32 are of ``dtype``.

    A tensor that a product takes is kept in ``dtype``; whatever else reads it, reads it rounded. So it is written once,
    by the function that computes it, and half as many bytes are moved.
    """
    return _Narrowing(graph, dtype, _operands(main)).visit_expr(main)


def _is_product(call: Any) -> bool:
    """Whether it sums products of float32. A depthwise convolution sums over its few taps: there is nothing to save."""
    if getattr(call.op, "name", "") not in _PRODUCTS or not all(_is_wide(operand) for operand in call.args):
        return False
    layout = getattr(call.attrs, "kernel_layout", None)
    return layout is None or summed_channels(call.args[1], str(layout)) > 1


def _is_wide(operand: Any) -> bool:
    return isinstance(operand.ty, relax.TensorType) and str(operand.ty.dtype) == WIDE


def _operands(main: Any) -> set[Any]:
    """The variables that products take, apart from the function's own parameters."""
    found = set[Any]()

    def look(node: Any) -> None:
        if isinstance(node, relax.Call) and _is_product(node):
            found.update(operand for operand in node.args if isinstance(operand, relax.Var))

    relax.analysis.post_order_visit(main, look)
    return found.difference(main.params)


@mutator
class _Narrowing(PyExprMutator):  # type: ignore[misc]
    def __init__(self, graph: tvm.IRModule, dtype: str, operands: set[Any]) -> None:
        super().__init__(graph)
        self._dtype = dtype
        self._operands = operands
        self._narrow = dict[Any, Any]()
        self._rounded = dict[Any, Any]()

    def visit_call_(self, op: Any) -> Any:
        if _is_product(op):
            return _summed_wide(op, [self._narrowed(operand) for operand in op.args])
        return relax.Call(op.op, [self._read(operand) for operand in op.args], op.attrs, op.ty_args, op.span)

    def _read(self, operand: Any) -> Any:
        """An operand of what is no product."""
        if isinstance(operand, relax.Tuple):
            return relax.Tuple([self._read(each) for each in operand.fields])
        if operand not in self._operands:
            return self.visit_expr(operand)
        if operand not in self._rounded:
            self._rounded[operand] = self.builder_.emit(relax.op.astype(self._narrowed(operand), WIDE))
        return self._rounded[operand]

    def _narrowed(self, operand: Any) -> Any:
        if not isinstance(operand, relax.Var):
            return self.builder_.emit(relax.op.astype(self.visit_expr(operand), self._dtype))
        if operand not in self._narrow:
            self._narrow[operand] = self.builder_.emit(relax.op.astype(self.visit_expr(operand), self._dtype))
        return self._narrow[operand]


def _summed_wide(call: Any, operands: list[Any]) -> Any:
    """The product of narrow operands, with sums and result of 32 bits."""
    make = _PRODUCTS[call.op.name]
    own = [name for name in inspect.signature(make).parameters if hasattr(call.attrs, name)]
    return make(*operands, **{name: getattr(call.attrs, name) for name in own} | {"out_dtype": WIDE})
