"""Dot instructions and the packing of their right operands as tensor intrinsics.

Every intrinsic says in plain loops what it computes, and computes exactly that: a schedule may use one wherever TVM
finds it to fit.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm import tirx
from tvm.s_tir import TensorIntrin
from tvm.tirx import BufferStore, PrimFunc

from colt.tvm.dots import halves, tiles
from colt.tvm.dots.by_hand import (
    REDUCE,
    SPATIAL,
    anywhere,
    as_type,
    function,
    keeping,
    llvm,
    nest,
    rows_apart,
    unsigned_by_signed,
    with_sign_flipped,
)
from colt.tvm.dots.shims import BF16_DOT
from colt.tvm.dots.table import OTHER_SIGN, TABLE, TILE_FORMS, Dot, Method, packing_name

_FLIP = -0x7F7F7F80  # 0x80808080: the top bit of each of four bytes
_SAME = {"int8": "llvm.x86.avx2.vpdpbssd.256", "uint8": "llvm.x86.avx2.vpdpbuud.256"}
_MADD = {512: "llvm.x86.avx512.pmaddw.d.512", 256: "llvm.x86.avx2.pmadd.wd"}
_PACKED = ((4, 8, ("uint8", "int8")), (2, 8, ("uint8", "int8")), (2, 16, ("bfloat16",)))
"""The groups of the rows, the bits of their elements, and their types."""


@cache
def register() -> None:
    """Register every intrinsic in TVM; a second call does nothing."""
    for row in TABLE:
        meaning, code = (_meaning, _code) if row.tiles is None else (tiles.meaning, tiles.code)
        if row.method is Method.HALVES:
            meaning, code = halves.meaning, halves.code
        for swapped in (False, True):
            TensorIntrin.register(row.intrinsic(swapped), meaning(row, swapped), code(row, swapped), override=True)
    for form in TILE_FORMS:
        for dtype in tiles.RESULTS:
            TensorIntrin.register(tiles.zero_name(dtype, form), *tiles.zero(dtype, form), override=True)
            TensorIntrin.register(tiles.store_name(dtype, form), *tiles.store(dtype, form), override=True)
    for group, bits, dtypes in _PACKED:
        for lanes in (16, 8):
            for dtype in dtypes:
                name = packing_name(dtype, group, lanes)
                TensorIntrin.register(name, *_packing(dtype, bits, group, lanes), override=True)
    for lanes in (16, 8):
        for dtype in OTHER_SIGN:
            name = packing_name(dtype, 4, lanes, flipped=True)
            TensorIntrin.register(name, *_packing(dtype, 8, 4, lanes, flipped=True), override=True)


# ---- dots ----


def _operands(row: Dot) -> tuple[Any, Any, Any]:
    """Buffers of a step: the sums, the left operand's terms, the right operand's vectors of groups."""
    right = rows_apart if row.interleaved else anywhere
    return (
        anywhere("C", (row.lanes,), row.result),
        anywhere("A", (row.terms,), row.left),
        right("B", row.right_shape, row.right),
    )


def _meaning(row: Dot, swapped: bool) -> PrimFunc:
    """The step in plain loops."""
    sums, left, right = _operands(row)

    def body(lane: Any, term: Any) -> Any:
        one = tirx.Cast(row.result, tirx.BufferLoad(left, [term]))
        group, place = tirx.floordiv(term, row.group), tirx.floormod(term, row.group)
        if row.fold == 1:
            group, place = tirx.const(0, "int32"), term
        index = [term, lane] if row.interleaved else [group, lane, place]
        other = tirx.Cast(row.result, tirx.BufferLoad(right, index))
        product = tirx.Mul(other, one) if swapped else tirx.Mul(one, other)
        return BufferStore(sums, tirx.Add(tirx.BufferLoad(sums, [lane]), product), [lane])

    return _step(row, swapped, nest((row.lanes, row.terms), (SPATIAL, REDUCE), body), (sums, left, right))


def _code(row: Dot, swapped: bool) -> PrimFunc:
    """The step in instructions."""
    sums, left, right = _operands(row)
    total = sums.vload([0], f"{row.result}x{row.lanes}")
    correction: Any = None
    for step in range(row.fold):
        group = left.vload([step * row.group], f"{row.left}x{row.group}")
        vector = _vector(row, right, step)
        total = instruction(row, total, _one(row, group), _wide(row, vector))
        if row.corrected:
            correction = _excess(row, correction, vector)
    if correction is not None:
        total = total - correction
    store = BufferStore(sums, total, [tirx.Ramp(0, 1, row.lanes)])
    return _step(row, swapped, keeping((left, right), store) if row.keeps else store, (sums, left, right))


def _step(row: Dot, swapped: bool, body: Any, operands: tuple[Any, Any, Any]) -> PrimFunc:
    """A function of the operands in the order in which the product names them; the sums come last."""
    sums, left, right = operands
    factors = (right, left) if swapped else (left, right)
    return function((*factors, sums), (sums, *factors), body)


def _vector(row: Dot, right: Any, step: int) -> Any:
    """The right operand's groups for all lanes."""
    if row.interleaved:
        return _interleaved(right, row.right, 16, row.group, row.lanes)
    return right.vload([step, 0, 0], f"{row.right}x{row.lanes * row.group}")


