"""TensorIR of tensor intrinsics, by hand: parsing source text would take 20 times as long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tvm
from tvm import tirx
from tvm.ir import Range
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import BufferStore, For, ForKind, IterVar, PrimFunc, decl_buffer

from colt.tvm.dots.shims import KEEP
from colt.tvm.dots.table import OTHER_SIGN, Dot
from colt.tvm.programs.nests import element, whole
from colt.tvm.programs.walks import every

SPATIAL, REDUCE = 0, 2
_VNNI = {512: "llvm.x86.avx512.vpdpbusd.512", 256: "llvm.x86.avx512.vpdpbusd.256"}


def anywhere(name: str, shape: Sequence[int], dtype: str, scope: str = "global") -> Any:
    """A contiguous buffer, anywhere in a larger one."""
    return decl_buffer(shape, dtype, name, offset_factor=1, scope=scope)


def rows_apart(name: str, shape: Sequence[int], dtype: str) -> Any:
    """Contiguous parts, anywhere in a matrix: one for each index of the first dimension."""
    inner = [1]
    for extent in reversed(shape[2:]):
        inner.insert(0, inner[0] * extent)
    return decl_buffer(shape, dtype, name, strides=[tvm.ir.Var("s0", "int32"), *inner], offset_factor=1)


def keeping(buffers: Sequence[Any], stmt: Any) -> Any:
    """The statement, after which TVM leaves the buffers' type as it is."""
    return tirx.SeqStmt([*(tirx.Evaluate(tirx.call_extern("void", KEEP, buffer.data)) for buffer in buffers), stmt])


def nest(extents: Sequence[int], kinds: Sequence[int], body: Callable[..., Any]) -> Any:
    """Loops of these extents around a block that does what ``body`` makes of its axes: a store."""
    axes = [
        IterVar(Range(0, extent), tvm.ir.Var(f"v{number}", "int32"), kind)
        for number, (extent, kind) in enumerate(zip(extents, kinds, strict=True))
    ]
    loops = [tvm.ir.Var(f"i{number}", "int32") for number in range(len(extents))]
    store: BufferStore = body(*(axis.var for axis in axes))
    loads = every(store.value, tvm.ir.TensorLoad)
    block = SBlock(
        axes,
        [element(load.source, load.indices) for load in loads],
        [element(store.buffer, store.indices)],
        "update",
        store,
    )
    stmt: Any = SBlockRealize(loops, True, block)
    for loop, extent in zip(reversed(loops), reversed(extents), strict=True):
        stmt = For(loop, 0, extent, ForKind.SERIAL, stmt)
    return stmt


def function(params: Sequence[Any], reads: Sequence[Any], body: Any) -> PrimFunc:
    """A function that writes all of its last parameter."""
    root = SBlock([], [whole(buffer) for buffer in reads], [whole(params[-1])], "root", body)
    return PrimFunc(list(params), SBlockRealize([], True, root))


def as_type(dtype: str, value: Any) -> Any:
    """The value's bits as another type of as many."""
    return value if str(value.ty) == dtype else tirx.reinterpret(dtype, value)


def llvm(dtype: str, name: str, *operands: Any) -> Any:
    """A call of LLVM's intrinsic, which has no effect but its result."""
    return tirx.call_llvm_pure_intrin(dtype, name, *operands)


def unsigned_by_signed(row: Dot, total: Any, unsigned: Any, signed: Any) -> Any:
    """``total`` and in each lane the products of four unsigned and four signed bytes."""
    count = 4 * row.lanes
    operands = [as_type(f"uint8x{count}", unsigned), as_type(f"int8x{count}", signed)]
    return llvm(f"int32x{row.lanes}", _VNNI[row.bits], total, *operands)


def with_sign_flipped(byte: Any) -> Any:
    """A byte with its top bit inverted, as one of the other sign: an unsigned one 128 above a signed one."""
    other = OTHER_SIGN[str(byte.ty)]
    return tirx.bitwise_xor(tirx.Cast(other, byte), tirx.const(-128 if other == "int8" else 128, other))
