"""Names inside a program: knobs are named after blocks, and buffers are told apart by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import AllocBuffer, BufferStore, BufferType, PrimFunc

from colt.tvm.programs.walks import every, mapped, mutated, walk
from colt.util.text import distinct_names

_ROOT = "root"


def named_apart(func: PrimFunc) -> PrimFunc:
    """The function with every block and every buffer named differently; ``func`` itself if they are already.

    The first of several keeps the name, the others get a number. No block but the outermost is called ``root``, which
    TVM takes for its own.
    """
    renamed = _blocks_apart(func)
    return _buffers_apart(renamed)


def _blocks_apart(func: PrimFunc) -> PrimFunc:
    if not isinstance(func.body, SBlockRealize):
        return func
    outer = func.body.block
    names = [str(block.name_hint) for block in every(outer.body, SBlock, pre=True)]
    chosen = distinct_names([_shown(name) or "block" for name in names], {_ROOT, str(outer.name_hint)})
    if names == chosen:
        return func
    order = iter(chosen)

    def rename(block: Any, mutator: Any) -> Any:
        name = next(order)
        return with_block(mutator.default_mutate(block), name_hint=name)

    block = with_block(outer, body=mutated(outer.body, (SBlock, rename)))
    return func.with_body(SBlockRealize(func.body.iter_values, func.body.predicate, block))


def _shown(name: str) -> str:
    return "".join(character if character.isprintable() else "_" for character in name)


def with_block(block: Any, **changes: Any) -> Any:
    """The block with some of its fields replaced."""
    fields = ("iter_vars", "reads", "writes", "name_hint", "body", "init", "alloc_buffers", "match_buffers")
    given = {field: changes.get(field, getattr(block, field)) for field in (*fields, "annotations")}
    return SBlock(**given)


def buffers_of(func: PrimFunc) -> list[Any]:
    """The parameters, then the buffers that are allocated or viewed, in program order."""
    found: list[Any] = list(func.params)

    def enter(block: Any) -> None:
        found.extend(block.alloc_buffers)
        found.extend(view.buffer for view in block.match_buffers)

    def allocate(node: Any) -> None:
        found.append(node.buffer)

    walk(func.body, (SBlock, enter), (AllocBuffer, allocate), pre=True)
    return found


def _buffers_apart(func: PrimFunc) -> PrimFunc:
    buffers = [buffer for buffer in buffers_of(func) if isinstance(buffer.ty, BufferType)]
    names = [str(buffer.name) for buffer in buffers]
    chosen = distinct_names([_shown(name) or "buffer" for name in names])
    if chosen == names:
        return func
    changed = {
        buffer: tvm.ir.Var(name, buffer.ty)
        for buffer, name in zip(buffers, chosen, strict=True)
        if str(buffer.name) != name
    }
    return substituted(func, changed)


def substituted(node: Any, changed: dict[Any, Any]) -> Any:
    """``node`` with variables, buffers among them, replaced wherever they occur."""
    return mapped(node, (tvm.ir.Var, lambda var: changed.get(var, var)))


Place = Callable[[Sequence[Any]], tuple[Any, list[Any]]]
"""From the indices of an element to the buffer and the indices of what takes its place."""


def elsewhere(buffer: Any, before: Sequence[Any] = (), after: Sequence[Any] = ()) -> Place:
    """The element of ``buffer`` with some more indices before and after its own."""
    return lambda indices: (buffer, [*before, *indices, *after])


def replaced(stmt: Any, places: Mapping[Any, Place]) -> Any:
    """The statement with other elements in place of those of some buffers, wherever they are stored or loaded."""

    def store(node: Any, mutator: Any) -> Any:
        new = mutator.default_mutate(node)
        place = places.get(node.buffer)
        if place is None:
            return new
        buffer, indices = place(list(new.indices))
        return BufferStore(buffer, new.value, indices)

    def load(node: Any, mutator: Any) -> Any:
        new = mutator.default_mutate(node)
        place = places.get(node.source)
        return new if place is None else tirx.BufferLoad(*place(list(new.indices)))

    return mutated(stmt, (BufferStore, store), (tvm.ir.TensorLoad, load))
