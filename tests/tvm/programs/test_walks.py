"""Walks come to what those of tvm_ffi come to."""

from __future__ import annotations

from typing import Any

import pytest
import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir.stmt import SBlock
from tvm.tirx import BufferStore, For, IntImm

from colt.tvm.programs.walks import every, mapped, mutated, walk
from colt.tvm.programs.workloads import get

BODY = get("softmax-odd").build("small")["main"].body
KINDS = [For, SBlock, tvm.ir.Var, tvm.ir.TensorLoad, tvm.ir.Expr, tvm_ffi.Object, Any, (For, BufferStore)]


@pytest.mark.parametrize("pre", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_node_of_a_kind_is_found_in_order(kind: Any, pre: bool) -> None:
    wanted: list[Any] = []
    tvm_ffi.structural_walk(BODY, [(kind, wanted.append)], order="pre" if pre else "post")
    found = every(BODY, kind, pre=pre)
    assert len(found) == len(wanted) > 0
    assert are_same(found, wanted)


def are_same(some: list[Any], others: list[Any]) -> bool:
    pairs = zip(some, others, strict=True)
    return all(one.same_as(other) if isinstance(one, tvm_ffi.Object) else one == other for one, other in pairs)


def test_the_first_rule_for_a_type_is_called() -> None:
    loads, others = list[Any](), list[Any]()
    assert not walk(BODY, (tvm.ir.TensorLoad, loads.append), (tvm.ir.Expr, others.append))
    assert are_same(loads, every(BODY, tvm.ir.TensorLoad))
    assert others
    assert not any(isinstance(one, tvm.ir.TensorLoad) for one in others)


def test_a_rule_may_leave_out_what_is_below() -> None:
    found: list[Any] = []
    walk(BODY, (For, lambda loop: tvm_ffi.WalkResult.SKIP), (SBlock, found.append), pre=True)
    assert [str(block.name_hint) for block in found] == ["root"]


def test_a_rule_may_end_the_walk() -> None:
    found: list[Any] = []

    def first(block: Any) -> Any:
        found.append(block)
        return tvm_ffi.VisitInterrupt()

    assert walk(BODY, (SBlock, first))
    assert len(found) == 1


def twice(number: Any) -> Any:
    return number if str(number.ty) == "bool" else IntImm(str(number.ty), 2 * int(number))


def test_nodes_are_replaced() -> None:
    wanted = tvm_ffi.structural_map(BODY, (IntImm, twice))
    assert not tvm_ffi.structural_equal(BODY, wanted, map_free_vars=True)
    assert tvm_ffi.structural_equal(mapped(BODY, (IntImm, twice)), wanted, map_free_vars=True)
    assert mapped(BODY, (tirx.Mod, twice)).same_as(BODY)


def test_nodes_are_replaced_from_the_inside_out() -> None:
    """The outer sum is mapped as it is with what has taken the place of the inner one."""
    a, b, c = (tirx.Var(name, "int32") for name in "abc")
    seen: list[Any] = []

    def product(node: tirx.Add) -> Any:
        seen.append(node)
        return tirx.Mul(node.a, node.b)

    found = mapped(tirx.Add(a, tirx.Add(b, c)), (tirx.Add, product))
    assert tvm_ffi.structural_equal(found, tirx.Mul(a, tirx.Mul(b, c)), map_free_vars=True)
    assert [str(node) for node in seen] == ["b + c", "a + b * c"]


def test_a_rule_may_go_on_below_or_not() -> None:
    def outermost(loop: For, mutator: Any) -> Any:
        return loop

    def all_(loop: For, mutator: Any) -> Any:
        return mutator.default_mutate(loop)

    numbers = IntImm, lambda number, mutator: twice(number)
    assert mutated(BODY, (SBlock, lambda block, mutator: block), numbers).same_as(BODY)
    for rule in (outermost, all_):
        wanted = tvm_ffi.structural_mutate(BODY, [(For, rule), numbers])
        assert tvm_ffi.structural_equal(mutated(BODY, (For, rule), numbers), wanted, map_free_vars=True)


def test_what_a_rule_raises_is_passed_on() -> None:
    def fail(loop: Any) -> Any:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        walk(BODY, (For, fail))
