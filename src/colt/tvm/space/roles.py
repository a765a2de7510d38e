"""What the parts of a tile become, in words: read off a trace by following the loops that a split makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from colt.tvm.dots.tiles import SCOPE
from colt.tvm.space.traces import Step, TraceView, Var

_ORDINALS = ("1st", "2nd", "3rd")


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """What only a replay tells: the ``names`` of blocks and loops, and which loops belong to a reduction."""

    names: Mapping[Var, str]
    reduced: frozenset[Var]


def split_of(view: TraceView, tile: Step) -> Step | None:
    """The split that a sampled tile is for."""
    return next((step for step, slot in view.users(tile.outputs[0]) if step.kind == "Split" and slot > 0), None)


def loops_of(view: TraceView, tile: Step) -> tuple[Var, ...]:
    """The loops that the parts of a tile become, outermost first; empty if the tile is used for something else.

    The split of a loop that was moved before it may leave the first part open and have more parts after the last.
    """
    split = split_of(view, tile) or _split_of_rest(view, tile)
    if split is None:
        return ()
    count, parts = len(tile.outputs), split.inputs[1:]
    if parts == tile.outputs or (parts[0] is None and parts[1:count] == tile.outputs[1:]):
        return split.outputs[:count]
    return ()


def _split_of_rest(view: TraceView, tile: Step) -> Step | None:
    users = view.users(tile.outputs[1]) if len(tile.outputs) > 1 else []
    return next((step for step, slot in users if step.kind == "Split" and slot > 0), None)


def whole_vectors(view: TraceView, tile: Step) -> int:
    """How many elements of the loop one unit of the tile counts: more than 1 if vectors were split off first."""
    split = _vectors_split(view, tile)
    return 1 if split is None else int(split.inputs[2])


def tiled_loop(view: TraceView, tile: Step) -> Var:
    """The loop that is tiled, before vectors were split off."""
    split = _vectors_split(view, tile)
    loop: Var = tile.inputs[0] if split is None else split.inputs[0]
    return loop


def _vectors_split(view: TraceView, tile: Step) -> Step | None:
    split = view.maker(tile.inputs[0])
    if split is None or split.kind != "Split" or len(split.outputs) != 2 or split.outputs[0] != tile.inputs[0]:
        return None
    return split if split.inputs[1] is None and isinstance(split.inputs[2], int) else None


def has_rfactor(view: TraceView, tile: Step) -> bool:
    """Whether one of the tile's parts becomes partial results of a reduction."""
    return any(step.kind == "RFactor" for loop in loops_of(view, tile) for step, _ in view.users(loop))


def roles(view: TraceView, facts: RoleFacts, tile: Step) -> tuple[str, ...]:
    """One phrase for each part of the tile, outermost first."""
    loops = loops_of(view, tile)
    if not loops:
        return tuple(f"{_ordinal(part)} of {len(tile.outputs)} parts" for part in range(len(tile.outputs)))
    if has_rfactor(view, tile):
        phrases = [_rfactor_phrase(view, loops, part) for part in range(len(loops))]
    else:
        phrases = [_position_phrase(view, facts, loops, part) for part in range(len(loops))]
    if (elements := whole_vectors(view, tile)) > 1:
        summed = tiled_loop(view, tile) in facts.reduced
        unit = "register tiles" if _is_on_tiles(view, facts, tile) else "vectors"
        phrases[-1] += f", {elements} terms in each turn" if summed else f", {unit} of {elements}"
    if others := _others(view, facts, tile):
        phrases[-1] += f", the same for {_listed(others)}"
    return tuple(", ".join((phrase, *_events(view, facts, loop))) for phrase, loop in zip(phrases, loops, strict=True))


def _is_on_tiles(view: TraceView, facts: RoleFacts, tile: Step) -> bool:
    """Whether the block's sums are kept in the registers for tiles."""
    block = view.block_of(tile.inputs[0])
    writes = [step for step in view.steps if step.kind == "CacheWrite" and str(step.attrs[1]) == SCOPE]
    return block is not None and facts.names.get(block) in {facts.names.get(step.inputs[0]) for step in writes}


def _others(view: TraceView, facts: RoleFacts, tile: Step) -> list[str]:
    """The other blocks whose loops the tile splits too."""
    first = split_of(view, tile) or _split_of_rest(view, tile)
    found: dict[str, None] = {}
    for step, _ in view.users(tile.outputs[-1]):
        block = view.block_of(step.inputs[0]) if step.kind == "Split" and step is not first else None
        if block is not None:
            found[facts.names.get(block, "another block")] = None
    return list(found)


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _rfactor_phrase(view: TraceView, loops: tuple[Var, ...], part: int) -> str:
    if not any(step.kind == "RFactor" for step, _ in view.users(loops[part])):
        return "reduced one after the other within each partial result"
    if part == len(loops) - 1:
        return "partial results side by side, vectorised, combined at the end"
    return "partial results, each a loop of its own, combined at the end"


