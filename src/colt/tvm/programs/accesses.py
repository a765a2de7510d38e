"""Which elements a nest of plain statements touches, and which loops are therefore independent.

Turns of a loop may run in any order, or at once, if different turns touch different elements of everything that the
nest writes. That is proved dimension by dimension: an index ``a * i + r`` tells the turns of ``i`` apart if what ``r``
adds never bridges the distance between two of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm.tirx import BufferStore, BufferType, For, IntImm

from colt.tvm.programs.naming import substituted
from colt.tvm.programs.walks import walk
from colt.tvm.space.variables import variables

_HUGE = (1 << 31) - 1
"""What is bounded by no less is not bounded."""


@dataclass(frozen=True, slots=True)
class Accesses:
    """The elements that a nest touches, by buffer, and which buffers it writes."""

    indices: dict[Any, list[list[Any]]]
    written: list[Any]
    analyzer: Any
    """Knows how far the loops of the nest run."""

    @classmethod
    def of(cls, stmt: Any, private: Sequence[Any] = (), widest: bool = True) -> Accesses | None:
        """All accesses but those of ``private`` buffers; ``None`` if a buffer is used in any other way.

        ``widest``: loops that run to a variable end are taken to run as far as they ever do.
        """
        found: dict[Any, list[list[Any]]] = {}
        written: list[Any] = []
        seen: Counter[Any] = Counter()
        analyzer = _analyzer(stmt, widest)

        def add(buffer: Any, indices: Any) -> None:
            found.setdefault(buffer, []).append([analyzer.simplify(index) for index in indices])

        def store(node: Any) -> None:
            add(node.buffer, node.indices)
            if node.buffer not in written:
                written.append(node.buffer)

        def load(node: Any) -> None:
            add(node.source, node.indices)

        def occurrence(var: Any) -> None:
            seen[var] += isinstance(var.ty, BufferType) or var in found

        def call(node: Any) -> None:
            if getattr(node.op, "name", "") == "tirx.address_of":
                escaped.append(node)

        escaped: list[Any] = []
        rules = ((BufferStore, store), (tvm.ir.TensorLoad, load), (tvm.ir.Call, call), (tvm.ir.Var, occurrence))
        walk(stmt, *rules, pre=True)
        plain = all(count == len(found.get(buffer, ())) for buffer, count in seen.items())
        if not plain or escaped:
            return None
        hidden = set(private)
        shared = {buffer: indices for buffer, indices in found.items() if buffer not in hidden}
        return cls(shared, [buffer for buffer in written if buffer not in hidden], analyzer)

    def separated_by(self, loop_var: Any) -> bool:
        """Whether each turn of the loop has an element of its own in one dimension of everything that is written."""
        return bool(self.written) and all(self.dimension(buffer, loop_var) is not None for buffer in self.written)

    def dimension(self, buffer: Any, loop_var: Any) -> int | None:
        """The dimension of which each turn of the loop touches one element of its own."""
        accesses = self.indices[buffer]
        for number in range(len(accesses[0])):
            if all(indices[number].same_as(loop_var) for indices in accesses):
                return number
        return None

    def told_apart_by(self, loop: Any, fixed: Iterable[Any] = ()) -> bool:
        """Whether different turns of the loop touch different elements of everything that is written, whatever the
        other loops do. ``fixed``: variables that have one value."""
        return bool(self.written) and all(self.tells_apart(buffer, loop, fixed) for buffer in self.written)

    def tells_apart(self, buffer: Any, loop: Any, fixed: Iterable[Any] = ()) -> bool:
        """Whether different turns of the loop touch different elements of this buffer."""
        if not isinstance(loop.extent, IntImm):
            return False
        if int(loop.extent) == 1:
            return True
        accesses = self.indices[buffer]
        dimensions = ([indices[number] for indices in accesses] for number in range(len(accesses[0])))
        return any(self._distinct(one, loop, set(fixed)) for one in dimensions)

    def _distinct(self, indices: Sequence[Any], loop: Any, fixed: set[Any]) -> bool:
        """Whether no index of one turn equals any of another turn."""
        steps, rests = set[int](), []
        for index in indices:
            terms = list(tvm.sym.detect_linear_equation(index, [loop.loop_var]))
            if not terms or not isinstance(terms[0], IntImm) or self._changes(terms[1]):
                return False
            steps.add(int(terms[0]))
            rests.append(terms[1])
        if len(steps) != 1 or steps == {0}:
            return False
        step, turns = steps.pop(), int(loop.extent)
        free = {var: IntImm(str(var.ty), 0) for var in scalars(rests[0]) if var not in fixed}
        ranges = [self._range(rest - substituted(rests[0], free), fixed) for rest in rests]
        if any(one is None for one in ranges):
            return False
        known = [one for one in ranges if one is not None]
        if all(low == high for low, high in known):
            return not any(_meet(step, turns, one[0] - other[0]) for one in known for other in known)
        return max(high for _, high in known) - min(low for low, _ in known) < abs(step)

    def _changes(self, value: Any) -> bool:
        """Whether the value is read from what the nest writes."""
        return any(var in self.written for var in variables(value))

    def _range(self, value: Any, fixed: set[Any]) -> tuple[int, int] | None:
        """The least and the greatest value; ``None`` if they are not known, or depend on what is fixed."""
        value = self.analyzer.simplify(value)
        if any(var in fixed for var in scalars(value)):
            return None
        bound = self.analyzer.const_int_bound(value)
        low, high = int(bound.min_value), int(bound.max_value)
        return (low, high) if low > -_HUGE and high < _HUGE else None


def scalars(expression: Any) -> list[Any]:
    """The variables of an expression that are no buffers."""
    return [var for var in variables(expression) if not isinstance(var.ty, BufferType)]


def _meet(step: int, turns: int, distance: int) -> bool:
    """Whether ``distance`` is that of two different turns."""
    return distance != 0 and distance % step == 0 and abs(distance // step) < turns


def _analyzer(stmt: Any, widest: bool) -> Any:
    """Knows the ranges of the statement's loops."""
    analyzer = tvm.sym.Analyzer()

    def bind(loop: Any) -> None:
        if not isinstance(loop.min, IntImm):
            return
        constant = isinstance(loop.extent, IntImm)
        most = loop.extent if constant else _most(analyzer, loop.extent) if widest else None
        if most is not None:
            analyzer.bind(loop.loop_var, tvm.ir.Range.from_min_extent(loop.min, most))

    walk(stmt, (For, bind), pre=True)
    return analyzer


def _most(analyzer: Any, extent: Any) -> Any:
    most = int(analyzer.const_int_bound(extent).max_value)
    return IntImm(str(extent.ty), most) if 0 < most < _HUGE else None
