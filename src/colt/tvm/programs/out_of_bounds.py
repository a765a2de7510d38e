"""Programs that are certain to leave their own tensors are refused before anything runs.

What a program reads there is whatever lies beside the tensor in memory, so no two kernels agree on it, and the fault
would be looked for in the schedules. A program is refused only with a proof: one iteration that is certain to run, in
which the index is certain to be outside. What depends on data, or is too involved to be decided, is accepted.
(TVM's own ``OOBChecker`` asks for the opposite proof, that an index stays inside, and knows no guarded reads.)
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from tvm import tirx
from tvm.tirx import IntImm, PrimFunc

from colt.errors import InputError
from colt.tvm.programs.accesses import scalars
from colt.tvm.programs.doubts import Doubt, doubts
from colt.tvm.programs.expressions import Wording
from colt.tvm.programs.witness import ANYWHERE, UNDECIDED, Ends, at, bounded, ends_of, witness
from colt.util.text import shown

_FAR = 1 << 62


def require_in_bounds(func: PrimFunc, name: str) -> None:
    """Check that ``func`` (called ``name`` in messages) does not certainly read or write outside of its tensors, and
    that no axis of its blocks certainly leaves its domain.

    Raises
    ------
    InputError
        It does; the message says where, and in which iteration.
    """
    for doubt in doubts(func):
        low, high = ends = _ends(doubt)
        if doubt.accepted[0] <= low and high <= doubt.accepted[1]:  # as in padding: dear to find out by searching
            continue
        point = witness(doubt.loops, [_outside(doubt), *doubt.conditions])
        if point is not None:
            raise InputError(shown(_sentence(doubt, point, ends, name)))


def _outside(doubt: Doubt) -> Any:
    """The condition that the value is outside."""
    value, (low, high) = doubt.value, doubt.accepted
    if str(value.ty) != "int32" or high >= 1 << 31:
        value = value.astype("int64")
    number = str(value.ty)
    return tirx.Or(tirx.LT(value, IntImm(number, low)), tirx.GT(value, IntImm(number, high)))


# ---- words ----


def _sentence(doubt: Doubt, point: Mapping[Any, int], ends: Ends, name: str) -> str:
    words = Wording({one: str(one.name).removeprefix("v_") for index in doubt.indices for one in scalars(index)})
    what, low, high = words.text(doubt.index), *doubt.accepted
    target = str(doubt.target.name)
    place = f"in block {doubt.block}, " if doubt.block not in ("", "root") else ""
    where = _where(doubt, point, ends, words, what)
    if doubt.verb == "takes":
        return (
            f"{name} leaves the domain of an axis: {place}axis {target} is bound to {what}, which {where}; accepted "
            f"are values in its domain, {low} to {high}, so enlarge that, or keep such iterations out by T.where"
        )
    element = f"{target}[{words.listed(doubt.indices)}]"
    dimension = f" in dimension {doubt.dimension}" if len(doubt.indices) > 1 else ""
    guard = "T.if_then_else around the read" if doubt.verb == "reads" else "T.where, or an if, around the write"
    return (
        f"{name} {doubt.verb} outside of {target}: {place}the index {what} of {element} {where}; accepted are {low} to "
        f"{high}, as {target} has {high + 1} elements{dimension}, so enlarge it, shorten the loops, or have such "
        f"iterations kept out by {guard}"
    )


def _where(doubt: Doubt, point: Mapping[Any, int], ends: Ends, words: Wording, what: str) -> str:
    """Between which the index is, what it is in the iteration, and which that is."""
    value = at(doubt.value, point)
    known = {words.text(axis): at(axis_value, point) for axis, axis_value in doubt.axes.items()}
    iteration = ", ".join(f"{axis} = {number}" for axis, number in known.items() if number is not None)
    found = [f"lies within {ends[0]} to {ends[1]}"] if -_FAR < ends[0] < ends[1] < _FAR else []
    if value is not None and what != str(value):
        found.append(f"is {value}")
    text = " and ".join(found) or "lies outside"
    return f"{text} at {iteration}" if value is not None and iteration and what not in known else text


def _ends(doubt: Doubt) -> Ends:
    """Between which the index is wherever its conditions hold."""
    analyzer = bounded(doubt.loops)
    try:
        with ExitStack() as under:
            for condition in doubt.conditions:
                under.enter_context(analyzer.constraint_scope(condition))
            low, high = ends_of(analyzer, doubt.value)
    except UNDECIDED:
        return ANYWHERE
    return low, high
