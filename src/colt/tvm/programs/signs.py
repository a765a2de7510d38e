"""Products of bytes of equal signs, for instructions that multiply unsigned by signed ones.

Such an instruction serves them if one operand's signs are flipped: with ``B' = B + 128``, the sum of ``A * B`` is that
of ``A * (B' - 128)``. What remains is a product less a zero point, whose correction takes a sum over A, once for each
row. The packed one of the two operands is flipped: where it is packed, that costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import BufferStore, Cast, For, ForKind, IterVar, PrimFunc, decl_buffer

from colt.tvm.dots.by_hand import with_sign_flipped
from colt.tvm.dots.table import OTHER_SIGN
from colt.tvm.programs.naming import buffers_of, with_block
from colt.tvm.programs.nests import PlainNest, element, nests_of, with_nests
from colt.util.text import distinct_names


def signs_apart(func: PrimFunc, flipped: Mapping[str, str]) -> PrimFunc:
    """The function with the operand of that name flipped in the sum of that block's name, which is left as a product
    less a zero point; ``func`` itself if ``flipped`` names none."""
    nests: list[Any] = []
    added: list[Any] = []
    names = [str(buffer.name) for buffer in buffers_of(func)]
    for stmt in nests_of(func):
        nest = PlainNest.of(stmt)
        operand = None if nest is None else flipped.get(str(nest.block.name_hint))
        if nest is None or operand is None:
            nests.append(stmt)
            continue
        source = next(one.source for one in nest.block.reads if str(one.source.name) == operand)
        name = distinct_names([f"{operand}_flipped"], [*names, *(str(one.name) for one in added)])[0]
        other = decl_buffer(source.ty.shape, OTHER_SIGN[str(source.ty.dtype)], name)
        added.append(other)
        nests += [_flip(source, other), _with_other(nest, source, other)]
    return with_nests(func, nests, added) if added else func


def _flip(source: Any, other: Any) -> Any:
    """The block that makes the flipped operand, in loops of its own."""
    extents = [int(extent) for extent in source.ty.shape]
    loops = [tvm.ir.Var(f"i{number}", "int32") for number in range(len(extents))]
    axes = [
        IterVar(tvm.ir.Range(0, extent), tvm.ir.Var(f"v{number}", "int32"), 0) for number, extent in enumerate(extents)
    ]
    index = [axis.var for axis in axes]
    body = BufferStore(other, with_sign_flipped(tirx.BufferLoad(source, index)), index)
    block = SBlock(axes, [element(source, index)], [element(other, index)], str(other.name), body)
    stmt: Any = SBlockRealize(loops, True, block)
    for loop, extent in reversed(list(zip(loops, extents, strict=True))):
        stmt = For(loop, 0, extent, ForKind.SERIAL, stmt)
    return stmt


def _with_other(nest: PlainNest, source: Any, other: Any) -> Any:
    """The sum with the operand's elements made of the flipped one's."""
    block = nest.block

    def load(node: Any) -> Any:
        wide = isinstance(node.value, tvm.ir.TensorLoad) and node.value.source.same_as(source)
        if not wide:
            return node
        value = Cast("int32", tirx.BufferLoad(other, node.value.indices))
        return value - tirx.const(128, "int32") if str(other.ty.dtype) == "uint8" else value + tirx.const(128, "int32")

    reads = [tirx.BufferRegion(other, one.region) if one.source.same_as(source) else one for one in block.reads]
    new = with_block(block, reads=reads, body=tvm_ffi.structural_map(block.body, (Cast, load)))
    values = list(nest.realize.iter_values)
    return nest.around(SBlockRealize(values, True, new), values)
