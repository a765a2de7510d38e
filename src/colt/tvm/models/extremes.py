"""Largest numbers of windows, and where the largest or smallest numbers are, as they are with infinities among them.

TVM begins with the least finite number, so that windows of nothing but -inf are not -inf, and nothing but -inf has its
largest number at -1. Here they begin with -inf. Where numbers are equal, the first of them counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

from tvm import te, tirx
from tvm.tirx import IntImm

Rule = Callable[[Any, Any], Any]
_POOLS = tuple(f"relax.nn.max_pool{axes}d" for axes in (1, 2, 3))
_LETTER = re.compile(r"\d*([A-Za-z])")
_SPATIAL = "DHW"
_ATTRIBUTES = {"schedule_rule": "meta_schedule.pool_max"}
"""Those of TVM's own block."""


def rules() -> dict[str, Rule]:
    """What to make of these operators, for TVM's ``LegalizeOps``."""
    return {
        **dict.fromkeys(_POOLS, _pooled),
        "relax.argmax": partial(_place, largest=True),
        "relax.argmin": partial(_place, largest=False),
    }


def _least(dtype: Any) -> Any:
    """What no number is less than."""
    return tirx.const(-inf, dtype) if "float" in str(dtype) else tirx.min_value(dtype)


def _most(dtype: Any) -> Any:
    """What no number is more than."""
    return tirx.const(inf, dtype) if "float" in str(dtype) else tirx.max_value(dtype)


_LARGEST = te.comm_reducer(lambda one, other: tirx.Max(one, other), _least, name="max")


def _pooled(builder: Any, call: Any) -> Any:
    attributes = call.attrs
    if attributes.out_layout != attributes.layout:
        return call
    letters = _LETTER.findall(str(attributes.layout))
    taps, steps, dilation, padding = (
        [int(one) for one in numbers]
        for numbers in (attributes.pool_size, attributes.strides, attributes.dilation, attributes.padding)
    )
    places = [letters.index(letter) for letter in _SPATIAL if letter in letters]
    shape, rounded_up = list(call.ty.shape), bool(attributes.ceil_mode)

    def computed(data: Any) -> Any:
        windows = {
            axis: _Window(data.shape[axis], shape[axis], tap, step, apart, before, after, rounded_up)
            for axis, tap, step, apart, before, after in zip(
                places, taps, steps, dilation, padding[: len(places)], padding[len(places) :], strict=True
            )
        }
        padded = _padded(data, windows)
        inner = {axis: te.reduce_axis((0, one.taps), name=f"k{letters[axis].lower()}") for axis, one in windows.items()}

        def largest(*at: Any) -> Any:
            met = {axis: at[axis] * one.step + inner[axis] * one.dilation for axis, one in windows.items()}
            return _LARGEST(padded(*(met.get(axis, index) for axis, index in enumerate(at))), axis=list(inner.values()))

        return te.compute(shape, largest, name="pool_max", attrs=_ATTRIBUTES)

    name = str(call.op.name).rpartition(".")[2]
    return builder.call_te(computed, call.args[0], primfunc_name_hint=name)


class _Window:
    """The windows along one axis: of so many ``taps``, ``step`` apart, the first of them ``before`` the data begins."""

    def __init__(
        self, extent: Any, results: Any, taps: int, step: int, dilation: int, before: int, after: int, rounded_up: bool
    ) -> None:
        self.extent, self.taps, self.step, self.dilation, self.before = extent, taps, step, dilation, before
        self.reach = (results - 1) * step + (taps - 1) * dilation + 1
        """How far the windows go, from the beginning of the first one."""
        known = isinstance(extent, IntImm) and isinstance(results, IntImm)
        over = int(self.reach) > before + int(extent) if known else after > 0 or rounded_up
        self.is_within = before == 0 and not over
        """Whether all of them lie in the data."""


def _padded(data: Any, windows: dict[int, _Window]) -> Any:
    """The data with -inf around it, as far as windows go beyond."""
    beyond = {axis: one for axis, one in windows.items() if not one.is_within}
    if not beyond:
        return data
    shape = [beyond[axis].reach if axis in beyond else extent for axis, extent in enumerate(data.shape)]

    def element(*at: Any) -> Any:
        conditions = [at[axis] >= one.before for axis, one in beyond.items() if one.before]
        conditions += [at[axis] < one.before + one.extent for axis, one in beyond.items()]
        inside = [at[axis] - beyond[axis].before if axis in beyond else at[axis] for axis in range(len(at))]
        return tirx.if_then_else(tirx.all(*conditions), data(*inside), _least(data.dtype))

    return te.compute(shape, element, name="pad_temp")


def _place(builder: Any, call: Any, *, largest: bool) -> Any:
    axis, kept, index = call.attrs.axis, bool(call.attrs.keepdims), str(call.ty.dtype)

    def computed(data: Any) -> Any:
        rank = len(data.shape)
        over = list(range(rank)) if axis is None else [int(axis) % rank]
        results = [axis for axis in range(rank) if axis not in over]
        inner = {axis: te.reduce_axis((0, data.shape[axis]), name=f"k{axis}") for axis in over}
        number = tirx.const(0, index)
        for axis_of, each in inner.items():
            number = number * data.shape[axis_of].astype(index) + each.var.astype(index)

        def first(*at: Any) -> Any:
            met = dict(zip(results, at, strict=True)) | inner
            return _FIRST[largest]((number, data(*(met[axis] for axis in range(rank)))), axis=list(inner.values()))

        shape = [data.shape[axis] for axis in results]
        places, _ = te.compute(shape, first, name="place")
        if not kept:
            return te.compute(shape, lambda *at: places(*at), name="index")
        wide = [1 if axis in over else data.shape[axis] for axis in range(rank)]
        return te.compute(wide, lambda *at: places(*(at[axis] for axis in results)), name="index")

    return builder.call_te(computed, call.args[0], primfunc_name_hint=str(call.op.name).rpartition(".")[2])


def _first(largest: bool) -> Any:
    """A reducer of pairs of an index and a number."""

    def combined(one: Any, other: Any) -> Any:
        (place, number), (other_place, other_number) = one, other
        ahead = number > other_number if largest else number < other_number
        first = tirx.any(ahead, tirx.all(tirx.EQ(number, other_number), place < other_place))
        return tirx.Select(first, place, other_place), tirx.Select(ahead, number, other_number)

    def nothing(index: Any, dtype: Any) -> Any:
        return tirx.max_value(index), _least(dtype) if largest else _most(dtype)

    return te.comm_reducer(combined, nothing, name="argmax" if largest else "argmin")


_FIRST = {largest: _first(largest) for largest in (True, False)}
