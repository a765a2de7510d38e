"""What the next job reads is asked for while this one computes: a pass over scheduled programs.

Where a job goes through its part of an argument several times, as a softmax goes through its rows, the first time waits
for the memory: processors fetch ahead within a page, and a row is often about one. The last time finds everything in
the cache. So that is where each vector asks for the one at the same place in the next job's part.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize
from tvm.tirx import BufferLoad, Evaluate, For, ForKind, IntImm, PrimFunc

from colt.tvm.programs.arguments import DTYPE_BYTES
from colt.tvm.programs.naming import substituted
from colt.tvm.programs.nests import around, is_constant, mentions, sequence
from colt.tvm.programs.program import with_changed_bodies
from colt.tvm.programs.walks import every, mapped, mutated
from colt.tvm.space.variables import moves_by_one

FEWEST_BYTES = 32
"""The shortest vector that asks for another."""
MOST_BYTES = 16384
"""What a job reads of an argument at most, so that the next job's part fits into the first cache beside it."""
_READ, _NEAR, _DATA = 0, 3, 1


def with_next_jobs(mod: Any) -> Any:
    """The module with such prefetches; ``mod`` itself if there is nothing to ask for."""
    return with_changed_bodies(mod, next_jobs)


def next_jobs(function: PrimFunc, body: Any) -> Any:
    """What :func:`with_next_jobs` changes."""
    arguments = list(function.params)

    def loop(node: For, mutator: Any) -> Any:
        if int(node.kind) != int(ForKind.PARALLEL):
            return mutator.default_mutate(node)
        return _Job(node, arguments).asking() if is_constant(node) and int(node.extent) > 1 else node

    return mutated(body, (For, loop))


@dataclass(frozen=True, slots=True)
class _Reading:
    """One load of an argument, with its indices in terms of loops, in a block, in ``vector``'s loop if in any."""

    argument: Any
    indices: list[Any]
    block: str
    vector: For | None
    inner: tuple[For, ...]
    """The loops inside the job."""

    @property
    def bytes_(self) -> int:
        """An upper bound for what the loops inside the job load here."""
        moving = (loop for loop in self.inner if any(mentions(index, loop.loop_var) for index in self.indices))
        return math.prod(int(loop.extent) for loop in moving) * self.element

    @property
    def element(self) -> int:
        return DTYPE_BYTES.get(str(self.argument.dtype), 0)

    def is_in_vectors(self) -> bool:
        """Whether a vector is loaded, and a long one."""
        if self.vector is None or int(self.vector.extent) * self.element < FEWEST_BYTES:
            return False
        *outer, last = self.indices
        moving = any(mentions(index, self.vector.loop_var) for index in outer)
        return not moving and moves_by_one(last, self.vector.loop_var)


class _Job:
    """The parallel loop ``jobs``, each turn of which is one."""

    def __init__(self, jobs: For, arguments: Sequence[Any]) -> None:
        self._jobs = jobs
        self._readings: list[_Reading] = []
        stored = {store.buffer for store in every(jobs.body, tirx.BufferStore)}
        loads = Counter(load.source for load in every(jobs.body, tvm.ir.TensorLoad))
        self._arguments = dict.fromkeys(one for one in arguments if loads[one] > 1 and one not in stored)
        if self._arguments:
            self._read(jobs.body, ())

    def asking(self) -> For:
        """The loop with prefetches; the loop itself if there is nothing to ask for."""
        asked: dict[Any, dict[str, Any]] = {}
        for argument in self._arguments:
            found = [one for one in self._readings if one.argument.same_as(argument)]
            if len({one.block for one in found}) < 2 or any(one.bytes_ > MOST_BYTES for one in found):
                continue
            for one in found:
                if one.block == found[-1].block and one.is_in_vectors():
                    asking = self._ask(one)
                    asked.setdefault(one.vector, {})[str(asking)] = asking
        if not asked:
            return self._jobs

        def loop(node: For) -> Any:
            return sequence([*asked[node].values(), node]) if node in asked else node

        return around(self._jobs, mapped(self._jobs.body, (For, loop)))

    def _read(self, stmt: Any, inner: tuple[For, ...]) -> None:
        if isinstance(stmt, tirx.SeqStmt):
            for one in stmt.seq:
                self._read(one, inner)
        elif isinstance(stmt, For):
            self._read(stmt.body, (*inner, stmt) if is_constant(stmt) else inner)
        elif isinstance(stmt, SBlockRealize):
            self._read_block(stmt, inner)

    def _read_block(self, realize: Any, inner: tuple[For, ...]) -> None:
        values = {axis.var: value for axis, value in zip(realize.block.iter_vars, realize.iter_values, strict=True)}
        vector = inner[-1] if inner and int(inner[-1].kind) == int(ForKind.VECTORIZED) else None
        for load in every(realize.block.body, tvm.ir.TensorLoad):
            if load.source not in self._arguments:
                continue
            indices = [substituted(index, values) for index in load.indices]
            if any(mentions(index, self._jobs.loop_var) for index in indices):
                name = str(realize.block.name_hint)
                self._readings.append(_Reading(load.source, indices, name, vector, inner))

    def _ask(self, one: _Reading) -> Any:
        assert one.vector is not None
        variable = self._jobs.loop_var
        number = str(variable.ty)
        next_ = tirx.min(variable + IntImm(number, 1), IntImm(number, int(self._jobs.extent) - 1))
        changed = {variable: next_, one.vector.loop_var: IntImm(str(one.vector.loop_var.ty), 0)}
        place = BufferLoad(one.argument, [substituted(index, changed) for index in one.indices])
        how = (IntImm("int32", number) for number in (_READ, _NEAR, _DATA))
        return Evaluate(tirx.call_llvm_intrin("void", "llvm.prefetch.p0", tirx.address_of(place), *how))
