"""Clocks in a kernel: how the time of one run is shared among the parts of a program, as the processor counts it.

A pass puts a reading of the processor's counter before and after each part of a scheduled program: the statements one
after the other inside of a parallel loop, or such a loop as a whole. What lies between the two is added to a parameter
of the program's own, in a row for each turn of the parallel loop, so that no two threads write to one place. A reading
takes some 25 cycles; there are only so many that they change little of what they count.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlock
from tvm.target import Target
from tvm.tirx import BufferLoad, BufferStore, For, ForKind, IntImm, PrimFunc, decl_buffer

from colt.analysis.bounds import PartTime
from colt.tvm.devices.host import architecture_of
from colt.tvm.programs.constants import computed_ahead
from colt.tvm.programs.nests import around, chain, is_constant, nests_of, sequence, statements, with_nests
from colt.tvm.programs.walks import every
from colt.tvm.workers.arguments import Drawing

COUNTER = "llvm.readcyclecounter"
"""Elsewhere than on x86 a program may not read what this stands for."""
READS = ("x86_64", "i686", "i386")
_CYCLES = "colt_cycles"
_TYPE = "int64"
_COPY = "_global"
_IN_A_LINE = 8
"""Rows begin at cache lines: neighbours may be of different threads."""


@dataclass(frozen=True, slots=True)
class ClockedPart:
    """A part of a program that is timed by itself, by the names of its blocks and of those that these are parts of.
    ``divided``: threads share its turns, so that the wall sees a share of its cycles."""

    blocks: tuple[str, ...]
    divided: bool


@dataclass(frozen=True, slots=True)
class ClockedProgram:
    """A program with clocks: their counts are in its last parameter, a column for each of ``parts``."""

    module: tvm.IRModule
    parts: tuple[ClockedPart, ...]

    def shares(self, cycles: Sequence[float], threads: int) -> tuple[PartTime, ...]:
        """The share of the time that each part takes, of which clocks have counted so many cycles, of all threads
        together; none if they have counted nothing."""
        wall = [count / threads if part.divided else count for part, count in zip(self.parts, cycles, strict=True)]
        whole = sum(wall)
        return tuple(PartTime(part.blocks, one / whole) for part, one in zip(self.parts, wall, strict=True) if whole)


def can_read_clocks(target: Target) -> bool:
    """Whether programs for the target can read the processor's counter."""
    return architecture_of(target) in READS


def with_clocks(module: tvm.IRModule, most: int) -> ClockedProgram | None:
    """The program with clocks, which are read up to about ``most`` times a run; ``None`` if it has fewer than two parts
    to tell apart."""
    function = module["main"]
    nests = nests_of(function)
    ahead = computed_ahead(function)
    timed = [number for number in range(len(nests)) if number not in ahead]
    places = {number: _Place.of(nests[number], most // max(1, len(timed))) for number in timed}
    parts = tuple(part for place in places.values() for part in place.parts)
    if len(parts) < 2:
        return None
    columns = -(-len(parts) // _IN_A_LINE) * _IN_A_LINE
    cycles = decl_buffer([max(place.rows for place in places.values()), columns], _TYPE, _CYCLES)
    column, changed = 0, list(nests)
    for number, place in places.items():
        changed[number] = place.clocked(cycles, column)
        column += len(place.inside)
    whole = with_nests(function, changed)
    clocked = PrimFunc([*whole.params, cycles], whole.body, whole.ret_type, whole.attrs)
    return ClockedProgram(tvm.IRModule({"main": clocked}), parts)


def with_counts(drawing: Drawing) -> Drawing:
    """How the inputs of the program come about once it has clocks."""
    return drawing if drawing.domains is None else replace(drawing, domains=(*drawing.domains, None))


@dataclass(frozen=True, slots=True)
class _Place:
    """The clocks of one statement: around the statements inside of its first ``depth`` loops."""

    nest: Any
    depth: int

    @classmethod
    def of(cls, nest: Any, most: int) -> _Place:
        """The innermost of a few places where they are read ``most`` times at most."""
        loops = chain(nest)
        around_all, inside = cls(nest, 0), cls(nest, len(loops))
        kinds = [int(loop.kind) if is_constant(loop) else -1 for loop in loops]
        places = [around_all]
        if int(ForKind.PARALLEL) in kinds:
            places.append(cls(nest, kinds.index(int(ForKind.PARALLEL)) + 1))
        if set(kinds) <= {int(ForKind.PARALLEL), int(ForKind.SERIAL)} and len(inside.inside) > 1:
            places.append(inside)
        return next((one for one in reversed(places) if one.readings <= most), around_all)

    @property
    def loops(self) -> Sequence[For]:
        """Those around the clocks."""
        return chain(self.nest)[: self.depth]

    @property
    def inside(self) -> list[list[Any]]:
        """The statements between the clocks: those in a row that compute the same blocks are together."""
        found = statements(self.loops[-1].body if self.depth else self.nest)
        blocks = _computed(self.nest, ())
        return [list(group) for _, group in groupby(found, key=lambda stmt: _computed(stmt, blocks))]

    @property
    def readings(self) -> int:
        """How often clocks are read in a run."""
        return 2 * len(self.inside) * math.prod(int(loop.extent) for loop in self.loops)

    @property
    def rows(self) -> int:
        return 1 if self._divided is None else int(self._divided.extent)

    @property
    def parts(self) -> Iterator[ClockedPart]:
        """What is told apart here."""
        for group in self.inside:
            names = {name for stmt in group for name in (*_computed(stmt, ()), *_block_names(stmt))}
            yield ClockedPart(tuple(sorted(names)), self._divided is not None)

    @property
    def _divided(self) -> For | None:
        """The loop around the clocks whose turns threads share."""
        return next((loop for loop in self.loops if int(loop.kind) == int(ForKind.PARALLEL)), None)

    def clocked(self, cycles: Any, column: int) -> Any:
        """The statement with clocks that count in the columns from that one on."""
        divided, found = self._divided, []
        for number, group in enumerate(self.inside, column):
            kind = _TYPE if divided is None else str(divided.loop_var.ty)
            row = IntImm(kind, 0) if divided is None else divided.loop_var
            place = [row, IntImm(kind, number)]
            found += [_counted(cycles, place, -1), *group, _counted(cycles, place, 1)]
        body = sequence(found)
        for loop in reversed(self.loops):
            body = around(loop, body)
        return body


def _counted(cycles: Any, place: Sequence[Any], sign: int) -> Any:
    """Add the counter to what stands there, or take it off."""
    now, before = tirx.call_llvm_intrin(_TYPE, COUNTER), BufferLoad(cycles, list(place))
    return BufferStore(cycles, before + now if sign > 0 else before - now, list(place))


def _computed(stmt: Any, blocks: Collection[str]) -> frozenset[str]:
    """The blocks that the statement computes: the start of a sum and its terms are one, and so is what copies its
    results, if they are of one of ``blocks``."""
    stems = {name.removesuffix("_init").removesuffix("_update") for name in _block_names(stmt)}
    return frozenset(stem if (of := stem.removesuffix(_COPY)) not in blocks else of for stem in stems)


def _block_names(stmt: Any) -> set[str]:
    return {str(block.name_hint) for block in every(stmt, SBlock)}
