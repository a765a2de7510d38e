"""Pads extents that do not divide well, with ``pad_einsum`` at the head of the trace.

``pad_einsum`` copies operands into larger buffers with zeros at the end and crops the result. Only spatial iters are
padded, so that everything computed from the zeros is cropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from colt.analysis.skeleton import Block
from colt.tvm.sketches.structured.flow import Extents, Flow, extents_of
from colt.tvm.sketches.structured.prepare import read_flow, slot_of
from colt.tvm.sketches.structured.shapes import BlockShape, mentions

_PADDED = "{}_pad"
"""TVM's name for the copy of a buffer and for the block that makes it."""


def pad_extents(schedule: Any, shapes: Mapping[str, BlockShape]) -> dict[str, Extents]:
    """Pad the blocks' iters as the shapes say; return the extents before padding of all affected blocks, by name."""
    unpadded: dict[str, Extents] = {}
    for name, shape in shapes.items():
        if shape.padded:
            unpadded |= _pad(schedule, name, shape.padded)
    return unpadded


def _pad(schedule: Any, name: str, padded: Extents) -> dict[str, Extents]:
    before = _read(schedule)
    block, names = before.blocks[before.number(name)], {one.name for one in before.blocks}
    stand_ins = list(_stand_ins(schedule, block, padded, names))
    schedule.pad_einsum(schedule.get_sblock(block.name), list(padded))
    for copy in stand_ins:
        schedule.compute_inline(copy)
    crop = _PADDED.format(block.write.buffer)
    if block.local:
        schedule.compute_inline(schedule.get_sblock(crop))
    made = [one for one in _read(schedule).blocks if one.name not in names and one.name != crop]
    return {block.name: extents_of(block)} | {one.name: _source_extents(one) for one in made}


def _read(schedule: Any) -> Flow:
    flow = read_flow(schedule)
    assert flow is not None, "copies have names of their own"
    return flow


def _stand_ins(schedule: Any, block: Block, padded: Extents, names: set[str]) -> Iterator[Any]:
    """Make copies that stand in for operands while the block is padded: for operands whose index is more than a
    variable, which TVM would refuse, and for operands already padded for another block, whose copy has the name."""
    changed = [n for n, extent in enumerate(extents_of(block)) if padded[n] != extent]
    for read in block.reads:
        rv = schedule.get_sblock(block.name)
        if not all(index is not None and [c for _, c in index] in ([], [1.0]) for index in read.index):
            yield schedule.reindex(rv, ("read", slot_of(schedule, rv, read.buffer)))
        elif any(mentions(read, n) for n in changed):
            buffer = read.buffer
            while _PADDED.format(buffer) in names:
                copy = schedule.cache_read(rv, slot_of(schedule, rv, buffer), "global")
                yield copy
                buffer = str(schedule.get(copy).writes[0].source.name)


def _source_extents(copy: Block) -> Extents:
    """The extents of a padded copy's iters that have something to copy."""
    (read,) = copy.reads
    extents = list(extents_of(copy))
    for size, index in zip(read.shape, read.index, strict=True):
        for iter_, _ in index or ():
            extents[iter_] = min(extents[iter_], size)
    return tuple(extents)
