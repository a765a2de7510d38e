"""Dot instructions on halves of bytes: weights of 4 bits times activations of 8, without unpacking the weights first.

A byte of the right operand holds two terms, the even one in its lower half. A vector of bytes, masked, holds four even
terms for each lane, and shifted and masked the odd ones. The left operand has its even terms and its odd ones apart.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm.tirx import BufferStore, PrimFunc

from colt.tvm.dots.by_hand import REDUCE, SPATIAL, anywhere, as_type, function, nest, unsigned_by_signed
from colt.tvm.dots.table import Dot

_MASK = 0x0F0F0F0F


def half_of(byte: Any, half: Any) -> Any:
    """The lower (``half`` 0) or the upper half (1) of a byte, as a 32-bit integer."""
    return tirx.bitwise_and(tirx.shift_right(tirx.Cast("int32", byte), half * 4), tirx.const(15, "int32"))


def meaning(row: Dot, swapped: bool) -> PrimFunc:
    """The step in plain loops."""
    sums, left, right = _operands(row)

    def body(lane: Any, term: Any, half: Any) -> Any:
        one = tirx.Cast(row.result, tirx.BufferLoad(left, [half, term]))
        other = half_of(tirx.BufferLoad(right, [tirx.const(0, "int32"), lane, term]), half)
        product = tirx.Mul(other, one) if swapped else tirx.Mul(one, other)
        return BufferStore(sums, tirx.Add(tirx.BufferLoad(sums, [lane]), product), [lane])

    return _step(swapped, nest((row.lanes, row.group, 2), (SPATIAL, REDUCE, REDUCE), body), (sums, left, right))


def code(row: Dot, swapped: bool) -> PrimFunc:
    """The step in instructions."""
    sums, left, right = _operands(row)
    words = f"int32x{row.lanes}"
    both = as_type(words, right.vload([0, 0, 0], f"uint8x{row.lanes * row.group}"))
    total = sums.vload([0], words)
    for half in range(2):
        four = tirx.Broadcast(tirx.const(4, "int32"), row.lanes)
        shifted = tirx.shift_right(both, four) if half else both
        terms = tirx.bitwise_and(shifted, tirx.Broadcast(tirx.const(_MASK, "int32"), row.lanes))
        word = tirx.reinterpret("int32", left.vload([half, 0], f"{row.left}x{row.group}"))
        total = unsigned_by_signed(row, total, terms, tirx.Broadcast(word, row.lanes))
    return _step(swapped, BufferStore(sums, total, [tirx.Ramp(0, 1, row.lanes)]), (sums, left, right))


def _operands(row: Dot) -> tuple[Any, Any, Any]:
    """Buffers of a step: the sums, the left operand's terms by half, the right operand's bytes for all lanes."""
    return (
        anywhere("C", (row.lanes,), row.result),
        anywhere("A", row.left_shape, row.left),
        anywhere("B", row.right_shape, row.stored),
    )


def _step(swapped: bool, body: Any, operands: tuple[Any, Any, Any]) -> PrimFunc:
    """A function of the operands in the order in which the product names them; the sums come last."""
    sums, left, right = operands
    factors = (right, left) if swapped else (left, right)
    return function((*factors, sums), (sums, *factors), body)
