"""Instructions on tiles as tensor intrinsics: one sets a register tile of sums to zero, one adds products, one stores.

A processor has eight tiles of 16 rows of 64 bytes. Sums live in them: their buffer has the storage scope :data:`SCOPE`,
and nothing but these intrinsics reads or writes it. A register tile has up to four tiles of sums. Those from number 4
on hold operands, one step at a time.

A thread's tiles have no shape before it is loaded, and a process may not use them before it has asked for them. Each
register tile begins with both (:data:`~colt.tvm.dots.shims.TILE_BEGIN`) and ends by giving the tiles back, so that
nobody else who uses tiles, such as oneDNN, is disturbed: what a schedule replayed by stock TVM does is right by itself.
:func:`colt.tvm.dots.once.configure_once` leaves one of each in every job of a parallel loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import tirx
from tvm.ir import StringImm
from tvm.tirx import AssertStmt, BufferStore, Evaluate, PrimFunc, SeqStmt

from colt.tvm.dots.by_hand import REDUCE, SPATIAL, anywhere, function, keeping, nest, rows_apart
from colt.tvm.dots.shims import REFUSED, TILE_ASK, TILE_BEGIN, TILE_END
from colt.tvm.dots.table import TILE_ROWS, Dot

SCOPE = "amx.tmm"
"""TVM's name for the registers."""
RESULTS = ("int32", "float32")
LOAD, STORE, ZERO = "llvm.x86.tileloadd64", "llvm.x86.tilestored64", "llvm.x86.tilezero"
DOTS = {
    ("int8", "int8"): "llvm.x86.tdpbssd",
    ("int8", "uint8"): "llvm.x86.tdpbsud",
    ("uint8", "int8"): "llvm.x86.tdpbusd",
    ("uint8", "uint8"): "llvm.x86.tdpbuud",
    ("bfloat16", "bfloat16"): "llvm.x86.tdpbf16ps",
}
"""The instructions by the types of the left and of the right operand."""
_BYTES = 64
_COLUMNS = _BYTES // 4
Form = tuple[int, int]
"""Rows and columns of tiles."""


# ---- one step of the sum ----


def meaning(row: Dot, swapped: bool) -> PrimFunc:
    """The step in plain loops."""
    sums, left, right = _operands(row)

    def body(line: Any, column: Any, term: Any) -> Any:
        one = tirx.Cast(row.result, tirx.BufferLoad(left, [line, term]))
        panel, lane = tirx.floordiv(column, row.lanes), tirx.floormod(column, row.lanes)
        group, place = tirx.floordiv(term, row.group), tirx.floormod(term, row.group)
        other = tirx.Cast(row.result, tirx.BufferLoad(right, [panel, group, lane, place]))
        product = tirx.Mul(other, one) if swapped else tirx.Mul(one, other)
        return BufferStore(sums, tirx.Add(tirx.BufferLoad(sums, [line, column]), product), [line, column])

    loops = nest((row.rows, row.columns, row.terms), (SPATIAL, SPATIAL, REDUCE), body)
    return _step(row, swapped, loops, (sums, left, right))


def code(row: Dot, swapped: bool) -> PrimFunc:
    """The step in instructions: every operand is loaded once."""
    assert row.tiles is not None
    operands = _operands(row)
    _, left, right = operands
    body = SeqStmt(step(row, left, [0, 0], right, [0, 0, 0, 0]))
    return _step(row, swapped, keeping((left, right), body) if row.keeps else body, operands)


