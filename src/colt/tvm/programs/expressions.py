"""Expressions of TensorIR as people write them."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import tirx

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
_ATOM = 9


class Wording:
    """Writes expressions, in which some variables have names of their own."""

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
            return f"{node.ty}({self.text(node.value)})"
        if kind == "Not":
            return f"not({self.text(node.a)})"
        if kind == "Select":
            return f"select({self.listed((node.condition, node.true_value, node.false_value))})"
        if kind == "Call":
            name = str(getattr(node.op, "name", node.op)).rpartition(".")[2]
            return f"{name}({self.listed(node.args)})"
        return str(node).strip().splitlines()[-1]
