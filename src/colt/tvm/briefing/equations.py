"""A program in a few lines: each block as an equation over its loops, shorter than TensorIR and as exact.

    C[i:512, j:512] = sum(k:512) A[i, k] * B[k, j]

A block whose body isn't a single store is shown as its TensorIR.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import s_tir, tirx
from tvm_ffi import structural_walk

from colt.tvm.programs.roles import arguments_of
from colt.tvm.space.variables import variables

_SYMBOLS: dict[str, tuple[str, int]] = {
    "Or": ("or", 1),
    "And": ("and", 2),
    "EQ": ("==", 3),
    "NE": ("!=", 3),
    "LT": ("<", 3),
    "LE": ("<=", 3),
    "GT": (">", 3),
    "GE": (">=", 3),
    "Add": ("+", 4),
    "Sub": ("-", 4),
    "Mul": ("*", 5),
    "Div": ("/", 5),
    "FloorDiv": ("//", 5),
    "FloorMod": ("%", 5),
    "Mod": ("%", 5),
}
"""Binary operations by TVM's name: the symbol, and how tightly it binds."""
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
_ATOM = 9
_REDUCTIONS = {"Add": "sum", "Mul": "product", "Max": "max", "Min": "min"}
_REDUCE = 2


def equations(mod: tvm.IRModule) -> str:
    """The arguments, then a line for each block of ``main`` in program order."""
    function = mod["main"]
    arguments = [f"{one.name}{list(one.shape)} {one.dtype} {one.role}" for one in arguments_of(function)]
    blocks: list[Any] = []

    def enter(realize: Any) -> None:
        if realize.block.writes:  # the root block has none
            blocks.append(realize)

    structural_walk(function.body, (s_tir.SBlockRealize, enter), order="pre")
    return "\n".join(["; ".join(arguments), *(_equation(realize) for realize in blocks)])


def calls(mod: tvm.IRModule) -> set[str]:
    """The names of the functions on floating-point values that ``main`` calls, such as ``exp``."""
    found: set[str] = set()

    def enter(node: Any) -> None:
        if str(getattr(node, "ty", "")).startswith(("float", "bfloat")):
            found.add(str(getattr(node.op, "name", node.op)).rpartition(".")[2])

    structural_walk(mod["main"].body, (tvm.ir.Call, enter))
    return found - _NO_FUNCTIONS


def _equation(realize: Any) -> str:
    block, body = realize.block, realize.block.body
    if not isinstance(body, tirx.BufferStore):
        return f"{block.name_hint}:\n{block.script()}"
    names = {var: name for var, name in _iter_names(realize).items() if name}
    words = _Words(names)
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


class _Words:
    """Writes expressions with iters named after their loops."""

    def __init__(self, names: dict[Any, str]) -> None:
        self._names = names

    def listed(self, expressions: Any) -> str:
        return ", ".join(self.text(one) for one in expressions)

    def text(self, node: Any) -> str:
        return self._with_strength(node)[0]

    def _with_strength(self, node: Any) -> tuple[str, int]:
        kind = type(node).__name__
        if kind in _SYMBOLS:
            symbol, strength = _SYMBOLS[kind]
            left, right = self._inside(node.a, strength), self._inside(node.b, strength + 1)
            return f"{left} {symbol} {right}", strength
        if isinstance(node, tirx.Var):
            return self._names.get(node, str(node.name)), _ATOM
        if isinstance(node, tirx.IntImm):
            return str(int(node.value)), _ATOM
        if isinstance(node, tirx.FloatImm):
            return f"{float(node.value):.8g}", _ATOM
        if isinstance(node, tvm.ir.TensorLoad):
            return f"{node.source.name}[{self.listed(node.indices)}]", _ATOM
        return self._call(kind, node), _ATOM

    def _inside(self, node: Any, strength: int) -> str:
        text, own = self._with_strength(node)
        return text if own >= strength else f"({text})"

    def _call(self, kind: str, node: Any) -> str:
        if kind in ("Max", "Min"):
            return f"{kind.lower()}({self.listed((node.a, node.b))})"
        if kind == "Cast":
            return f"{node.dtype}({self.text(node.value)})"
        if kind == "Not":
            return f"not({self.text(node.a)})"
        if kind == "Select":
            return f"select({self.listed((node.condition, node.true_value, node.false_value))})"
        if kind == "Call":
            name = str(getattr(node.op, "name", node.op)).rpartition(".")[2]
            return f"{name}({self.listed(node.args)})"
        return str(node).strip().splitlines()[-1]