def step(row: Dot, left: Any, first: Sequence[Any], right: Any, second: Sequence[Any]) -> list[Any]:
    """The statements that add a step's products to the sums. ``left`` holds rows from the element ``first`` on,
    ``right`` panels from ``second`` on."""
    assert row.tiles is not None
    down, across = row.tiles
    lefts, rights = _operand_tiles(down, across)
    line, panel = left.strides[0] if left.strides else left.shape[-1], list(second)
    width = tirx.Cast("int64", line) * (_BYTES // row.terms)
    found = []
    for i in range(down):
        at = [*first[:-2], first[-2] + TILE_ROWS * i, first[-1]]
        found.append(_call(LOAD, _tile(lefts[i]), _address(left, at), width))
        for j in range(across):
            if i == 0 or across > len(set(rights)):
                at = [panel[0] + j, *panel[1:]]
                found.append(_call(LOAD, _tile(rights[j]), _address(right, at), tirx.const(_BYTES, "int64")))
            sums = _tile(i * across + j)
            found.append(_call(DOTS[row.left, row.right], sums, _tile(lefts[i]), _tile(rights[j])))
    return found


def _operand_tiles(down: int, across: int) -> tuple[list[int], list[int]]:
    """The tiles of the left operand's rows and of the right operand's columns. Three take turns if there are more."""
    if across > 2:
        return [4] * down, [5 + j % 3 for j in range(across)]
    if down > 2:
        return [5 + i % 3 for i in range(down)], [4] * across
    return [4 + i for i in range(down)], [6 + j for j in range(across)]


def _operands(row: Dot) -> tuple[Any, Any, Any]:
    """Buffers of a step: the sums, the left operand's rows, the right operand's panels of groups."""
    return (
        anywhere("C", (row.rows, row.columns), row.result, SCOPE),
        rows_apart("A", row.left_shape, row.left),
        rows_apart("B", row.right_shape, row.right),
    )


def _step(row: Dot, swapped: bool, body: Any, operands: tuple[Any, Any, Any]) -> PrimFunc:
    """A function of the operands in the order in which the product names them; the sums come last."""
    sums, left, right = operands
    factors = (right, left) if swapped else (left, right)
    return function((*factors, sums), (sums, *factors), body)


# ---- before and after the sum ----


def zero_name(dtype: str, form: Form) -> str:
    """The name of the intrinsic that begins a register tile."""
    return f"colt.tile.zero.{dtype}.{_size(form)}"


def store_name(dtype: str, form: Form) -> str:
    """The name of the intrinsic that ends one."""
    return f"colt.tile.store.{dtype}.{_size(form)}"


def zero(dtype: str, form: Form) -> tuple[PrimFunc, PrimFunc]:
    """Meaning and code of setting all sums of a register tile to zero."""
    shape = _shape(form)

    def body(i: Any, j: Any) -> Any:
        return BufferStore(sums, tirx.const(0, dtype), [i, j])

    sums = anywhere("C", shape, dtype, SCOPE)
    plain = function((sums,), (), nest(shape, (SPATIAL, SPATIAL), body))
    sums = anywhere("C", shape, dtype, SCOPE)
    return plain, function((sums,), (), SeqStmt([begin(), *zeros(form)]))


def zeros(form: Form) -> list[Any]:
    """The statements that set all sums to zero."""
    return [_call(ZERO, _tile(number)) for number in range(form[0] * form[1])]


def store(dtype: str, form: Form) -> tuple[PrimFunc, PrimFunc]:
    """Meaning and code of storing a register tile."""
    shape = _shape(form)

    def buffers() -> tuple[Any, Any]:
        return anywhere("C", shape, dtype, SCOPE), rows_apart("D", shape, dtype)

    def body(i: Any, j: Any) -> Any:
        return BufferStore(stored, tirx.BufferLoad(sums, [i, j]), [i, j])

    sums, stored = buffers()
    plain = function((sums, stored), (sums,), nest(shape, (SPATIAL, SPATIAL), body))
    sums, stored = buffers()
    return plain, function((sums, stored), (sums,), SeqStmt([*stores(form, stored, [0, 0]), end()]))


def stores(form: Form, stored: Any, first: Sequence[Any]) -> list[Any]:
    """The statements that store all sums, from the element ``first`` on."""
    line = stored.strides[0] if stored.strides else stored.shape[-1]
    width = tirx.Cast("int64", line) * 4
    found = []
    for number in range(form[0] * form[1]):
        i, j = divmod(number, form[1])
        at = [*first[:-2], first[-2] + TILE_ROWS * i, first[-1] + _COLUMNS * j]
        found.append(_call(STORE, _tile(number), _address(stored, at), width))
    return found


def begin() -> Any:
    """The statement that gives the thread its tiles. The kernel fails if the process may not have any."""
    return _require(TILE_BEGIN)


def ask() -> Any:
    """The statement that fails if the process may not have tiles, and else does nothing."""
    return _require(TILE_ASK)


def _require(shim: str) -> Any:
    granted = tirx.call_extern("int32", shim) == 0
    return AssertStmt(granted, StringImm("RuntimeError"), [StringImm(REFUSED)])  # TVM's names are the other way round


def end() -> Any:
    """The statement that gives them back."""
    return Evaluate(tirx.call_extern("void", TILE_END))


def _shape(form: Form) -> tuple[int, int]:
    return TILE_ROWS * form[0], _COLUMNS * form[1]


def _size(form: Form) -> str:
    return "x".join(map(str, _shape(form)))


def _tile(number: int) -> Any:
    return tirx.const(number, "uint8")


def _address(buffer: Any, index: Sequence[Any]) -> Any:
    return tirx.address_of(tirx.BufferLoad(buffer, list(index)))


def _call(name: str, *arguments: Any) -> Any:
    return Evaluate(tirx.call_llvm_intrin("void", name, *arguments))
