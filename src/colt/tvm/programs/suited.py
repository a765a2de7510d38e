"""Programs in the form that suits a processor: what its instructions cannot do at once is done before or after them.

The normal form (:mod:`colt.tvm.programs.normal`) is the same for all processors. Here products change that would cost
more in each step of a register tile than once:

* Bytes of equal signs, where the dot instruction multiplies unsigned by signed ones. With ``B' = B + 128``, the sum of
  ``A * B`` is that of ``A * (B' - 128)``: a product less a zero point, whose correction takes a sum over A, once for
  each row. The operand that is packed is flipped, since that costs nothing there.
* Corrections of sums by dot instructions on vectors: the sums begin with them. (Instructions on tiles take all signs,
  and begin with zeros.)
* Short floats that no dot instruction multiplies. The operand of which one element meets a whole vector is widened
  first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from tvm.tirx import PrimFunc

from colt.analysis.skeleton import Block
from colt.knobs import EDITION
from colt.tvm.devices.host import vector_bits
from colt.tvm.dots import Dot, find
from colt.tvm.programs.copies import FLIPPED, WIDENED, copied
from colt.tvm.programs.corrections import corrections_first
from colt.tvm.programs.program import module_of_function
from colt.tvm.programs.source import Program
from colt.tvm.programs.zero_points import zero_points_apart
from colt.tvm.sketches.structured.dots import operands, shape_with_dot
from colt.tvm.sketches.structured.flow import step_of
from colt.tvm.sketches.structured.shapes import COPYING_IS_FREE, BlockShape, better_shape, shape_of, uses
from colt.tvm.space.skeleton import read_skeleton

_AS_THEY_ARE = 11
"""The last edition in which the form was the same for all processors."""
_SHORT = ("float16", "bfloat16")


def suited(program: Program, target: Any, edition: int = EDITION) -> Program:
    """The program in the form that suits the target's processor; ``program`` itself if it is in that form."""
    func = program.module["main"]
    found = func if edition <= _AS_THEY_ARE else suited_form(func, target)
    if found is func:
        return program
    return replace(program, module=module_of_function(found), given=program.given or program.module)


def suited_form(func: PrimFunc, target: Any) -> PrimFunc:
    """The function in the form that suits the target's processor; ``func`` itself if it is in that form."""
    shapes = dict(_dots(func, target))
    wide = {block.name: operand for block in _blocks(func) if (operand := _widened(block, shapes, target))}
    flipped = {name: _packed(block, shape) for name, (block, shape) in shapes.items() if _is_flipped(block, shape)}
    func = zero_points_apart(copied(copied(func, wide, WIDENED), flipped, FLIPPED))
    begun = {name for name, (_, shape) in _dots(func, target) if not shape.on_tiles}
    return corrections_first(func, begun.__contains__)


def _blocks(func: PrimFunc) -> tuple[Block, ...]:
    return read_skeleton(module_of_function(func), (), ()).blocks


def _dots(func: PrimFunc, target: Any) -> Iterator[tuple[str, tuple[Block, BlockShape]]]:
    """The blocks that the target has a dot instruction for, on tiles or else on vectors, with their shapes, by name."""
    for block in _blocks(func):
        found = [shape_with_dot(block, partial(find, target, suits=suits)) for suits in (_on_tiles, _on_vectors)]
        shape = next((one for one in found if one is not None), None)
        if shape is not None:
            yield block.name, (block, shape)


def _on_tiles(row: Dot) -> bool:
    return row.tiles is not None


def _on_vectors(row: Dot) -> bool:
    return row.tiles is None and not row.interleaved


def _is_flipped(block: Block, shape: BlockShape) -> bool:
    """Whether the signs of the packed operand are better flipped: a sum over the other one then costs little."""
    assert shape.dot is not None
    left, _ = operands(block, shape.dot.swapped)
    return shape.dot.instruction.corrected and uses(block, left) >= COPYING_IS_FREE


def _packed(block: Block, shape: BlockShape) -> str:
    assert shape.dot is not None
    return operands(block, shape.dot.swapped)[1].buffer


def _widened(block: Block, dots: Any, target: Any) -> str | None:
    """The operand of a product that is better widened first; ``None`` if none is.

    What is widened in vectors costs little in each step, and memory's time if it is done before. What is the same in
    all lanes is widened one by one. Constants are left as small as they are.
    """
    if block.product is None or block.product.result != "float32" or block.name in dots:
        return None
    bits = vector_bits(target)
    shape = better_shape(block, shape_of(block, bits), bits)
    for number, dtype in zip(block.product.factors, block.product.dtypes, strict=True):
        read = block.reads[number]
        spread = shape.vector is not None and shape.is_contraction and step_of(read, shape.vector) == 0
        if spread and dtype in _SHORT and not read.constant and uses(block, read) >= COPYING_IS_FREE:
            return read.buffer
    return None
