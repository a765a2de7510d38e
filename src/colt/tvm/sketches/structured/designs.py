"""Derives structured designs from a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tvm import s_tir

from colt.knobs import EDITION
from colt.tvm.devices.host import vector_bits
from colt.tvm.dots import Dot, find
from colt.tvm.dots.table import Method
from colt.tvm.programs.loops import is_plain
from colt.tvm.refusals import TVM_ERRORS
from colt.tvm.sketches.design import PLAIN, Design
from colt.tvm.sketches.guarded import why
from colt.tvm.sketches.structured.dots import pack_for_dots, shape_with_dot
from colt.tvm.sketches.structured.emit import emit, set_apart
from colt.tvm.sketches.structured.flow import Flow, reduced, work_of
from colt.tvm.sketches.structured.groups import SMALL, Cut, Group, group
from colt.tvm.sketches.structured.padding import pad_extents
from colt.tvm.sketches.structured.panels import laid_out_by_tvm, pack_in_panels
from colt.tvm.sketches.structured.parts import LONG, shapes_in_parts, split_parts, with_parts
from colt.tvm.sketches.structured.prepare import (
    Lanes,
    Packed,
    find_epilogues,
    find_folds,
    inline_pointwise,
    pack_operands,
    read_flow,
    split_rows,
    transpose_results,
)
from colt.tvm.sketches.structured.shapes import (
    COPYING_IS_FREE,
    PACKING_IS_FREE,
    BlockShape,
    better_shape,
    shape_in_lanes,
    shape_of,
    shape_of_fold,
)
from colt.tvm.sketches.structured.words import describe

PACKED, PADDED, TRANSPOSED = "packed", "padded", "transposed"
PANELS, PADDED_PANELS = "panels", "padded-panels"
DOT, DOT_PACKED, TILES = "dot", "dot-packed", "tiles"
IN_LANES, IN_PARTS = "in-lanes", "in-parts"
Choose = Callable[[Flow, int], dict[str, BlockShape] | None]
"""Returns the shapes of a flow's blocks by name, for vectors of the given number of bits; ``None``: no design."""
Suits = Callable[[Dot], bool]
"""Says of a dot instruction whether it is one to use."""
_INTERLEAVING = 4
"""The last edition in which bfloat16 was not packed for dot instructions."""
_NO_TILES = 6
"""The last edition without instructions on tiles and on halves of bytes."""
_ONE_CONTRACTION = 7
"""The last edition in which contractions had no packed operand in common."""
_AS_THEY_ARE = 9
"""The last edition that copied operands in front of sums although nothing is padded, and in which constants were put in
panels only where vectors would gather them."""
_FROM_ZERO = _SIDE_BY_SIDE = 11
"""The last edition in which sums by dot instructions began with zero, all of them, and in which many rows were summed
side by side even if their number leaves none beside each other."""
_APART_FROM_ARRANGED = 11
"""The last edition that would inline blocks with vectors inside, and that packed no constants in panels for
contractions that such blocks read."""
_WHOLE = 15
"""The last edition that cut no loop in pieces of which producers compute what lies around them as well, and that padded
nothing beside constants in panels."""
_PACKING = 16
"""The last edition that summed nothing in lanes where each element of an operand is used 64 times."""
_NAMES = {Cut.NOWHERE: "fused", Cut.CONTRACTIONS: "staged", Cut.EVERYWHERE: "apart"}


@dataclass(frozen=True, slots=True)
class _Begun:
    """A program with its pointwise blocks inlined. ``before``: operands are copied in front of sums although nothing is
    padded. ``arranged``: blocks with vectors inside are tried to be inlined."""

    schedule: Any
    flow: Flow | None
    seed: int
    edition: int
    before: bool
    arranged: bool

    def copied(self) -> Any:
        """A copy of the schedule that draws what each kind of sketch always drew."""
        schedule = self.schedule.copy()
        schedule.seed(self.seed)
        schedule.fork_seed()  # as looking at the program's blocks did
        return schedule


@dataclass(frozen=True, slots=True)
class _Prepared:
    variant: str
    schedule: Any
    flow: Flow
    shapes: tuple[BlockShape, ...]
    epilogues: dict[int, int]
    packed: tuple[Packed, ...]


