"""Programs as TVM holds them: making one from tensor expressions, and reading off its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm
from tvm import s_tir, te
from tvm.tirx import PrimFunc
from tvm_ffi import structural_hash, structural_walk

from colt.tvm.programs.arguments import Argument, Role


def module_of_tensors(tensors: Sequence[Any]) -> tvm.IRModule:
    """A module whose one function ``main`` computes tensor expressions: ``tensors`` are the inputs, then the output."""
    return module_of_function(te.create_prim_func(list(tensors)))


def module_of_function(func: PrimFunc) -> tvm.IRModule:
    """The module that is tuned: ``func`` as ``main``, its arguments promised not to overlap, as MetaSchedule does."""
    return tvm.IRModule({"main": func.with_attr("global_symbol", "main").with_attr("tirx.noalias", True)})


def fingerprint(module: tvm.IRModule) -> str:
    """Identifies a program by its structure: 16 hexadecimal digits, the same in every process."""
    return f"{int(structural_hash(module)):016x}"


def arguments_of(func: PrimFunc) -> tuple[Argument, ...]:
    """The arguments of a function made of blocks, all of whose parameters are tensors of constant shape.

    An argument is INOUT if the first block that writes it, or one before, also reads it.
    """
    roles = _roles(func)
    return tuple(
        Argument(
            name=str(param.name),
            shape=tuple(int(extent) for extent in param.ty.shape),
            dtype=str(param.ty.dtype),
            role=roles.get(param, Role.INPUT),
        )
        for param in func.params
    )


def _roles(func: PrimFunc) -> dict[Any, Role]:
    """The roles of the buffers that blocks touch, found in program order."""
    roles: dict[Any, Role] = {}

    def enter_block(block: Any) -> None:
        for region in block.reads:  # a reduction that initialises its own sum does not list it here
            roles.setdefault(region.source, Role.INPUT)
        for region in block.writes:
            role = roles.setdefault(region.source, Role.OUTPUT)
            if role is Role.INPUT:
                roles[region.source] = Role.INOUT

    structural_walk(func.body, (s_tir.SBlock, enter_block), order="pre")
    return roles
