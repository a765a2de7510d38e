"""The arguments of a program, read off its blocks."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import s_tir
from tvm.tirx import BufferStore, PrimFunc

from colt.tvm.programs.arguments import Argument, Role
from colt.tvm.programs.walks import every, walk
from colt.tvm.workers.access import analyse


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
    """The roles of the buffers that blocks touch, found in program order.

    What no block declares (a call of foreign code writes it, or one block holds the whole program) has the role that
    verification gives it.
    """
    roles: dict[Any, Role] = {}

    def enter_block(block: Any) -> None:
        for buffer in _read_in(block):
            roles.setdefault(buffer, Role.INPUT)
        for region in block.writes:
            role = roles.setdefault(region.source, Role.OUTPUT)
            if role is Role.INPUT:
                roles[region.source] = Role.INOUT

    walk(func.body, (s_tir.SBlock, enter_block), pre=True)
    access = analyse(func)
    for number, param in enumerate(func.params):
        if number in access.written and roles.get(param, Role.INPUT) is Role.INPUT:
            roles[param] = Role.INOUT if number in access.read else Role.OUTPUT
    return roles


def _read_in(block: Any) -> list[Any]:
    """The buffers that the block reads: those that it declares, and those that it loads from before it stores to them.

    (A reduction that initialises its own sum does not read it.)
    """
    found = [region.source for region in block.reads]
    if block.init is not None or every(block.body, s_tir.SBlock):
        return found
    stored: list[Any] = []

    def load(node: Any) -> None:
        if node.source not in found and node.source not in stored:
            found.append(node.source)

    def store(node: Any) -> None:
        walk(node.value, (tvm.ir.TensorLoad, load))
        stored.append(node.buffer)

    walk(block.body, (BufferStore, store), (tvm.ir.TensorLoad, load), pre=True)
    return found
