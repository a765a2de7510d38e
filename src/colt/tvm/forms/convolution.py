"""Recognises a convolution of three by three taps in a program: what it reads, and what becomes of its sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import tvm
from tvm import s_tir
from tvm.tirx import BufferLoad, BufferStore, PrimFunc

from colt.analysis.skeleton import Block, MemoryAccess, Skeleton
from colt.tvm.forms.transforms import TAPS
from colt.tvm.programs.constants import constants_of
from colt.tvm.programs.naming import substituted
from colt.tvm.programs.nests import PlainNest, nests_of
from colt.tvm.programs.walks import mutated, walk
from colt.tvm.space.skeleton import read_skeleton

Reader = Callable[[Sequence[Any]], Any]
Finisher = Callable[[Any, Sequence[Any]], Any]
_SUMMED = "float32"
_REFUSED = (RuntimeError, ValueError)
"""What TVM raises where a block cannot be put into its readers."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution with stride 1 whose filters are constant: sums over taps and channels of the last axis, and what
    is made of each sum, point by point.

    ``images``, ``height``, ``width``, ``channels``: the extents of the sums. ``depth``: the channels of the data.
    """

    function: PrimFunc
    filters: Any
    """The argument: rows, columns and channels of the taps, then the channels of the sums."""
    images: int
    height: int
    width: int
    depth: int
    channels: int
    result: Any
    """The argument that is written."""
    index_type: str
    datum: Reader
    """What the sums read at image, row, column and channel: an expression. Row 0 is the first that any tap reads; there
    are ``height + 2`` rows, and columns likewise."""
    finished: Finisher
    """What is written where the sum is a value, at image, row, column and channel: an expression."""

    @classmethod
    def of(cls, module: tvm.IRModule) -> Convolution | None:
        """The convolution that a program is; ``None`` if it is none."""
        found = _brought_together(module)
        if found is None:
            return None
        function, number, skeleton = found
        block = skeleton.blocks[number]
        nests = [nest for nest in map(PlainNest.of, nests_of(function)) if nest is not None]
        filters = _argument(function, _factors(block)[1].buffer)
        if len(nests) < len(skeleton.blocks) or filters is None or str(filters.name) not in constants_of(function):
            return None
        if any(str(buffer.ty.dtype) != _SUMMED for buffer in _buffers(function)):
            return None
        data = _reader(_factors(block)[0], function, nests[:number])
        finished = _finisher(nests[number], nests[number + 1 :])
        if data is None or finished is None:
            return None
        images, height, width, channels, _, _, depth = (iter_.extent for iter_ in block.iters)
        result = nests[-1].block.body.buffer
        index_type = str(nests[number].block.iter_vars[0].var.ty)
        return cls(function, filters, images, height, width, depth, channels, result, index_type, data, finished)


def _brought_together(module: tvm.IRModule) -> tuple[PrimFunc, int, Skeleton] | None:
    """The program as three blocks at most: what makes the data, the sums, and what finishes them; with the number of
    the sums. ``None`` if it has no sums over three by three taps, or more than these."""
    schedule = s_tir.Schedule(module, debug_mask=0, error_render_level="none")
    blocks = read_skeleton(module, (), ()).blocks
    sums = [number for number, block in enumerate(blocks) if any(iter_.reduce for iter_ in block.iters)]
    if len(sums) != 1 or not _is_convolution(blocks[sums[0]]):
        return None
    (place,) = sums
    kept = {place - 1, place, len(blocks) - 1}
    try:
        for number, block in enumerate(blocks):
            if number not in kept:
                schedule.compute_inline(schedule.get_sblock(block.name))
    except _REFUSED:
        return None
    return schedule.mod["main"], min(place, 1), read_skeleton(schedule.mod, (), ())


def _is_convolution(block: Block) -> bool:
    """Whether the block sums products of data and filters: ``sum(x[n, h + r, w + s, c] * f[r, s, c, k])``."""
    extents = [iter_.extent for iter_ in block.iters]
    if [iter_.reduce for iter_ in block.iters] != [False] * 4 + [True] * 3 or extents[4:6] != [TAPS, TAPS]:
        return False
    if block.product is None or block.goes_on:
        return False
    data, filters = _factors(block)
    return (
        _terms(data, extents) == [{0: 1}, {1: 1, 4: 1}, {2: 1, 5: 1}, {6: 1}]
        and _terms(filters, extents) == [{4: 1}, {5: 1}, {6: 1}, {3: 1}]
        and _terms(block.write, extents) == [{0: 1}, {1: 1}, {2: 1}, {3: 1}]
    )


def _factors(block: Block) -> tuple[MemoryAccess, MemoryAccess]:
    """The data and the filters, whichever comes first in the product."""
    assert block.product is not None
    first, second = (block.reads[number] for number in block.product.factors)
    return (second, first) if first.shape[:2] == (TAPS, TAPS) and second.shape[:2] != (TAPS, TAPS) else (first, second)


def _terms(access: MemoryAccess, extents: Sequence[int]) -> list[dict[int, float]] | None:
    """The terms of each index by the iter that they move with. One of a single value may be left out by TVM."""
    if any(index is None for index in access.index):
        return None
    found = [dict(index or ()) for index in access.index]
    if found and not found[0] and extents[0] == 1:
        found[0] = {0: 1}
    return found


def _argument(function: PrimFunc, name: str) -> Any:
    return next((parameter for parameter in function.params if str(parameter.name) == name), None)


def _buffers(function: PrimFunc) -> list[Any]:
    return [*function.params, *function.body.block.alloc_buffers]


def _reader(data: MemoryAccess, function: PrimFunc, before: Sequence[PlainNest]) -> Reader | None:
    """What the sums read, by index: an element of an argument, or what the block before them makes of arguments."""
    if not before:
        argument = _argument(function, data.buffer)
        return None if argument is None else partial(BufferLoad, argument)
    point = _Point.of(before[-1])
    if point is None or len(before) > 1 or str(point.store.buffer.name) != data.buffer:
        return None
    return point.at


def _finisher(sums: PlainNest, after: Sequence[PlainNest]) -> Finisher | None:
    """What becomes of a sum, by its value and its indices."""
    if not after:
        return lambda total, indices: total
    point = _Point.of(after[-1])
    if point is None or len(after) > 1 or not point.reads_only_its_own(sums.block.body.buffer):
        return None
    return lambda total, indices: point.at(indices, {sums.block.body.buffer: total})


@dataclass(frozen=True, slots=True)
class _Point:
    """What a block without sums writes at each point: its axes are the indices."""

    axes: tuple[Any, ...]
    store: Any

    @classmethod
    def of(cls, nest: PlainNest) -> _Point | None:
        axes, store = tuple(axis.var for axis in nest.block.iter_vars), nest.block.body
        if not isinstance(store, BufferStore) or len(axes) != len(store.indices):
            return None
        same = all(index.same_as(axis) for index, axis in zip(store.indices, axes, strict=True))
        return cls(axes, store) if same else None

    def reads_only_its_own(self, buffer: Any) -> bool:
        """Whether all that is read of the buffer is the element at the same indices."""
        found: list[bool] = []

        def load(node: Any) -> None:
            if node.source.same_as(buffer):
                found.append(all(a.same_as(b) for a, b in zip(node.indices, self.axes, strict=True)))

        walk(self.store.value, (tvm.ir.TensorLoad, load))
        return all(found)

    def at(self, indices: Sequence[Any], values: Mapping[Any, Any] = MappingProxyType({})) -> Any:
        """What is written at these indices, with ``values`` in place of what is read of some buffers."""

        def load(node: Any, mutator: Any) -> Any:
            return values[node.source] if node.source in values else mutator.default_mutate(node)

        value = mutated(self.store.value, (tvm.ir.TensorLoad, load))
        return substituted(value, dict(zip(self.axes, indices, strict=True)))
