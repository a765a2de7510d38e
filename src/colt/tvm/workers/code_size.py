"""How long LLVM takes to build a program, from the size of its code.

Size is counted in instructions. For a few of LLVM's passes the time grows with the square of something in a piece of
straight code. These passes make the slow builds slow, and count as extra instructions. They were found by timing passes
one by one, in TVM's own LLVM version:

- the vectoriser of straight code (SLP), on elements gathered from memory, above all where they are summed up
- the loop vectoriser, which compares all scalar accesses of a loop with each other
- the instruction scheduler, on long runs of vector copies
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median

import tvm

from colt.tvm.workers.instructions import InstructionKind
from colt.tvm.workers.unrolling import UnrolledNest, read_code

SECONDS_PER_INSTRUCTION = 4.3e-5
"""On the machine of the :class:`Weights`."""
_FULL_UNROLL = 350
"""LLVM unrolls a loop completely if that makes no more than so many instructions, as it counts them."""
_LOOP_OVERHEAD = 12
"""Instructions of a loop itself and of the addresses in it, at the time when LLVM decides."""


@dataclass(frozen=True, slots=True)
class CodeShape:
    """What the time to build depends on; it grows with each field."""

    loops: int
    """Loops that TVM leaves in its program."""
    statements: int
    """Stores that TVM leaves."""
    pieces: int
    """Pieces of straight code. They and what follows are counted after LLVM has unrolled its smallest loops."""
    instructions: int
    gathers: int
    """Squares of the lengths of gathered vectors."""
    gathered_sums: float
    """Squares of the numbers of gathered elements that straight code sums up in one vector."""
    scalar_stores: int
    """Squares of the numbers of stores in innermost loops without vectors."""
    vector_stores: int
    """Squares of the numbers of vector stores in loops."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What one of each counts as, in instructions; every program counts ``program``.

    Fitted to the CPU seconds of 771 builds of random schedules, of all workloads at size ``small`` (TVM 0.27 with LLVM
    22, AMD EPYC with AVX-512): least squares on logarithms, robust against outliers, no weight negative. Boosted trees
    on more features rank builds hardly better: the rest is LLVM's heuristics. The slowest builds, of minutes, were
    cut off and are not among them: such times are predicted several times too short.
    """

    program: float = 220
    loops: float = 135
    statements: float = 7.3
    pieces: float = 48
    instructions: float = 1
    gathers: float = 0.5
    gathered_sums: float = 0.064
    scalar_stores: float = 0.045
    vector_stores: float = 0.0073

    def size(self, shape: CodeShape) -> int:
        """The size of code of this shape."""
        return round(
            self.program
            + self.loops * shape.loops
            + self.statements * shape.statements
            + self.pieces * shape.pieces
            + self.instructions * shape.instructions
            + self.gathers * shape.gathers
            + self.gathered_sums * shape.gathered_sums
            + self.scalar_stores * shape.scalar_stores
            + self.vector_stores * shape.vector_stores
        )


def code_size(module: tvm.IRModule) -> int:
    """How much work a scheduled and post-processed module is for LLVM, in instructions. Never raises."""
    return Weights().size(code_shape(module))


def predicted_build_seconds(module: tvm.IRModule) -> float:
    """Seconds to build the module on the machine of the :class:`Weights`. Never raises."""
    return BuildTime().predict(code_size(module))


class BuildTime:
    """Seconds from code size, corrected by this machine's speed, which is learnt from the builds seen."""

    def __init__(self, window: int = 64, limit: float = 20.0) -> None:
        """The last ``window`` builds count; the correction stays between ``limit`` and its inverse."""
        self._ratios: deque[float] = deque([1.0] * 3, maxlen=window)  # one or two builds prove little
        self._limit = limit

    @property
    def correction(self) -> float:
        """How many times longer builds take here than expected: a median, which outliers don't move."""
        return min(max(median(self._ratios), 1 / self._limit), self._limit)

    def predict(self, size: int) -> float:
        """Seconds to build code of this size here."""
        return size * SECONDS_PER_INSTRUCTION * self.correction

    def learn(self, size: int, seconds: float) -> None:
        """Learn from a build; ``size`` and ``seconds`` that are no positive numbers are ignored."""
        if size > 0 and seconds > 0 and math.isfinite(seconds):
            self._ratios.append(seconds / (size * SECONDS_PER_INSTRUCTION))


def code_shape(module: tvm.IRModule) -> CodeShape:
    """Read the shape of the code that a scheduled module becomes."""
    code = read_code(module)
    loops, statements = sum(1 for _ in code.every()) - 1, code.all_steps
    _unroll(code)
    pieces = [(copies, nest) for copies, nest in code.every() if nest.statements]
    return CodeShape(
        loops=loops,
        statements=statements,
        pieces=sum(copies for copies, _ in pieces),
        instructions=code.all_instructions,
        gathers=sum(copies * _gathers(nest) for copies, nest in pieces),
        gathered_sums=sum(copies * _gathered_sums(nest) for copies, nest in pieces),
        scalar_stores=sum(copies * _scalar_stores(nest) ** 2 for copies, nest in pieces),
        vector_stores=sum(copies * _vector_stores(nest) ** 2 for copies, nest in pieces),
    )


def _unroll(nest: UnrolledNest) -> None:
    """Unroll the loops below that LLVM unrolls completely, inside out."""
    kept = []
    for inner in nest.nests:
        _unroll(inner)
        if inner.unrollable and inner.extent > 0 and inner.extent * _unroll_cost(inner) <= _FULL_UNROLL:
            inner.repeat(inner.extent, inner.loop)
            inner.repeat(inner.copies, -1)
            nest.statements += inner.statements
            kept += inner.nests
        else:
            kept.append(inner)
    nest.nests = kept


def _unroll_cost(nest: UnrolledNest) -> int:
    """An iteration as LLVM counts it: what does not depend on the loop has been moved out of it by then."""
    own = sum(term.total for term in nest.terms if term.loops & nest.loop)
    below = sum(copies * (inner.instructions + _LOOP_OVERHEAD) for each in nest.nests for copies, inner in each.every())
    return own + below + _LOOP_OVERHEAD


def _gathers(nest: UnrolledNest) -> int:
    return sum(term.count * term.lanes**2 for term in nest.terms if term.kind is InstructionKind.GATHER)


def _gathered_sums(nest: UnrolledNest) -> float:
    total = 0.0
    for statement in nest.statements:
        vectors = statement.store.count
        for term in statement.terms:
            if term.kind is InstructionKind.GATHER and term.count > vectors > 0:
                total += vectors * (term.lanes * term.count / vectors) ** 2
    return total


def _scalar_stores(nest: UnrolledNest) -> int:
    if nest.nests or any(term.lanes > 1 for term in nest.terms):
        return 0
    return sum(term.count for term in nest.terms if term.kind is InstructionKind.STORE and _in_loop(nest, term.loops))


def _vector_stores(nest: UnrolledNest) -> int:
    stores = (term for term in nest.terms if term.kind is InstructionKind.STORE and term.lanes > 1)
    return sum(term.total for term in stores if nest.loop and term.loops & nest.loop)


def _in_loop(nest: UnrolledNest, loops: int) -> bool:
    """Whether it is done in every iteration: what stays the same, such as a sum, is kept in a register."""
    return not nest.loop or bool(loops & nest.loop)
