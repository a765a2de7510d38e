"""What a program is found by among records: its structure, its family, its extents.

The *structure* is TVM's hash, in which names of arguments, buffers, blocks and loops do not count. Programs of one
*family* differ in numbers alone: extents, and what was derived from them, such as the divisor of a mean.
"""

from __future__ import annotations

import hashlib
from typing import Any

import tvm_ffi
from tvm.ir import Call, Op
from tvm.tirx import FloatImm, For, IntImm

from colt.records.record import ProgramKey
from colt.tvm.programs.program import fingerprint
from colt.tvm.programs.walks import walk

_ANY_NUMBER = "#"


def program_key(module: Any) -> ProgramKey:
    """The key of a module whose one function is ``main``; the same in every process."""
    return ProgramKey(structure=fingerprint(module), family=family(module["main"]), extents=extents(module["main"]))


def family(func: Any) -> str:
    """Identifies a function but for its numbers and names: 32 hexadecimal digits."""
    variables: dict[Any, int] = {}
    told = hashlib.sha256()

    def tell(node: Any) -> None:
        told.update(f"{_told(node, variables)}\n".encode())

    for part in (*func.params, func.body):  # attributes hold names
        walk(part, (tvm_ffi.Object, tell), pre=True)
    return told.hexdigest()[:32]


def extents(func: Any) -> tuple[int, ...]:
    """How often each loop runs, in program order; 0 where that is not a number."""
    found: list[int] = []

    def visit(loop: Any) -> None:
        found.append(int(loop.extent) if isinstance(loop.extent, IntImm) else 0)

    walk(func.body, (For, visit), pre=True)
    return tuple(found)


def _told(node: Any, variables: dict[Any, int]) -> str:
    """A node without its children. Variables are told by the order in which they first occur."""
    kind = type(node).__name__
    if isinstance(node, IntImm | FloatImm):
        return _ANY_NUMBER
    if kind == "Var":
        return f"{kind} {variables.setdefault(node, len(variables))}"
    if kind in ("PrimType", "StringImm"):
        return f"{kind} {node}"
    if isinstance(node, Call) and isinstance(node.op, Op):
        return f"{kind} {node.op.name}"
    return kind
