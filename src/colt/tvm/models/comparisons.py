"""Comparisons that hold for NaN, too, and arithmetic of truth values.

TVM takes "not equal" for "less or more", and what is compared with itself for equal; it turns a comparison that is
inverted into the opposite one. None of that holds for a NaN. Where one may be, it is looked for here, and truth values
are inverted by an operator on bits, which TVM leaves alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relax, te, tirx, topi
from tvm.ir import Op
from tvm.relax.transform.legalize_ops.common import _try_convert_to_scalar_const
from tvm.te import Tensor

Rule = Callable[[Any, Any], Any]


def rules() -> dict[str, Rule]:
    """What to make of these operators, for TVM's ``LegalizeOps``."""
    return {
        "relax.equal": _equal,
        "relax.not_equal": _not_equal,
        "relax.less_equal": _ordered,
        "relax.greater_equal": _ordered,
        "relax.logical_not": _inverted,
        "relax.bitwise_not": _inverted,
        **dict.fromkeys(("relax.multiply", "relax.minimum"), _of_truths(topi.logical_and)),
        **dict.fromkeys(("relax.add", "relax.maximum"), _of_truths(topi.logical_or)),
    }


def _as_by_tvm(builder: Any, call: Any) -> Any:
    return Op.get(call.op.name).get_attr("FLegalize")(builder, call)


def _is_of_floats(call: Any) -> bool:
    return "float" in str(call.args[0].ty.dtype)


def _operands(call: Any) -> tuple[Any, Any]:
    """Both operands, of which one may be a number then."""
    first, second = call.args
    number = _try_convert_to_scalar_const(second)
    return (_try_convert_to_scalar_const(first), second) if number is second else (first, number)


def _is_nan(operand: Any) -> list[Any]:
    """Where it is NaN, for each number of a tensor; nothing for a number, which is compared with no NaN then."""
    return [topi.isnan(operand)] if isinstance(operand, Tensor) else []


def _equal(builder: Any, call: Any) -> Any:
    """A NaN is not equal to itself; what is compared with a constant is not compared with itself."""
    operands = _operands(call)
    if not _is_of_floats(call) or not all(isinstance(one.ty, relax.TensorType) for one in operands):
        return _as_by_tvm(builder, call)

    def computed(one: Any, other: Any) -> Any:
        return topi.logical_and(topi.equal(one, other), _inverse(topi.isnan(one)))

    return builder.call_te(computed, *operands, primfunc_name_hint="equal")


def _not_equal(builder: Any, call: Any) -> Any:
    if not _is_of_floats(call):
        return _as_by_tvm(builder, call)

    def computed(one: Any, other: Any) -> Any:
        found = topi.not_equal(one, other)
        for nan in (*_is_nan(one), *_is_nan(other)):
            found = topi.logical_or(found, nan)
        return found

    return builder.call_te(computed, *_operands(call), primfunc_name_hint="not_equal")


def _ordered(builder: Any, call: Any) -> Any:
    """A tensor compared with itself: true but for NaN."""
    if not _is_of_floats(call) or not call.args[0].same_as(call.args[1]):
        return _as_by_tvm(builder, call)
    return builder.call_te(lambda data: _inverse(topi.isnan(data)), call.args[0], primfunc_name_hint="ordered")


def _inverted(builder: Any, call: Any) -> Any:
    if str(call.args[0].ty.dtype) != "bool":
        return _as_by_tvm(builder, call)
    return builder.call_te(_inverse, call.args[0], primfunc_name_hint="inverted")


def _inverse(truths: Any) -> Any:
    return te.compute(truths.shape, lambda *at: truths(*at) ^ tirx.const(True, "bool"), name="inverse")


def _of_truths(make: Callable[..., Any]) -> Rule:
    """Arithmetic of truth values, which TVM has no code for."""

    def written(builder: Any, call: Any) -> Any:
        if str(call.ty.dtype) != "bool":
            return _as_by_tvm(builder, call)
        return builder.call_te(make, *_operands(call), primfunc_name_hint=str(make.__name__))

    return written