def _wide(row: Dot, vector: Any) -> Any:
    """The right operand's groups as the instruction takes them."""
    return tirx.Cast(f"int16x{2 * row.lanes}", vector) if row.method is Method.MADD else vector


def instruction(row: Dot, total: Any, one: Any, other: Any) -> Any:
    """The row's instruction alone: ``total`` and in each lane the products of a group of ``one`` (a left operand's) and
    of ``other`` (a right operand's). Both are vectors of as many bits as it takes, of any type."""
    groups = row.lanes * row.group
    if row.method is Method.BF16:
        words = f"int32x{row.lanes}"
        return tirx.call_extern(f"float32x{row.lanes}", BF16_DOT, total, as_type(words, one), as_type(words, other))
    if row.method is Method.MADD:
        pairs = [as_type(f"int16x{groups}", operand) for operand in (one, other)]
        return total + llvm(f"int32x{row.lanes}", _MADD[row.bits], *pairs)
    if row.method is Method.SAME:
        same = [as_type(f"{row.left}x{groups}", operand) for operand in (one, other)]
        return llvm(f"int32x{row.lanes}", _SAME[row.left], total, *same)
    return unsigned_by_signed(row, total, *((one, other) if row.right == "int8" else (other, one)))


def _one(row: Dot, group: Any) -> Any:
    """A left operand's group in all lanes, as the instruction takes it."""
    word = tirx.reinterpret("int32", tirx.Cast("int16x2", group) if row.method is Method.MADD else group)
    if row.corrected:  # LLVM does not end on vectors of bytes flipped after the broadcast
        word = tirx.bitwise_xor(word, tirx.const(_FLIP, "int32"))
    return tirx.Broadcast(word, row.lanes)


def _excess(row: Dot, total: Any, vector: Any) -> Any:
    """What flipping the left operand adds to the sums: 128 times the packed elements, or -128 times."""
    flipped = tirx.Broadcast(tirx.const(_FLIP, "int32"), row.lanes)
    total = tirx.Broadcast(tirx.const(0, "int32"), row.lanes) if total is None else total
    pair = (flipped, vector) if row.right == "int8" else (vector, flipped)
    return unsigned_by_signed(row, total, *pair)


# ---- packing ----


def _packing(dtype: str, bits: int, group: int, lanes: int, flipped: bool = False) -> tuple[PrimFunc, PrimFunc]:
    """Meaning and code of interleaving ``group`` rows: each is widened and shifted to its place. ``flipped``: they are
    of the other sign, and all signs are flipped."""
    given = OTHER_SIGN[dtype] if flipped else dtype

    def buffers() -> tuple[Any, Any]:
        return anywhere("P", (lanes, group), dtype), rows_apart("B", (group, lanes), given)

    packed, source = buffers()

    def body(row: Any, lane: Any) -> Any:
        value = tirx.BufferLoad(source, [row, lane])
        return BufferStore(packed, with_sign_flipped(value) if flipped else value, [lane, row])

    meaning = function((source, packed), (source,), nest((group, lanes), (SPATIAL, SPATIAL), body))
    packed, source = buffers()
    words = _interleaved(source, given, bits, group, lanes)
    if flipped:
        words = tirx.bitwise_xor(words, tirx.Broadcast(tirx.const(_FLIP % 2**32, "uint32"), lanes))
    store = packed.vstore([0, 0], as_type(f"{dtype}x{lanes * group}", words))
    code = keeping((source, packed), store) if dtype == "bfloat16" else store
    return meaning, function((source, packed), (source,), code)


def _interleaved(source: Any, dtype: str, bits: int, group: int, lanes: int) -> Any:
    """Rows of a group as one vector with a group for each lane."""
    words: Any = None
    wide = f"uint{bits * group}"
    for row in range(group):
        loaded = source.vload([row, 0], f"{dtype}x{lanes}")
        word = tirx.Cast(f"{wide}x{lanes}", as_type(f"uint{bits}x{lanes}", loaded))
        if row:
            word = tirx.shift_left(word, tirx.Broadcast(tirx.const(row * bits, wide), lanes))
        words = word if words is None else tirx.bitwise_or(words, word)
    return words
