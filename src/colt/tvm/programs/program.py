"""Programs as TVM holds them: made from tensor expressions, changed function by function, named by structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tvm
from tvm import te
from tvm.tirx import PrimFunc
from tvm_ffi import structural_hash


def module_of_tensors(tensors: Sequence[Any]) -> tvm.IRModule:
    """A module whose one function ``main`` computes tensor expressions: ``tensors`` are the inputs, then the output."""
    return module_of_function(te.create_prim_func(list(tensors)))


def module_of_function(func: PrimFunc) -> tvm.IRModule:
    """The module that is tuned: ``func`` as ``main``, its arguments promised not to overlap, as MetaSchedule does."""
    return tvm.IRModule({"main": func.with_attr("global_symbol", "main").with_attr("tirx.noalias", True)})


Change = Callable[[PrimFunc, Any], Any]
"""From a function, and a body in place of its own, to another body, or to the same one if nothing is to be changed."""


def with_changed_bodies(mod: tvm.IRModule, *changes: Change) -> tvm.IRModule:
    """The module with the bodies of its functions changed, by one change after the other; ``mod`` itself if they all
    stay. (To make a function takes TVM longer than most changes take.)"""
    changed = {}
    for variable, function in mod.functions.items():
        if isinstance(function, PrimFunc):
            body = function.body
            for change in changes:
                body = change(function, body)
            if not body.same_as(function.body):
                changed[variable] = function.with_body(body)
    if not changed:
        return mod
    result = mod.clone()
    for variable, function in changed.items():
        result.update_func(variable, function)
    return result


def fingerprint(module: tvm.IRModule) -> str:
    """Identifies a program by its structure: 16 hexadecimal digits, the same in every process."""
    return f"{int(structural_hash(module)):016x}"