def derive(mod: Any, target: Any, seed: int = 1, edition: int = EDITION) -> tuple[list[Design], list[str]]:
    """The structured designs of ``mod``, and a message for each reason why TVM refused some. The first edition had
    neither dot instructions nor long sums in parts."""
    bits, threads = vector_bits(target), int(target.attrs["num-cores"])
    designs: list[Design] = []
    refused: Counter[str] = Counter()
    in_lanes = partial(_shapes_in_lanes, COPYING_IS_FREE if edition <= _PACKING else PACKING_IS_FREE)
    rules: list[Choose] = [_shapes, _better_shapes, in_lanes]
    if edition > 1:
        rules = [*_dot_rules(target, edition), *rules, partial(_shapes_in_parts, threads)]
    kinds = [*((rule, False) for rule in rules), (_shapes, True)]
    if edition > _WHOLE:
        kinds.append((_better_shapes, True))
    try:
        begun = _begin(mod, seed, edition)
    except TVM_ERRORS as error:
        return [], [_left_out(why(error), len(kinds))]
    if begun is None:
        return [], []
    for shapes, panels in kinds:
        try:
            prepared = _prepare(begun, bits, shapes, panels)
        except TVM_ERRORS as error:
            refused[why(error)] += 1
            continue
        if prepared is None:
            continue
        for name, groups, long_sums in _structures(prepared, threads, edition > _WHOLE):
            try:
                designs.append(_design(prepared, name, groups, threads, long_sums, edition))
            except TVM_ERRORS as error:
                refused[why(error)] += 1
    return designs, [_left_out(reason, count) for reason, count in refused.items()]


def _left_out(reason: str, count: int) -> str:
    return f"{count} of COLT's kinds of sketches {'is' if count == 1 else 'are'} left out: {reason}"


def _begin(mod: Any, seed: int, edition: int) -> _Begun | None:
    """What all kinds of sketches begin with; ``None`` if the program's blocks are not plain."""
    schedule = s_tir.Schedule(mod, seed=seed, debug_mask=0, error_render_level="fast")
    if not is_plain(schedule):
        return None
    before = edition <= _AS_THEY_ARE or laid_out_by_tvm(mod)
    arranged = edition <= _APART_FROM_ARRANGED
    inline_pointwise(schedule, copies=not before, arranged=arranged)
    return _Begun(schedule, read_flow(schedule), seed, edition, before, arranged)


def _prepare(begun: _Begun, bits: int, choose: Choose, panels: bool) -> _Prepared | None:
    """The program rewritten for the chosen shapes; ``None`` if there are none.

    ``panels``: constants are packed in panels first; ``None`` if there are none for that. Since the eighth edition
    kernels may have a packed copy in common.
    """
    schedule, flow, edition = begun.copied(), begun.flow, begun.edition
    before, arranged = begun.before, begun.arranged
    in_panels = pack_in_panels(schedule, bits, only_gathered=before, for_arranged=not arranged) if panels else []
    if panels:
        flow = read_flow(schedule) if in_panels else None
    chosen = None if flow is None else choose(flow, bits)
    if chosen is None:
        return None
    packed = pack_operands(schedule, chosen, edition > _ONE_CONTRACTION)
    unpadded = pad_extents(schedule, chosen)
    for_dots, copies = pack_for_dots(schedule, chosen)
    transpose_results(schedule, chosen)
    inline_pointwise(schedule, unpadded, copies=not before, arranged=arranged)
    lanes = split_rows(schedule, chosen, one_by_one=edition > _SIDE_BY_SIDE)
    parts = split_parts(schedule, chosen)
    flow = read_flow(schedule, unpadded)
    assert flow is not None
    dots = {name: shape for name, shape in chosen.items() if shape.dot is not None} | copies
    found = with_parts(flow, _after_splitting(flow, bits, lanes), parts, bits)
    shapes = [dots.get(block.name, shape) for block, shape in zip(flow.blocks, found, strict=True)]
    epilogues = find_epilogues(flow, shapes) | find_folds(flow, shapes)
    variant = _variant(chosen, shapes)
    if panels:
        variant = PADDED_PANELS if choose is _better_shapes else PANELS
    return _Prepared(variant, schedule, flow, tuple(shapes), epilogues, (*in_panels, *packed, *for_dots))


def _after_splitting(flow: Flow, bits: int, lanes: Collection[Lanes]) -> list[BlockShape]:
    """The shapes of the blocks after reductions have been split."""
    partial, folds = {one.vectors for one in lanes}, {one.fold for one in lanes}
    shapes = [replace(shape_of(block, bits), partial=block.name in partial | folds) for block in flow.blocks]
    parts = [number for number, shape in enumerate(shapes) if shape.partial and shape.columns is not None]
    for number in {consumer for part in parts for consumer in flow.consumers(part)}:
        shapes[number] = replace(shapes[number], total=True)
        if flow.blocks[number].name in folds:
            shapes[number] = shape_of_fold(flow.blocks[number])
            for consumer in flow.consumers(number):
                shapes[consumer] = replace(shapes[consumer], total=True)
    return shapes


def _shapes(flow: Flow, bits: int) -> dict[str, BlockShape]:
    """The shapes that suit the blocks as they are."""
    return {block.name: shape_of(block, bits) for block in flow.blocks}


def _dot_rules(target: Any, edition: int) -> list[Choose]:
    """Contractions by dot instructions. Before the fifth edition bfloat16 was interleaved in registers only, before the
    seventh there were no tiles and no halves of bytes."""
    with_dots = partial(_shapes_with_dots, target, edition > _FROM_ZERO)
    if edition <= _INTERLEAVING:
        return [partial(with_dots, _in_registers)]
    new = edition > _NO_TILES
    packed = partial(with_dots, lambda row: not row.interleaved and row.tiles is None and (new or _of_elements(row)))
    tiles = [] if not new else [partial(with_dots, lambda row: row.tiles is not None)]
    return [*tiles, packed, partial(with_dots, lambda row: row.interleaved)]


