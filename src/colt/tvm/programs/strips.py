"""Rows side by side: what a row does one after the other, such as a prefix sum, done for several rows in turn.

Each step of such a row waits for the one before. Steps of other rows need not wait, so a processor takes several rows
in the time of one. Where rows next to each other are so in memory, too, as the columns of a sum down a matrix are, they
are taken in long strips, which vectors and the memory like best. The rows are independent, so the loop over some of
them may go inside whatever a row does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm.tirx import For, ForKind, IfThenElse, IntImm, SeqStmt, decl_buffer

from colt.tvm.programs.accesses import Accesses
from colt.tvm.programs.naming import elsewhere, replaced, substituted
from colt.tvm.programs.nests import around, chain, mentions, sequence
from colt.tvm.programs.peeling import with_own_loops
from colt.tvm.programs.walks import walk

APART = ((64, 8), (16, 4))
"""From so many rows on, so many are taken side by side if they lie apart in memory."""
LANES = 16
"""Strips of rows that are next to each other hold whole vectors of so many."""
LONG, SHORT = 256, 64
"""The longest strip of rows that are next to each other, and one that is not cut further for the threads."""
JOBS = 4
"""Strips that are left for the threads where they can be longer than the shortest."""


@dataclass(frozen=True, slots=True)
class Strips:
    """Rows, ``size`` of them side by side, inside all that a row does. ``apart``: they lie apart in memory."""

    row: Any
    rows: int
    size: int
    apart: bool
    loop: Any
    """The loop over the strips."""
    rest_loop: Any
    """The loop over the rows that are left over."""

    @classmethod
    def of(cls, body: Any, loop: Any) -> Strips | None:
        """The strips of the loop's turns; ``None`` if they gain nothing."""
        row, rows = loop.loop_var, int(loop.extent)
        accesses = Accesses.of(body)
        steps = [] if accesses is None else _steps(body, row, accesses)
        if accesses is None or not steps:
            return None
        apart = not _next_to_each_other(accesses, row)
        if not apart and not any(_moves(accesses, step) for step in steps):
            return None  # each row adds up to what it keeps: vectors across the rows do that as well
        size = next((size for least, size in APART if rows >= least), 1) if apart else _length(rows)
        if size == 1:
            return None
        strips = with_var(loop, tvm.ir.Var(f"{row.name}_strips", row.ty), rows // size)
        rest = with_var(loop, tvm.ir.Var(f"{row.name}_rest", row.ty), rows % size)
        return cls(row, rows, size, apart, strips, rest)

    @property
    def left(self) -> int:
        """How many rows are left over."""
        return self.rows % self.size

    def side_by_side(self, body: Any, private: Sequence[Any]) -> tuple[Any, list[Any]]:
        """What the rows of a strip do, and the buffers in place of ``private`` ones, which each row has for itself."""
        row, size = self.row, IntImm(str(self.row.ty), self.size)
        wide = {one: decl_buffer([self.size, *one.ty.shape], str(one.ty.dtype), str(one.name)) for one in private}

        def place(stmt: Any) -> Any:
            turn, vector = (tvm.ir.Var(f"{row.name}_{name}", row.ty) for name in ("strip", "lane"))
            zero, lanes = IntImm(str(row.ty), 0), IntImm(str(row.ty), LANES)
            vectors = not self.apart and not chain(stmt)
            place = turn * lanes + vector if vectors else turn
            own = substituted(
                replaced(stmt, {one: elsewhere(new, [place]) for one, new in wide.items()}),
                {row: self.loop.loop_var * size + place},
            )
            if vectors:
                own = For(vector, zero, lanes, ForKind.VECTORIZED, own)
                return For(turn, zero, IntImm(str(row.ty), self.size // LANES), ForKind.SERIAL, own)
            return For(turn, zero, size, ForKind.SERIAL if chain(stmt) else ForKind.UNROLLED, own)

        return _inside(body, row, place), list(wide.values())

    def rest(self, body: Any, private: Sequence[Any]) -> tuple[Any, list[Any]]:
        """What a row does that is left over, and its buffers."""
        begin = IntImm(str(self.row.ty), self.rows - self.left)
        fresh = {one: decl_buffer(one.ty.shape, str(one.ty.dtype), str(one.name)) for one in private}
        changed = {**fresh, self.row: begin + self.rest_loop.loop_var}
        return with_own_loops(substituted(body, changed)), list(fresh.values())


def with_var(loop: Any, var: Any, extent: int | None = None) -> Any:
    """The loop with another variable, and another extent if one is given."""
    count = loop.extent if extent is None else IntImm(str(var.ty), extent)
    return For(var, IntImm(str(var.ty), 0), count, ForKind.SERIAL, loop.body)


def _steps(body: Any, row: Any, accesses: Accesses) -> list[Any]:
    """The loops whose turns need the ones before, and are as many in each row."""
    loops: list[Any] = []
    others: list[Any] = []
    rules = ((For, loops.append), (tvm.tirx.Bind, others.append), (tvm.tirx.Evaluate, others.append))
    walk(body, *rules)
    if others:
        return []
    return [one for one in loops if not mentions(one.extent, row) and not accesses.told_apart_by(one, [row])]


def _next_to_each_other(accesses: Accesses, row: Any) -> bool:
    """Whether rows next to each other write elements next to each other."""
    for buffer in accesses.written:
        for indices in accesses.indices[buffer]:
            terms = list(tvm.sym.detect_linear_equation(indices[-1], [row]))
            if terms and isinstance(terms[0], IntImm) and abs(int(terms[0])) == 1:
                return True
    return False


def _moves(accesses: Accesses, step: Any) -> bool:
    """Whether each turn writes an element of its own."""
    written = [index for buffer in accesses.written for indices in accesses.indices[buffer] for index in indices]
    return any(mentions(index, step.loop_var) for index in written)


def _length(rows: int) -> int:
    """The length of strips of rows that are next to each other; 1 if none divides them well."""
    lengths = [size for size in range(LANES, LONG + 1, LANES) if rows % size == 0 and rows // size > 1]
    for_jobs = [size for size in lengths if rows // size >= JOBS and size >= SHORT]
    return max(for_jobs or [size for size in lengths if size <= SHORT], default=1)


def _inside(stmt: Any, row: Any, place: Any) -> Any:
    """The loop over the rows inside of all that does not depend on the row."""
    if isinstance(stmt, SeqStmt):
        return sequence([_inside(one, row, place) for one in stmt.seq])
    if isinstance(stmt, For) and not mentions(stmt.extent, row) and not mentions(stmt.min, row):
        return around(stmt, _inside(stmt.body, row, place))
    if isinstance(stmt, IfThenElse) and stmt.else_case is None and not mentions(stmt.condition, row):
        return IfThenElse(stmt.condition, _inside(stmt.then_case, row, place), None)
    return place(stmt)
