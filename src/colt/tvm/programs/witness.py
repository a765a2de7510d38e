"""An iteration of some loops at which conditions are certain to hold: the proof that something happens.

All iterations are a box. A box in which a condition is certain to fail is dropped, and one in which all are certain to
hold gives the iteration. Any other is halved. TVM's analyzer bounds the conditions inside a box. What is found is
worked out once more with numbers before it is believed, so a weak bound costs an answer, never a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.tirx import IntImm

from colt.tvm.programs.naming import substituted
from colt.tvm.programs.walks import walk

Ends = tuple[int, int]
"""The least and the greatest value."""
ANYWHERE: Ends = (-(1 << 63), (1 << 63) - 1)
BOXES = 300
"""So many are looked at. Ends of loops are found in twice as many as their lengths have digits."""
UNDECIDED = (tvm.error.InternalError, OverflowError, ValueError)
"""What TVM raises on a division by zero, and on numbers that are too large."""
_PLAIN = ("int32", "int64")


def witness(ranges: Mapping[Any, Ends], conditions: Sequence[Any]) -> dict[Any, int] | None:
    """A value for each variable of ``ranges``, both ends of which are included, such that all conditions are true;
    ``None`` if none was found.

    What depends on the contents of a buffer is true only if it is so whatever they are.
    """
    try:
        point = _search(ranges, _connected([part for one in conditions for part in _parts(_condition(one))]))
        return point if point is not None and all(_is_true(one, point) for one in conditions) else None
    except UNDECIDED:
        return None


def bounded(ranges: Mapping[Any, Ends]) -> Any:
    """An analyzer that knows the ends of variables. They can be set anew by :func:`set_ends`."""
    analyzer = tvm.sym.Analyzer()
    for variable, ends in ranges.items():
        set_ends(analyzer, variable, ends)
    return analyzer


def set_ends(analyzer: Any, variable: Any, ends: Ends) -> None:
    """Have :func:`ends_of` take the variable as being within these ends, whatever they were before."""
    analyzer.update(variable, tvm.sym.ConstIntBound(*ends), True)


def ends_of(analyzer: Any, value: Any) -> Ends:
    """Between which the value certainly is."""
    try:
        bound = analyzer.const_int_bound(value)
    except UNDECIDED:
        return ANYWHERE
    return int(bound.min_value), int(bound.max_value)


def at(value: Any, point: Mapping[Any, int]) -> int | None:
    """The value where variables have these values; ``None`` if that is not known before the program runs, or is made of
    floats, which TVM folds in another precision than the program has."""
    if _has_floats(value):
        return None
    numbers = {variable: IntImm(str(variable.ty), number) for variable, number in point.items()}
    found = tvm.sym.Analyzer().simplify(substituted(value, numbers))
    return int(found) if isinstance(found, IntImm) else None


def _has_floats(value: Any) -> bool:
    """Whether it computes with floats; what is read from memory has no known value anyway."""
    found: list[Any] = []

    def look(node: Any) -> None:
        if "float" in str(getattr(node, "ty", "")):
            found.append(node)

    rules = ((tvm.ir.TensorLoad, lambda load: tvm_ffi.WalkResult.SKIP), (tvm.ir.Expr, look))
    walk(value, *rules, pre=True)
    return bool(found)


def called(call: Any) -> str:
    """The name of what is called, without that of the dialect."""
    return str(getattr(call.op, "name", "")).rpartition(".")[2]


# ---- conditions ----


@dataclass(frozen=True, slots=True)
class _AtMostZero:
    """A difference is not above zero."""

    difference: Any
    condition: Any
    variables: tuple[Any, ...]

    def holds(self, box: _Box) -> bool | None:
        """``None`` if only a smaller box can tell."""
        low, high = ends_of(box.analyzer, self.difference)
        if high <= 0 or low > 0:
            return high <= 0
        return box.decide(self.condition, self.variables)


@dataclass(frozen=True, slots=True)
class _Fact:
    """Any other condition."""

    condition: Any
    variables: tuple[Any, ...]

    def holds(self, box: _Box) -> bool | None:
        return box.decide(self.condition, self.variables)


@dataclass(frozen=True, slots=True)
class _Several:
    """All of them hold, or any of them."""

    parts: tuple[Any, ...]
    all: bool
    variables: tuple[Any, ...]

    def holds(self, box: _Box) -> bool | None:
        found = [part.holds(box) for part in self.parts]
        if (not self.all) in found:
            return not self.all
        return None if None in found else self.all


@dataclass(frozen=True, slots=True)
class _Box:
    ends: Mapping[Any, Ends]
    analyzer: Any

    def decide(self, condition: Any, variables: Iterable[Any]) -> bool | None:
        """Whether it is true in the one iteration that there is; ``None`` if there are several."""
        if any(low < high for low, high in map(self.ends.__getitem__, variables)):
            return None
        return _is_true(condition, {variable: self.ends[variable][0] for variable in variables})

    def halves(self, variables: Iterable[Any]) -> list[Mapping[Any, Ends]]:
        """The box cut along the longest of these sides."""
        longest = max(variables, key=lambda variable: self.ends[variable][1] - self.ends[variable][0])
        low, high = self.ends[longest]
        middle = (low + high) // 2
        return [{**self.ends, longest: (low, middle)}, {**self.ends, longest: (middle + 1, high)}]


def _is_true(condition: Any, point: Mapping[Any, int]) -> bool:
    return bool(at(condition, point))


_OPPOSITES = {
    tirx.LT: tirx.GE,
    tirx.GE: tirx.LT,
    tirx.LE: tirx.GT,
    tirx.GT: tirx.LE,
    tirx.EQ: tirx.NE,
    tirx.NE: tirx.EQ,
}


def _condition(node: Any, negated: bool = False) -> Any:
    """The condition, or its opposite, as this module tells it."""
    if isinstance(node, tirx.Not):
        return _condition(node.a, not negated)
    if isinstance(node, tirx.And | tirx.Or):
        parts = (_condition(node.a, negated), _condition(node.b, negated))
        return _several(parts, isinstance(node, tirx.And) != negated)
    if isinstance(node, tvm.ir.Call) and called(node) == "likely":
        return _condition(node.args[0], negated)
    kind = type(node)
    if kind in _OPPOSITES and str(node.a.ty) in _PLAIN:
        return _comparison(_OPPOSITES[kind] if negated else kind, node.a, node.b)
    return _Fact(tirx.Not(node) if negated else node, _free(node))


def _comparison(kind: Any, a: Any, b: Any) -> Any:
    if kind in (tirx.EQ, tirx.NE):
        sides = (tirx.LE, tirx.GE) if kind is tirx.EQ else (tirx.LT, tirx.GT)
        return _several(tuple(_comparison(side, a, b) for side in sides), kind is tirx.EQ)
    condition = kind(a, b)
    if kind in (tirx.GE, tirx.GT):
        a, b = b, a
    difference = a - b if kind in (tirx.LE, tirx.GE) else a - b + 1
    return _AtMostZero(tvm.sym.Analyzer().simplify(difference), condition, _free(condition))


def _several(parts: tuple[Any, ...], all_: bool) -> _Several:
    return _Several(parts, all_, tuple(dict.fromkeys(one for part in parts for one in part.variables)))


def _free(node: Any) -> tuple[Any, ...]:
    """The variables that decide the value, but for those that choose an element of a buffer."""
    found: dict[Any, None] = {}
    rules = (
        (tvm.ir.TensorLoad, lambda load: tvm_ffi.WalkResult.SKIP),
        (tvm.ir.Var, lambda variable: found.setdefault(variable)),
    )
    walk(node, *rules, pre=True)
    return tuple(found)


def _parts(condition: Any) -> list[Any]:
    """What has to hold for the condition to hold, one by one."""
    if isinstance(condition, _Several) and condition.all:
        return [part for one in condition.parts for part in _parts(one)]
    return [condition]


def _connected(conditions: Sequence[Any]) -> list[Any]:
    """Those first that share a variable with the first one: what they exclude is excluded before others are tried."""
    near = set(conditions[0].variables) if conditions else set()
    return sorted(conditions, key=lambda one: near.isdisjoint(one.variables))


# ---- search ----


def _search(ranges: Mapping[Any, Ends], conditions: Sequence[Any]) -> dict[Any, int] | None:
    used = {variable for one in conditions for variable in one.variables}
    if not used <= ranges.keys():
        return None
    boxes: list[Mapping[Any, Ends]] = [{variable: ranges[variable] for variable in ranges if variable in used}]
    for _ in range(BOXES):
        if not boxes:
            return None
        ends = boxes.pop()
        box = _Box(ends, bounded(ends))
        open_ = _undecided(box, conditions)
        if open_ is None:
            continue
        if not open_:
            return {variable: ends.get(variable, whole)[0] for variable, whole in ranges.items()}
        boxes += box.halves(open_[0].variables)
    return None


def _undecided(box: _Box, conditions: Sequence[Any]) -> list[Any] | None:
    """The conditions that hold in some iterations of the box, perhaps; ``None`` if one holds in none."""
    found = []
    for one in conditions:
        truth = one.holds(box)
        if truth is False:
            return None
        if truth is None:
            found.append(one)
    return found
