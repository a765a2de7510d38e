"""Programs in the form that suits a processor: what its dot instructions cannot do is done before or after them.

The normal form (:mod:`colt.tvm.programs.normal`) is the same for all processors. Here the products that are left to dot
instructions on vectors become ones that need nothing else: operands of unequal signs, and sums that begin with their
corrections. Instructions on tiles take all signs, and begin with zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from tvm.tirx import PrimFunc

from colt.analysis.skeleton import Block
from colt.knobs import EDITION
from colt.tvm.dots import Dot, find
from colt.tvm.programs.corrections import corrections_first
from colt.tvm.programs.program import module_of_function
from colt.tvm.programs.signs import signs_apart
from colt.tvm.programs.source import Program
from colt.tvm.programs.zero_points import zero_points_apart
from colt.tvm.sketches.structured.dots import operands, shape_with_dot
from colt.tvm.sketches.structured.shapes import COPYING_IS_FREE, BlockShape, uses
from colt.tvm.space.skeleton import read_skeleton

_AS_THEY_ARE = 11
"""The last edition in which the form was the same for all processors."""


def suited(program: Program, target: Any, edition: int = EDITION) -> Program:
    """The program in the form that suits the target's processor; ``program`` itself if it is in that form."""
    func = program.module["main"]
    found = func if edition <= _AS_THEY_ARE else suited_form(func, target)
    if found is func:
        return program
    return replace(program, module=module_of_function(found), given=program.given or program.module)


def suited_form(func: PrimFunc, target: Any) -> PrimFunc:
    """The function in the form that suits the target's processor; ``func`` itself if it is in that form."""
    flipped = {block.name: _packed(block, shape) for block, shape in _dots(func, target) if _is_flipped(block, shape)}
    func = zero_points_apart(signs_apart(func, flipped))
    begun = {block.name for block, shape in _dots(func, target) if not shape.on_tiles}
    return corrections_first(func, begun.__contains__)


def _dots(func: PrimFunc, target: Any) -> Iterator[tuple[Block, BlockShape]]:
    """The blocks that the target has a dot instruction for, with their shapes."""
    for block in read_skeleton(module_of_function(func), (), ()).blocks:
        shape = shape_with_dot(block, partial(find, target, suits=_is_packed))
        if shape is not None:
            yield block, shape


def _is_packed(row: Dot) -> bool:
    return not row.interleaved


def _is_flipped(block: Block, shape: BlockShape) -> bool:
    """Whether the signs of the packed operand are better flipped: a sum over the other one then costs little."""
    assert shape.dot is not None
    left, _ = operands(block, shape.dot.swapped)
    return shape.dot.instruction.corrected and uses(block, left) >= COPYING_IS_FREE


def _packed(block: Block, shape: BlockShape) -> str:
    assert shape.dot is not None
    return operands(block, shape.dot.swapped)[1].buffer
