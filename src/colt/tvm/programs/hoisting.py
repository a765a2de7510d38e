"""A loop that several statements have each for themselves, as one loop around all of them.

Forward substitution for several right-hand sides is an example: for each row, three loops over the columns, one after
the other. Each column is independent of the others, which shows once there is one loop over them.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm.tirx import For, ForKind, IfThenElse, IntImm, SeqStmt

from colt.tvm.programs.accesses import Accesses
from colt.tvm.programs.naming import substituted
from colt.tvm.programs.nests import around, is_plain_loop, sequence
from colt.tvm.programs.walks import every


def with_common_loop_outside(stmt: Any) -> Any:
    """The nest with such a loop outside if its turns are independent; ``stmt`` itself if it has none."""
    for key in _keys(stmt):
        shared = tvm.ir.Var(key[0], tvm.ir.PrimType(key[2]))
        body = _without(stmt, key, shared)
        if body is None:
            continue
        zero, count = IntImm(key[2], 0), IntImm(key[2], key[1])
        outside = For(shared, zero, count, ForKind.SERIAL, body)
        accesses = Accesses.of(outside)
        if accesses is not None and accesses.told_apart_by(outside):
            return outside
    return stmt


def _key(loop: Any) -> tuple[str, int, str]:
    return str(loop.loop_var.name), int(loop.extent), str(loop.loop_var.ty)


def _keys(stmt: Any) -> list[tuple[str, int, str]]:
    """Names, extents and types of loops that the nest has several of."""
    found = [_key(loop) for loop in every(stmt, For) if is_plain_loop(loop)]
    return [key for key in dict.fromkeys(found) if found.count(key) > 1]


def _without(stmt: Any, key: tuple[str, int, str], shared: Any) -> Any:
    """The statement without the loops of that key, whose variable is ``shared`` now; ``None`` if some part has none."""
    if isinstance(stmt, SeqStmt):
        parts = [_without(one, key, shared) for one in stmt.seq]
        return None if any(one is None for one in parts) else sequence(parts)
    if isinstance(stmt, IfThenElse) and stmt.else_case is None:
        then = _without(stmt.then_case, key, shared)
        return None if then is None else IfThenElse(stmt.condition, then, None)
    if not isinstance(stmt, For):
        return None
    if is_plain_loop(stmt) and _key(stmt) == key:
        return substituted(stmt.body, {stmt.loop_var: shared})
    body = _without(stmt.body, key, shared)
    return None if body is None else around(stmt, body)
