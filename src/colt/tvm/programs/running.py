"""One long running sum: ``B[k + 1] = B[k] + A[k + 1]``, without rows that could run in parallel.

It is cut into pieces. Each piece is summed by itself; what all pieces before it have come to is where it begins. So
the terms are read twice, but no piece waits for another. Only the order of the terms changes, as in every tiled sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm
from tvm import tirx
from tvm.tirx import BufferStore, For, ForKind, IntImm, decl_buffer

from colt.tvm.programs.accumulation import ANY
from colt.tvm.programs.naming import substituted
from colt.tvm.programs.nests import is_plain_loop, mentions, sequence, statements

PIECES, SHORT = 64, 8192
"""How many pieces there are, and how many terms are too few for them."""


@dataclass(frozen=True, slots=True)
class Running:
    """The statements that the sum becomes, in order, and their buffers."""

    parts: list[Any]
    buffers: list[Any]

    @classmethod
    def of(cls, row: Any) -> Running | None:
        """The parts, in order; ``None`` if the statement is no such sum."""
        found = statements(row)
        if len(found) != 2 or not isinstance(found[0], BufferStore) or not isinstance(found[1], For):
            return None
        first, loop = found
        store = loop.body
        if not is_plain_loop(loop) or int(loop.extent) < SHORT or not isinstance(store, BufferStore):
            return None
        term = _term(first, loop, store)
        return None if term is None else cls._cut(first, loop, store, term)

    @classmethod
    def _cut(cls, first: Any, loop: Any, store: Any, term: Any) -> Running:
        buffer, combine, dtype = store.buffer, type(store.value), str(loop.loop_var.ty)
        length = int(loop.extent) // PIECES
        sums, begins = (
            decl_buffer([PIECES], str(buffer.ty.dtype), f"{buffer.name}_{word}") for word in ("sums", "begins")
        )

        def at(node: Any, turn: Any) -> Any:
            return substituted(node, {loop.loop_var: turn})

        def step(turn: Any, before: Any) -> Any:
            return BufferStore(buffer, combine(before, at(term, turn)), [at(one, turn) for one in store.indices])

        def present(turn: Any) -> Any:
            """The element that the turn of the loop goes on from."""
            return tirx.BufferLoad(buffer, [at(one, turn - IntImm(dtype, 1)) for one in store.indices])

        present_first = tirx.BufferLoad(buffer, first.indices)

        def looped(name: str, extent: int, body: Any) -> Any:
            var = tvm.ir.Var(name, loop.loop_var.ty)
            return For(var, IntImm(dtype, 0), IntImm(dtype, extent), ForKind.SERIAL, body(var))

        size, nothing = IntImm(dtype, length), ANY[combine](str(buffer.ty.dtype))

        def summed(piece: Any) -> Any:
            own = tirx.BufferLoad(sums, [piece])
            add = looped("k", length, lambda k: BufferStore(sums, combine(own, at(term, piece * size + k)), [piece]))
            return sequence([BufferStore(sums, nothing, [piece]), add])

        def begun(piece: Any) -> Any:
            before = combine(tirx.BufferLoad(begins, [piece]), tirx.BufferLoad(sums, [piece]))
            return BufferStore(begins, before, [piece + IntImm(dtype, 1)])

        def finished(piece: Any) -> Any:
            start, one = piece * size, IntImm(dtype, 1)
            rest = looped("k", length - 1, lambda k: step(start + k + one, present(start + k + one)))
            return sequence([step(start, tirx.BufferLoad(begins, [piece])), rest])

        zero, left = IntImm(dtype, 0), int(loop.extent) % PIECES
        last = IntImm(dtype, length * PIECES)
        parts = [
            looped("piece", PIECES, summed),
            sequence([first, BufferStore(begins, present_first, [zero]), looped("piece", PIECES - 1, begun)]),
            looped("piece", PIECES, finished),
        ]
        if left:
            parts.append(looped("k", left, lambda k: step(last + k, present(last + k))))
        return cls(parts, [sums, begins])


def _term(first: Any, loop: Any, store: Any) -> Any:
    """What each turn adds to the element before; ``None`` if it does anything else."""
    if type(store.value) not in ANY or not first.buffer.same_as(store.buffer) or mentions(first.value, store.buffer):
        return None
    analyzer, one = tvm.sym.Analyzer(), IntImm(str(loop.loop_var.ty), 1)
    before = [substituted(index, {loop.loop_var: loop.loop_var - one}) for index in store.indices]
    start = [substituted(index, {loop.loop_var: -one}) for index in store.indices]
    if not all(analyzer.can_prove_equal(a, b) for a, b in zip(first.indices, start, strict=True)):
        return None
    for own, term in ((store.value.a, store.value.b), (store.value.b, store.value.a)):
        if isinstance(own, tvm.ir.TensorLoad) and own.source.same_as(store.buffer) and not mentions(term, store.buffer):
            same = all(analyzer.can_prove_equal(a, b) for a, b in zip(own.indices, before, strict=True))
            steps = list(tvm.sym.detect_linear_equation(analyzer.simplify(store.indices[-1]), [loop.loop_var]))
            if same and steps and isinstance(steps[0], IntImm) and abs(int(steps[0])) == 1:
                return term
    return None
