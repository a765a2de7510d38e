"""Calls of TVM's library that go through a tensor row by row: each thread has some of the rows.

``topi`` leaves sorting to functions of the library, which know no threads. They are called with tensors, of which any
number of whole rows is one as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm
from tvm import tirx
from tvm.ir import StringImm
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import Evaluate, For, ForKind, IntImm

from colt.tvm.programs.naming import with_block
from colt.tvm.programs.walks import every

_AXIS = {"tvm.contrib.sort.sort": 0, "tvm.contrib.sort.argsort": 0, "tvm.contrib.sort.topk": 1}
"""Which argument after the tensors is the axis that rows lie along."""
_CALL, _ARRAY, _SHAPE = "tirx.tvm_call_packed", "tirx.tvm_stack_make_array", "tirx.tvm_stack_make_shape"
_PARTS = 16
"""The tensor is cut into so many parts at most."""


def with_rows_on_all_threads(nest: Any) -> Any:
    """The statement with its rows in equal parts for the threads; itself if it is no such call, or has one row."""
    if not isinstance(nest, SBlockRealize) or not isinstance(nest.block.body, Evaluate):
        return nest
    call = nest.block.body.value
    if _name(call) != _CALL or not isinstance(call.args[0], StringImm) or call.args[0].value not in _AXIS:
        return nest
    arrays = [one for one in call.args if _name(one) == _ARRAY]
    others = list(call.args)[1 + len(arrays) :]
    shapes = [_shape(array) for array in arrays]
    if any(shape is None for shape in shapes):
        return nest
    shape = list(shapes[0] or ())
    axis = int(others[_AXIS[call.args[0].value]]) % len(shape)
    first = next((number for number, extent in enumerate(shape) if extent > 1), axis)
    if first >= axis:
        return nest
    parts = max(count for count in range(1, _PARTS + 1) if shape[first] % count == 0)
    part = tvm.ir.Var("part", tvm.ir.PrimType("int64"))
    cut = [_part_of(array, first, part, shape[first] // parts) for array in arrays]
    run = Evaluate(tvm.ir.Call(call.op, [call.args[0], *cut, *others], call.attrs, call.ty_args, ret_ty=call.ty))
    loop = For(part, IntImm("int64", 0), IntImm("int64", parts), ForKind.PARALLEL, run)
    return SBlockRealize(nest.iter_values, nest.predicate, with_block(nest.block, body=loop))


def _part_of(array: Any, axis: int, part: Any, rows: int) -> Any:
    """An array that begins with the part's first row, and has that many."""
    data, shape, *others = array.args
    (buffer,) = every(data, tvm.ir.Var)
    begins = [part * rows if number == axis else IntImm("int64", 0) for number in range(len(shape.args))]
    extents = [IntImm(str(one.ty), rows) if number == axis else one for number, one in enumerate(shape.args)]
    place = tirx.address_of(tirx.BufferLoad(buffer, begins))
    cut = tvm.ir.Call(shape.op, extents, shape.attrs, shape.ty_args, ret_ty=shape.ty)
    return tvm.ir.Call(array.op, [place, cut, *others], array.attrs, array.ty_args, ret_ty=array.ty)


def _shape(array: Any) -> Sequence[int] | None:
    """The sizes of an array that begins where its buffer does and is compact; ``None`` if it is another."""
    data, shape, strides, _, _, offset = array.args
    known = _name(shape) == _SHAPE and all(isinstance(extent, IntImm) for extent in shape.args)
    compact = all(isinstance(one, IntImm) and int(one) == 0 for one in (strides, offset))
    return [int(extent) for extent in shape.args] if known and compact and len(every(data, tvm.ir.Var)) == 1 else None


def _name(call: Any) -> str:
    return str(getattr(getattr(call, "op", None), "name", ""))
