"""Outputs that are nobody else's memory: whoever keeps one, or writes to it, neither sees the next call nor changes it.

A graph may return what it was given, a weight, or the same tensor twice, and a shape of any of these is a view. The
virtual machine hands them out as they are. An output in the memory of an input would change with the next contents of
that, and a write to one in the memory of a weight would change the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tvm
from tvm import relax, topi

from colt.tvm.models.fused import with_main

_VIEWS = ("relax.reshape", "relax.memory.view", "relax.memory.ensure_zero_offset")
"""Operators whose result may lie where their first argument lies."""


def with_own_outputs(model: tvm.IRModule) -> tvm.IRModule:
    """The model, with a copy of each output that is an input, a constant, or an output before it, or a view of one."""
    main = model["main"]
    bound = {one.var: one.value for block in main.body.blocks for one in block.bindings}
    outputs = _outputs(main.body.body)
    shared, seen = list[bool](), set[Any]()
    for of in (_origin(output, bound, model) for output in outputs):
        shared.append(of is None or of in seen)
        seen.add(of)
    if not any(shared):
        return model
    builder, bindings = relax.BlockBuilder(model), list[Any]()
    for number, copied in enumerate(shared):
        outputs[number] = _bound(outputs[number], bindings)
        if copied:
            call = builder.call_te(topi.identity, outputs[number], primfunc_name_hint="copied")
            outputs[number] = _bound(builder.normalize(call), bindings)
    result = relax.Tuple(outputs) if isinstance(main.ret_ty, relax.TupleType) else outputs[0]
    body = relax.SeqExpr([*main.body.blocks, relax.BindingBlock(bindings)], result)
    return with_main(builder.get(), relax.Function(main.params, body, main.ret_ty, attrs=main.attrs))


def _bound(value: Any, bindings: list[Any]) -> Any:
    """A variable that is bound to the value."""
    variable = relax.Var(f"own{len(bindings)}", value.ty)
    bindings.append(relax.VarBinding(variable, value))
    return variable


def _outputs(result: Any) -> list[Any]:
    """The tensors that a function returns."""
    if isinstance(result, relax.Tuple):
        return list(result.fields)
    if isinstance(result.ty, relax.TupleType):
        return [relax.TupleGetItem(result, number) for number in range(len(result.ty.fields))]
    return [result]


def _origin(expr: Any, bound: Mapping[Any, Any], model: tvm.IRModule) -> Any:
    """Whose memory a tensor lies in: a variable that a call's results are bound to, and which of these it is; ``None``
    for parameters, constants, and whatever depends on values."""
    path: tuple[int, ...] = ()
    while True:
        if isinstance(expr, relax.TupleGetItem):
            path, expr = (expr.index, *path), expr.tuple_value
        elif isinstance(expr, relax.Tuple):
            expr, path = expr.fields[path[0]], path[1:]
        elif isinstance(expr, relax.Var) and expr in bound:
            value = bound[expr]
            if isinstance(value, relax.Call) and not _is_view(value, model):
                return expr, path
            expr = value
        elif isinstance(expr, relax.Call) and _is_view(expr, model):
            expr = _viewed(expr)
        else:
            return None


def _is_view(call: Any, model: tvm.IRModule) -> bool:
    name = getattr(call.op, "name", "")
    if name != "relax.call_tir":
        return name in _VIEWS
    return bool(relax.analysis.has_reshape_pattern(model[call.args[0]]))


def _viewed(call: Any) -> Any:
    return call.args[1].fields[0] if call.op.name == "relax.call_tir" else call.args[0]
