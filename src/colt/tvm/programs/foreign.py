"""Loops that an operator of TVM's library marks as parallel inside a block of its own, as ``topi.cumsum`` does.

The user has scheduled nothing there: such a loop is taken for a plain one, and a schedule decides about it anew.
"""

from __future__ import annotations

from typing import Any

from tvm.s_tir.stmt import SBlock
from tvm.tirx import For, ForKind, PrimFunc

from colt.tvm.programs.naming import with_block
from colt.tvm.programs.walks import every, mapped

_ROOT = "root"


def foreign_loops_plain(func: PrimFunc) -> PrimFunc:
    """The function with plain loops in blocks that have no axes; ``func`` itself if they are already."""
    found: list[Any] = []

    def loop(node: Any) -> Any:
        if int(node.kind) != int(ForKind.PARALLEL):
            return node
        found.append(node)
        return For(node.loop_var, node.min, node.extent, ForKind.SERIAL, node.body, None, node.annotations, node.step)

    def block(node: Any) -> Any:
        inner = every(node.body, SBlock)
        if list(node.iter_vars) or inner or str(node.name_hint) == _ROOT:
            return node
        return with_block(node, body=mapped(node.body, (For, loop)))

    body = mapped(func.body, (SBlock, block))
    return func.with_body(body) if found else func
