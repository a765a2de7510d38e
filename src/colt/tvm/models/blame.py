"""Which operator of a graph it is that TVM has no code for, when a pass over the whole graph has failed; or which
function, when compiling them all has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tvm
from tvm import relax
from tvm.target import Target
from tvm.tirx import PrimFunc

from colt.errors import InputError
from colt.util.text import named_line

Lower = Callable[[tvm.IRModule], tvm.IRModule]


def lowered(graph: tvm.IRModule, lower: Lower) -> tvm.IRModule:
    """What ``lower`` makes of a graph. Raises :class:`InputError`, which names the operator that it fails for."""
    try:
        return lower(graph)
    except Exception as error:  # noqa: BLE001 - passes of TVM raise what they like
        told = next(_failing(graph, lower), f"the model cannot be compiled: {named_line(error)}")
        raise InputError(told) from None


def built(model: tvm.IRModule, build: Callable[[tvm.IRModule], Any]) -> Any:
    """What ``build`` makes of a model of functions over tensors. Raises :class:`InputError`, which names the function
    that it fails for: functions are called by the operators that they are made of."""
    try:
        return build(model)
    except Exception as error:  # noqa: BLE001 - as above
        told = next(_unbuilt(model), f"the model cannot be compiled: {named_line(error)}")
        raise InputError(told) from None


def _unbuilt(model: tvm.IRModule) -> Iterator[str]:
    """The functions that TVM cannot compile by themselves, in words. It is to be called for the model's target."""
    for variable, function in model.functions.items():
        if not isinstance(function, PrimFunc):
            continue
        name = variable.name_hint
        try:
            tvm.tirx.build(tvm.IRModule({name: function.with_attr("global_symbol", name)}), target=Target.current())
        except Exception as error:  # noqa: BLE001 - as above
            kinds = ", ".join(_kind(parameter) for parameter in function.params)
            yield f"the operators of {name} of {kinds} cannot be compiled: {named_line(error)}"


def _failing(graph: tvm.IRModule, lower: Lower) -> Iterator[str]:
    """The calls of operators for which ``lower`` fails by themselves, in words."""
    for call in _calls(graph["main"]):
        try:
            lower(_alone(call))
        except Exception as error:  # noqa: BLE001 - as above
            kinds = ", ".join(_kind(argument) for argument in call.args)
            yield f"operator {call.op.name} of {kinds} cannot be compiled: {named_line(error)}"


def _calls(main: Any) -> Iterator[Any]:
    for block in main.body.blocks:
        for binding in block.bindings:
            value = getattr(binding, "value", None)
            if isinstance(value, tvm.ir.Call) and getattr(value.op, "name", "").startswith("relax."):
                yield value


def _alone(call: Any) -> tvm.IRModule:
    """A graph of this call and nothing else: what it takes from others is its input."""
    builder = relax.BlockBuilder()
    changed = {one: relax.Var(f"x{n}", one.ty) for n, one in enumerate(call.args) if isinstance(one, relax.Var)}
    arguments = [changed.get(one, one) for one in call.args]
    with builder.function("main", list(changed.values())):
        with builder.dataflow():
            found = builder.emit(relax.Call(call.op, arguments, call.attrs, call.ty_args))
            output = builder.emit_output(found)
        builder.emit_func_output(output)
    return builder.get()


def _kind(argument: Any) -> str:
    if getattr(argument.ty, "shape", None) is not None:
        extents = [str(getattr(extent, "value", extent)) for extent in argument.ty.shape]
        return f"{argument.ty.dtype}[{', '.join(extents)}]"
    return type(argument).__name__
