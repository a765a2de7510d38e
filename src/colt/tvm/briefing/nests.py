"""A sketch's loop nests in words, read off its skeleton: what is parallel, vectorised, unrolled, and decided by what.

    parallel(h i_0):
      QK: O.i_1 j_0 O.i_2 [d:128] unroll(O.i_3 j_1) vec(j:16) -> QK_global

A line is a block with its loops from the outside in. ``i_1`` is part 1, counted from 0, of the block's own tile knob
of loop ``i``; ``O.i_1`` is that of another block's knob. Reductions stand in brackets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from colt.analysis.skeleton import FIXED, ROOT, Block, LoopKind, LoopSource, Skeleton
from colt.knobs import Knob, TileKnob

_KINDS = {LoopKind.VECTORIZED: "vec", LoopKind.UNROLLED: "unroll", LoopKind.PARALLEL: "parallel"}


def nests(skeleton: Skeleton, knobs: Sequence[Knob]) -> list[str]:
    """The lines. Blocks under one parallel loop stand below it, in the order in which they are computed."""
    lines: list[str] = []
    told: set[int] = set()
    for number in range(len(skeleton.blocks)):
        anchor = _anchor(skeleton, number)
        if anchor in told:
            continue
        told.add(anchor)
        members = [n for n in range(len(skeleton.blocks)) if _anchor(skeleton, n) == anchor]
        parallel = [loop for loop in skeleton.blocks[anchor].loops if loop.kind is LoopKind.PARALLEL]
        if parallel:
            header = " ".join(_names(skeleton.blocks[anchor], parallel, knobs))
            lines.append(f"parallel({header or 'one iteration'}):")
        lines += ["  " * bool(parallel) + _line(skeleton, n, knobs) for n in members]
    return lines


def inlined(untuned: Skeleton, sketch: Skeleton) -> dict[str, str]:
    """The blocks of the program that the sketch computes inside another one, with that one's name."""
    left = {block.name for block in sketch.blocks}
    found = {}
    for block in untuned.blocks:
        consumer: Block | None = block
        while consumer is not None and consumer.name not in left:
            consumer = _reader(untuned, consumer)
        if block.name not in left and consumer is not None:
            found[block.name] = consumer.name
    return found


def _reader(skeleton: Skeleton, block: Block) -> Block | None:
    readers = (one for one in skeleton.blocks if one is not block)
    return next((one for one in readers if any(read.buffer == block.write.buffer for read in one.reads)), None)


def _anchor(skeleton: Skeleton, number: int) -> int:
    """The block that has the nest which this one is computed in, itself perhaps."""
    block = skeleton.blocks[number]
    return number if block.host == ROOT or block.location_knob != FIXED else _anchor(skeleton, block.host)


def _line(skeleton: Skeleton, number: int, knobs: Sequence[Knob]) -> str:
    block = skeleton.blocks[number]
    if block.location_knob != FIXED:
        return f"{block.name}: where {knobs[block.location_knob].name} says"
    loops = " ".join(_loops(block, knobs))
    into = "" if block.write.buffer == block.name else f" -> {block.write.buffer}"
    return f"{block.name}{_inside(skeleton, block, knobs)}: {loops or 'one point'}{into}"


def _inside(skeleton: Skeleton, block: Block, knobs: Sequence[Knob]) -> str:
    """The loop of another block that it is computed in, unless that is the parallel one around them all."""
    if block.host == ROOT:
        return ""
    host = skeleton.blocks[block.host]
    around = [loop for loop in host.loops[: block.depth + 1] if loop.kind is not LoopKind.PARALLEL]
    names = _names(host, around, knobs)
    return f" (inside {host.name}'s {names[-1]})" if names else ""


def _loops(block: Block, knobs: Sequence[Knob]) -> Iterator[str]:
    own = [loop for loop in block.loops if loop.kind is not LoopKind.PARALLEL]
    for kind, group in groupby(own, key=lambda loop: loop.kind):
        names = " ".join(_names(block, list(group), knobs))
        if names:
            yield names if kind is LoopKind.SERIAL else f"{_KINDS[kind]}({names})"


def _names(block: Block, loops: Sequence[LoopSource], knobs: Sequence[Knob]) -> list[str]:
    """Loops of one iteration whatever the knobs say are left out."""
    return [
        _name(block, loop, knobs)
        for loop in loops
        if loop.knob != FIXED or loop.rest or (loop.extent > 1 and block.iters)
    ]


def _name(block: Block, loop: LoopSource, knobs: Sequence[Knob]) -> str:
    iter_ = block.iters[loop.iter]
    knob = None if loop.knob == FIXED else knobs[loop.knob]
    if isinstance(knob, TileKnob):
        own = block.name == knob.block or block.name.startswith(f"{knob.block}_")
        name = f"{knob.loop}_{loop.part}" if own else f"{knob.block}.{knob.loop}_{loop.part}"
    else:
        name = iter_.name.removeprefix("v_")
        name += "" if loop.rest else f":{loop.extent}"
    return f"[{name}]" if iter_.reduce else name
