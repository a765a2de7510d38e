"""A program in a few lines: each block as an equation over its loops, shorter than TensorIR and as exact.

    C[i:512, j:512] = sum(k:512) A[i, k] * B[k, j]

A block whose body isn't a single store is shown as its TensorIR.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import tvm
from tvm import s_tir, tirx

from colt.tvm.programs.expressions import Wording
from colt.tvm.programs.roles import arguments_of
from colt.tvm.programs.walks import walk
from colt.tvm.space.variables import variables

_NO_FUNCTIONS = {
    "if_then_else",
    "likely",
    "reinterpret",
    "fabs",
    "floor",
    "ceil",
    "round",
    "trunc",
    "nearbyint",
    "sqrt",
}
"""Calls that compile to an instruction or a branch."""
_REDUCTIONS = {"Add": "sum", "Mul": "product", "Max": "max", "Min": "min"}
_REDUCE = 2


def equations(mod: tvm.IRModule) -> str:
    """The arguments, then a line for each block of ``main`` in program order."""
    function = mod["main"]
    blocks: list[Any] = []

    def enter(realize: Any) -> None:
        if realize.block.writes:  # the root block has none
            blocks.append(realize)

    walk(function.body, (s_tir.SBlockRealize, enter), pre=True)
    return "\n".join([_arguments(function), *(_equation(realize) for realize in blocks)])


def _arguments(function: Any) -> str:
    """The arguments in groups of one type and role: ``float32 input A[8, 4], B[4, 8]; float32 output C[8, 8]``."""
    groups = groupby(arguments_of(function), key=lambda one: (one.dtype, one.role))
    return "; ".join(
        f"{dtype} {role} {', '.join(f'{one.name}{list(one.shape)}' for one in group)}"
        for (dtype, role), group in groups
    )


def calls(mod: tvm.IRModule) -> set[str]:
    """The names of the functions on floating-point values that ``main`` calls, such as ``exp``."""
    found: set[str] = set()

    def enter(node: Any) -> None:
        if str(getattr(node, "ty", "")).startswith(("float", "bfloat")):
            found.add(str(getattr(node.op, "name", node.op)).rpartition(".")[2])

    walk(mod["main"].body, (tvm.ir.Call, enter))
    return found - _NO_FUNCTIONS


def _equation(realize: Any) -> str:
    block, body = realize.block, realize.block.body
    if not isinstance(body, tirx.BufferStore):
        return f"{block.name_hint}:\n{block.script()}"
    names = {var: name for var, name in _iter_names(realize).items() if name}
    words = Wording(names)
    spatial = [one for one in block.iter_vars if int(one.iter_type) != _REDUCE]
    reduced = [one for one in block.iter_vars if int(one.iter_type) == _REDUCE]
    extents = ", ".join(f"{names[one.var]}:{int(one.dom.extent)}" for one in spatial)
    left = f"{body.buffer.name}[{words.listed(body.indices)}]"
    where = f"{left} for {extents}"
    if [words.text(index) for index in body.indices] == [names[one.var] for one in spatial]:
        where = f"{body.buffer.name}[{extents}]"
    title = "" if str(block.name_hint) == str(body.buffer.name) else f"{block.name_hint}: "
    over = ", ".join(f"{names[one.var]}:{int(one.dom.extent)}" for one in reduced)
    term = _term(body) if reduced else None
    if term is not None:
        word, value = term
        return f"{title}{where} = {word}({over}) {words.text(value)}"
    start = f" from {words.text(block.init.value)}" if isinstance(block.init, tirx.BufferStore) else ""
    return f"{title}{where} = {words.text(body.value)}" + (f" over {over}{start}" if over else "")


def _iter_names(realize: Any) -> dict[Any, str]:
    """The name of the loop that drives each iter; knobs are named after these loops."""
    found = {}
    for iter_, value in zip(realize.block.iter_vars, realize.iter_values, strict=True):
        driven = list(variables(value))
        own = str(iter_.var.name).removeprefix("v_")
        found[iter_.var] = str(driven[0].name) if len(driven) == 1 and isinstance(value, tirx.Var) else own
    return found


def _term(store: Any) -> tuple[str, Any] | None:
    """The word for the reduction and the reduced value, if the store is ``x = op(x, value)``."""
    value = store.value
    word = _REDUCTIONS.get(type(value).__name__)
    if word is None:
        return None
    own = value.a
    same = isinstance(own, tvm.ir.TensorLoad) and own.source.same_as(store.buffer)
    return (word, value.b) if same else None
