"""A one-line description of a structured design, for people and language models."""

from __future__ import annotations

from collections.abc import Sequence

from colt.analysis.skeleton import Block
from colt.tvm.dots.table import TILE_ROWS, Dot
from colt.tvm.sketches.structured.flow import Flow, spatial
from colt.tvm.sketches.structured.groups import Group
from colt.tvm.sketches.structured.prepare import Packed
from colt.tvm.sketches.structured.shapes import BlockShape


def describe(
    flow: Flow, shapes: Sequence[BlockShape], groups: Sequence[Group], packed: Sequence[Packed], long_sums: bool
) -> str:
    """One line: what runs in parallel, what is computed under it, and the register tiles."""
    copies = {one.copy for one in packed} | {flow.blocks[n].name for n in _padded(flow) if not shapes[n].is_contraction}
    shown = [one for one in groups if one.members or flow.blocks[one.anchor].name not in copies]
    shown = [one for one in shown if one.outer and not shapes[one.anchor].alone]
    nests = [_nest(flow, shapes, one) for one in shown]
    ahead = [block.name for block in flow.blocks if block.ahead]
    notes = [f"{one.operand} packed for {one.block}" for one in packed]
    notes += [_padding(flow.blocks[n]) for n in _padded(flow) if shapes[n].is_contraction]
    split = [n for n, shape in enumerate(shapes) if _is_in_lanes(shape)]
    rows = [flow.blocks[n].name for number in split for n in flow.consumers(number) if n not in split]
    if rows:
        notes.append(f"{' and '.join(rows)} in the lanes of vectors")
    notes += [_parts(flow, shapes, n) for n, shape in enumerate(shapes) if shape.alone and shape.partial]
    if ahead:
        notes.append(f"{' and '.join(ahead)} computed ahead of the call, since constant")
    if long_sums:
        notes.append("long sums in parts")
    return "; ".join([*nests, *notes])


def _is_in_lanes(shape: BlockShape) -> bool:
    return shape.partial and not shape.is_fold and shape.columns is None and not shape.alone


def _parts(flow: Flow, shapes: Sequence[BlockShape], number: int) -> str:
    """How the terms of a sum in parts are dealt."""
    block, shape = flow.blocks[number], shapes[number]
    last = number
    while consumers := [n for n in flow.consumers(last) if shapes[n].alone]:
        (last,) = consumers
    beside = shape.vector if shape.rows is None else shape.rows
    assert beside is not None
    what = "lanes" if shape.rows is None else "rows"
    return (
        f"{flow.blocks[last].name} in parts of {block.iters[beside].extent} {what} for the threads, added up at the end"
    )


def _padded(flow: Flow) -> list[int]:
    return [n for n, block in enumerate(flow.blocks) if block != flow.useful[n]]


def _padding(block: Block) -> str:
    extents = " x ".join(f"{loop_name(block.iters[n].name)} {block.iters[n].extent}" for n in spatial(block))
    return f"{block.name} padded to {extents}"


def _nest(flow: Flow, shapes: Sequence[BlockShape], group: Group) -> str:
    blocks = flow.blocks
    anchor = blocks[group.anchor]
    loops = "·".join(loop_name(anchor.iters[n].name) for n in group.outer)
    under = [blocks[n].name for n in sorted(group.members) if not shapes[n].partial]
    text = f"{anchor.name} in parallel tiles of {loops}"
    if under:
        text += f" with {', '.join(under)} inside"
    kernels = [n for n in sorted((group.anchor, *group.members)) if shapes[n].is_contraction]
    kernels += [n for n in sorted(group.members) if shapes[n].partial and shapes[n].columns is not None]
    return text + "".join(f", {_register_tile(flow, shapes, n)}" for n in kernels)


def _register_tile(flow: Flow, shapes: Sequence[BlockShape], number: int) -> str:
    block, shape = flow.blocks[number], shapes[number]
    assert shape.vector is not None
    if shape.columns is not None:
        total = _total_of(flow, shapes, number)
        sides = {n: flow.counterpart(total, range(number, total), number, n) for n in spatial(flow.blocks[total])}
        tiled = [n for n, match in sides.items() if match in (shape.rows, shape.columns)]
        names = " x ".join(loop_name(flow.blocks[total].iters[n].name) for n in tiled)
        return f"{flow.blocks[total].name} in tiles of {names}, each sum a vector of {shape.width}"
    vectors = f"vectors of {shape.width} along {loop_name(block.iters[shape.vector].name)}"
    if shape.dot is not None:
        dot, along = shape.dot.instruction, loop_name(block.iters[shape.dot.along].name)
        if dot.tiles is not None and shape.rows is not None:
            return _tiles(block, dot, loop_name(block.iters[shape.rows].name), shape.vector, along)
        terms = f"{dot.group} terms of {along}"
        if shape.dot.half is not None:
            terms = f"the lower or the upper halves of {dot.group} bytes along {along}"
        vectors += f", each lane adding {terms} an instruction ({dot.instruction_set})"
    if shape.rows is None:
        return f"{block.name} in {vectors}"
    return f"{block.name} in rows of {loop_name(block.iters[shape.rows].name)} x {vectors}"


def _tiles(block: Block, dot: Dot, rows: str, column: int, along: str) -> str:
    """What a step on tiles does."""
    columns = loop_name(block.iters[column].name)
    return (
        f"{block.name} in register tiles of {dot.rows} {rows} x {dot.columns} {columns}, each "
        f"instruction adding {dot.terms} terms of {along} to {TILE_ROWS} x {dot.lanes} sums ({dot.instruction_set})"
    )


def _total_of(flow: Flow, shapes: Sequence[BlockShape], number: int) -> int:
    """The block that adds up the partial results of this block last."""
    (consumer,) = flow.consumers(number)
    return _total_of(flow, shapes, consumer) if shapes[consumer].is_fold else consumer


def loop_name(iter_name: str) -> str:
    """The name of the loop that drives an iter in an unscheduled program."""
    return iter_name.removeprefix("v_")