def _position_phrase(view: TraceView, facts: RoleFacts, loops: tuple[Var, ...], part: int) -> str:
    order = next((step.inputs for step, _ in view.users(loops[part]) if step.kind == "Reorder"), ())
    place = order.index(loops[part]) if loops[part] in order else None
    if place is None:
        return "outermost" if part == 0 else f"{_ordinal(part)} of {len(loops)} parts"
    reduction = [_is_reduction(view, facts, loop) for loop in order]
    if reduction[place]:
        return _reduction_phrase(part, len(loops))
    if not any(reduction[:place]):
        return _outer_phrase(view, order, place, part)
    if any(reduction[place:]):
        return "between the parts of the reduction"
    last = place == len(order) - 1 and "meta_schedule.vectorize" in _annotations(view)
    return "innermost, vectorised" if last and not _is_tensorised(view) else "innermost, inside the reduction"


def _reduction_phrase(part: int, parts: int) -> str:
    if parts == 1:
        return "the whole reduction"
    if part in (0, parts - 1):
        return f"{'outer' if part == 0 else 'inner'} part of the reduction"
    return f"{_ordinal(part)} part of the reduction"


def _outer_phrase(view: TraceView, order: tuple[Var, ...], place: int, part: int) -> str:
    """TVM fuses the outer loops from the left until they have more iterations than ``meta_schedule.parallel``.

    It stops at a loop that also computes another block.
    """
    jobs = _annotations(view).get("meta_schedule.parallel")
    level = "outermost" if part == 0 else f"{_ordinal(part)} from the outside"
    if jobs is None or any(_holds_block(view, loop) for loop in order[:place]):
        return level
    if part == 0:
        return f"{level}, fused and run in parallel"
    return f"{level}, joins the parallel loop as long as that has at most {jobs} iterations"


def _events(view: TraceView, facts: RoleFacts, loop: Var) -> Iterator[str]:
    """What else happens at the loop, or at the loop that it is fused into."""
    computed = [step.inputs[0] for step, slot in view.users(loop) if step.kind in _MOVES and slot == 1]
    if len(computed) > 2:
        names = [facts.names.get(block, "another block") for block in computed]
        yield f"{_listed(names)} are computed inside it"
    for step, slot in view.users(loop):
        if step.kind == "Fuse":
            yield "fused"
            yield from _events(view, facts, step.outputs[0])
        elif step.kind in _DONE_TO_LOOPS:
            yield _DONE_TO_LOOPS[step.kind]
        elif step.kind == "Bind":
            yield f"bound to {step.attrs[0] if step.attrs else step.inputs[1]}"
        elif step.kind in _MOVES and slot == 1 and len(computed) <= 2:
            yield _computed_phrase(view, facts, step.inputs[0])


_MOVES = ("ComputeAt", "ReverseComputeAt")
_DONE_TO_LOOPS = {"Parallel": "run in parallel", "Vectorize": "vectorised", "Unroll": "unrolled"}


def _computed_phrase(view: TraceView, facts: RoleFacts, block: Var) -> str:
    maker = view.maker(block)
    if maker is not None and maker.kind == "CacheWrite":
        return f"write-back of {facts.names.get(maker.inputs[0], 'the result')} happens inside it"
    return f"{facts.names.get(block, 'another block')} is computed inside it"


def _holds_block(view: TraceView, loop: Var) -> bool:
    return any(step.kind in _MOVES and slot == 1 for step, slot in view.users(loop))


def _is_reduction(view: TraceView, facts: RoleFacts, loop: Var) -> bool:
    """Whether a loop is (part of) a reduction loop."""
    maker = view.maker(loop)
    if maker is not None and maker.kind == "Split":
        return _is_reduction(view, facts, maker.inputs[0])
    return loop in facts.reduced


def _annotations(view: TraceView) -> dict[str, object]:
    """Annotations with constant values; MetaSchedule puts those for parallelism and vectors on the root block."""
    return {
        str(s.attrs[0]): s.inputs[1] for s in view.steps if s.kind == "Annotate" and not isinstance(s.inputs[1], Var)
    }


def _is_tensorised(view: TraceView) -> bool:
    return "meta_schedule.auto_tensorize" in _annotations(view)


def _ordinal(part: int) -> str:
    return _ORDINALS[part] if part < len(_ORDINALS) else f"{part + 1}th"
