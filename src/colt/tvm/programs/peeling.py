"""The first turn of a loop that asks in every turn whether it is the first: ``if j == 0``.

A prefix sum written as one statement asks so. The question keeps vectors away, and what the turn before has left from
staying in a register. So the first turn is written out, and the others ask no more.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm.tirx import EQ, For, ForKind, IfThenElse, IntImm, Select

from colt.tvm.programs.naming import substituted
from colt.tvm.programs.nests import is_plain_loop, sequence, statements
from colt.tvm.programs.walks import every, mapped, mutated, walk

_CHOICE = "if_then_else"


def first_turns_apart(stmt: Any) -> Any:
    """The statement with the first turns of such loops before the others."""
    return mutated(stmt, (For, _loop))


def _loop(loop: Any, mutator: Any) -> Any:
    new = mutator.default_mutate(loop)
    if not is_plain_loop(new) or int(new.extent) < 2 or not _asks(new):
        return new
    zero, one = (IntImm(str(new.loop_var.ty), number) for number in (0, 1))
    first = _answered(substituted(with_own_loops(new.body), {new.loop_var: zero}), tvm.sym.Analyzer())
    later = tvm.ir.Var(str(new.loop_var.name), new.loop_var.ty)
    left = IntImm(str(later.ty), int(new.extent) - 1)
    analyzer = tvm.sym.Analyzer()
    analyzer.bind(later, tvm.ir.Range.from_min_extent(zero, left))
    body = _answered(substituted(new.body, {new.loop_var: later + one}), analyzer)
    others = For(later, zero, left, ForKind.SERIAL, body, None, new.annotations, new.step)
    return sequence([*statements(first), others])


def with_own_loops(body: Any) -> Any:
    """The statement with loop variables of its own."""
    loops = every(body, For)
    return substituted(body, {one.loop_var: tvm.ir.Var(str(one.loop_var.name), one.loop_var.ty) for one in loops})


def _asks(loop: Any) -> bool:
    """Whether something in the loop depends on whether this is its first turn."""
    found: list[bool] = []

    def equal(node: Any) -> None:
        sides = (node.a, node.b)
        is_zero = any(isinstance(side, IntImm) and int(side) == 0 for side in sides)
        found.append(is_zero and any(side.same_as(loop.loop_var) for side in sides))

    walk(loop.body, (EQ, equal))
    return any(found)


def _answered(stmt: Any, analyzer: Any) -> Any:
    """The statement without choices whose outcome is known."""

    def known(condition: Any) -> bool | None:
        found = analyzer.simplify(condition)
        return bool(int(found)) if isinstance(found, IntImm) else None

    def chosen(node: Any, condition: Any, then: Any, otherwise: Any) -> Any:
        holds = known(condition)
        return node if holds is None else then if holds else otherwise

    def call(node: Any) -> Any:
        is_choice = str(getattr(node.op, "name", "")).endswith(_CHOICE)
        return chosen(node, *node.args) if is_choice else node

    def branch(node: Any) -> Any:
        return chosen(node, node.condition, node.then_case, node.else_case or sequence([]))

    rules = (
        (tvm.ir.Call, call),
        (Select, lambda node: chosen(node, node.condition, node.true_value, node.false_value)),
        (IfThenElse, branch),
    )
    return mapped(stmt, *rules)
