"""Programs as TVM holds them: making one from tensor expressions."""

from __future__ import annotations

from collections.abc import Sequence
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


def fingerprint(module: tvm.IRModule) -> str:
    """Identifies a program by its structure: 16 hexadecimal digits, the same in every process."""
    return f"{int(structural_hash(module)):016x}"