def _in_registers(row: Dot) -> bool:
    return row.tiles is None and _of_elements(row) and (row.interleaved or row.method is not Method.BF16)


def _of_elements(row: Dot) -> bool:
    """Whether the instruction takes operands as they are, rather than halves of bytes."""
    return row.method is not Method.HALVES


def _shapes_with_dots(target: Any, begun: bool, suits: Suits, flow: Flow, bits: int) -> dict[str, BlockShape] | None:
    """The shapes with contractions by dot instructions of the target that suit; ``None`` if there are none. ``begun``:
    sums that begin with others may have one."""
    found = [shape_with_dot(block, partial(find, target, suits=suits), begun) for block in flow.blocks]
    dots = {
        block.name: shape
        for number, (block, shape) in enumerate(zip(flow.blocks, found, strict=True))
        if shape is not None
        and shape.dot is not None
        and not (shape.dot.instruction.interleaved and flow.producers(number))
    }
    return _shapes(flow, bits) | dots if dots else None


def _better_shapes(flow: Flow, bits: int) -> dict[str, BlockShape] | None:
    """The shapes with large contractions padded or transposed where that is faster; ``None`` if it never is."""
    shapes = _shapes(flow, bits)
    least = SMALL * sum(map(work_of, flow.blocks))
    large = [block for block in flow.blocks if work_of(block) >= least]
    better = shapes | {block.name: better_shape(block, shapes[block.name], bits) for block in large}
    return None if better == shapes else better


def _shapes_in_lanes(free: float, flow: Flow, bits: int) -> dict[str, BlockShape] | None:
    """The shapes with contractions summed in lanes instead of packing operands whose elements are used fewer than
    ``free`` times; ``None`` if that suits none."""
    shapes = _shapes(flow, bits)
    in_lanes = {block.name: shape_in_lanes(block, shapes[block.name], bits, free) for block in flow.blocks}
    return None if in_lanes == shapes else in_lanes


def _shapes_in_parts(threads: int, flow: Flow, bits: int) -> dict[str, BlockShape] | None:
    """The shapes with long sums of few results cut into parts; ``None`` if there are none."""
    shapes = _shapes(flow, bits)
    found = shapes_in_parts(flow, shapes, bits, threads)
    return None if found == shapes else found


def _variant(shapes: Mapping[str, BlockShape], split: Collection[BlockShape]) -> str:
    instructions = [shape.dot.instruction for shape in split if shape.dot is not None]
    if instructions:
        if any(one.tiles is not None for one in instructions):
            return TILES
        return DOT_PACKED if any(one.keeps for one in instructions) else DOT
    if any(shape.alone for shape in split):
        return IN_PARTS
    if any(shape.total for shape in split):
        return IN_LANES
    if any(shape.padded for shape in shapes.values()):
        return PADDED
    if any(shape.transposed for shape in shapes.values()):
        return TRANSPOSED
    return PACKED if any(shape.packed for shape in shapes.values()) else PLAIN


def _structures(prepared: _Prepared, threads: int, in_pieces: bool) -> Iterator[tuple[str, list[Group], bool]]:
    """The different groupings by name; each again with long sums in parts, if it has any long sums."""
    seen: set[tuple[tuple[int, tuple[int, ...], tuple[int, ...]], ...]] = set()
    in_parts = any(shape.alone for shape in prepared.shapes)
    for cut, name in _NAMES.items():
        groups = group(prepared.flow, prepared.shapes, prepared.epilogues, cut, threads, in_pieces)
        form = tuple((one.anchor, tuple(one.outer), tuple(one.members)) for one in groups)
        if form in seen or not (in_parts or all(one.outer for one in groups)):
            continue
        seen.add(form)
        yield name, groups, False
        if any(_is_long(prepared, one) for one in groups):
            yield f"{name}-parts", groups, True


def _is_long(prepared: _Prepared, one: Group) -> bool:
    if one.kernel is None or prepared.shapes[one.kernel].alone or prepared.shapes[one.kernel].on_tiles:
        return False
    block = prepared.flow.blocks[one.kernel]
    return not block.goes_on and max(block.iters[n].extent for n in reduced(block)) >= LONG


def _design(prepared: _Prepared, name: str, groups: list[Group], threads: int, long_sums: bool, edition: int) -> Design:
    schedule = prepared.schedule.copy()
    for one in groups:
        parts = long_sums and _is_long(prepared, one)
        emit(schedule, prepared.flow, prepared.shapes, one, prepared.epilogues, threads, parts, edition)
    set_apart(schedule, prepared.flow, prepared.shapes)
    summary = describe(prepared.flow, prepared.shapes, groups, prepared.packed, long_sums)
    return Design(prepared.variant, schedule.trace, name, summary)
