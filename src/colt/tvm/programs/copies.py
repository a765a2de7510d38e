"""Operands of sums that are copied in another form first: with signs flipped, or widened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import BufferStore, Cast, For, ForKind, IterVar, PrimFunc, decl_buffer

from colt.tvm.dots.by_hand import with_sign_flipped
from colt.tvm.dots.table import OTHER_SIGN
from colt.tvm.programs.naming import buffers_of, with_block
from colt.tvm.programs.nests import PlainNest, element, nests_of, with_nests
from colt.tvm.programs.walks import every, mapped
from colt.util.text import distinct_names


@dataclass(frozen=True, slots=True)
class Form:
    """A form of operands. ``suffix`` makes the copy's name of the operand's, ``dtype`` its type of the operand's type.

    ``of`` is what the copy holds of an element, ``back`` the value that the sum needs, of an element of the copy: what
    the cast of the operand's own was.
    """

    suffix: str
    dtype: Callable[[str], str]
    of: Callable[[Any], Any]
    back: Callable[[Any], Any]


def _unflipped(byte: Any) -> Any:
    value, half = Cast("int32", byte), tirx.const(128, "int32")
    return value - half if str(byte.ty) == "uint8" else value + half


FLIPPED = Form("flipped", OTHER_SIGN.__getitem__, with_sign_flipped, _unflipped)
"""Bytes of the other sign: the sum is then one of a product less a zero point."""
WIDENED = Form("wide", lambda _: "float32", lambda value: Cast("float32", value), lambda value: value)
"""Short floats as they are multiplied."""


def copied(func: PrimFunc, chosen: Mapping[str, str], form: Form) -> PrimFunc:
    """The function with the operand of that name copied for the sum of that block's name; ``func`` itself if ``chosen``
    names none. Sums that are given the same operand have its copy in common."""
    nests: list[Any] = []
    copies: dict[Any, Any] = {}
    added: list[Any] = []
    names = [str(buffer.name) for buffer in buffers_of(func)]
    for stmt in nests_of(func):
        nest = PlainNest.of(stmt)
        operand = None if nest is None else chosen.get(str(nest.block.name_hint))
        if nest is None or operand is None:
            nests.append(stmt)
            copies = {source: copy for source, copy in copies.items() if not _writes(stmt, source)}
            continue
        source = next(one.source for one in nest.block.reads if str(one.source.name) == operand)
        if source not in copies:
            title = distinct_names([f"{operand}_{form.suffix}"], [*names, *(str(one.name) for one in added)])[0]
            copies[source] = decl_buffer(source.ty.shape, form.dtype(str(source.ty.dtype)), title)
            added.append(copies[source])
            nests.append(_copy(source, copies[source], form))
        nests.append(_with_copy(nest, source, copies[source], form))
    return with_nests(func, nests, added) if added else func


def _writes(stmt: Any, buffer: Any) -> bool:
    stores = every(stmt, BufferStore)
    return any(store.buffer.same_as(buffer) for store in stores)


def _copy(source: Any, copy: Any, form: Form) -> Any:
    """The block that makes the copy, in loops of its own."""
    extents = [int(extent) for extent in source.ty.shape]
    loops = [tvm.ir.Var(f"i{number}", "int32") for number in range(len(extents))]
    axes = [
        IterVar(tvm.ir.Range(0, extent), tvm.ir.Var(f"v_i{number}", "int32"), 0)
        for number, extent in enumerate(extents)
    ]
    index = [axis.var for axis in axes]
    body = BufferStore(copy, form.of(tirx.BufferLoad(source, index)), index)
    block = SBlock(axes, [element(source, index)], [element(copy, index)], str(copy.name), body)
    stmt: Any = SBlockRealize(loops, True, block)
    for loop, extent in reversed(list(zip(loops, extents, strict=True))):
        stmt = For(loop, 0, extent, ForKind.SERIAL, stmt)
    return stmt


def _with_copy(nest: PlainNest, source: Any, copy: Any, form: Form) -> Any:
    """The sum with its operand's elements made of the copy's."""
    block = nest.block

    def cast(node: Any) -> Any:
        own = isinstance(node.value, tvm.ir.TensorLoad) and node.value.source.same_as(source)
        return form.back(tirx.BufferLoad(copy, node.value.indices)) if own else node

    reads = [tirx.BufferRegion(copy, one.region) if one.source.same_as(source) else one for one in block.reads]
    new = with_block(block, reads=reads, body=mapped(block.body, (Cast, cast)))
    values = list(nest.realize.iter_values)
    return nest.around(SBlockRealize(values, True, new), values)
