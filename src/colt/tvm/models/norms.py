"""Group norms and instance norms in two passes.

TVM takes the variance for the mean of squares less the square of the mean. These cancel where the mean is large beside
the deviation: one of 1000 times as much leaves float32 hardly a digit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tvm import te, tirx

_WIDE = {"float16": "float32", "bfloat16": "float32"}
"""What sums of these types are computed in."""


def rules() -> dict[str, Callable[[Any, Any], Any]]:
    """What to make of these operators, for TVM's ``LegalizeOps``."""
    return {"relax.nn.group_norm": _group_norm, "relax.nn.instance_norm": _instance_norm}


def _group_norm(builder: Any, call: Any) -> Any:
    return _written(builder, call, int(call.attrs.num_groups), "group_norm")


def _instance_norm(builder: Any, call: Any) -> Any:
    return _written(builder, call, None, "instance_norm")


def _written(builder: Any, call: Any, groups: int | None, name: str) -> Any:
    attributes, rank = call.attrs, call.args[0].ty.ndim
    channel = int(attributes.channel_axis) % rank
    axes = [int(axis) % rank for axis in attributes.axes]

    def computed(data: Any, scale: Any, shift: Any) -> Any:
        return _normalised(data, scale, shift, groups, channel, axes, float(attributes.epsilon))

    return builder.call_te(computed, *call.args, primfunc_name_hint=name)


def _normalised(
    data: Any, scale: Any, shift: Any, groups: int | None, channel: int, axes: Sequence[int], epsilon: float
) -> Any:
    """The data, of which each part has the mean 0 and the variance 1, scaled and shifted by channel.

    A part is what ``axes`` range over, for a channel, or for a group of channels side by side if there are ``groups``.
    """
    shape, dtype = list(data.shape), str(data.dtype)
    wide = _WIDE.get(dtype, dtype)
    together = 1 if groups is None else shape[channel] // groups
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    parts = [groups if axis == channel and groups is not None else shape[axis] for axis in kept]
    count = together
    for axis in axes:
        count = count * shape[axis]
    number = tirx.Cast(wide, count) if isinstance(count, tirx.Expr) else tirx.const(count, wide)

    def element(*index: Any) -> Any:
        return data(*index).astype(wide)

    def part_of(index: Sequence[Any]) -> list[Any]:
        """Which part an element is of."""
        return [index[axis] // together if axis == channel and groups is not None else index[axis] for axis in kept]

    def summed(name: str, term: Callable[..., Any]) -> Any:
        """The sum of ``term`` over each part."""
        inner = {axis: te.reduce_axis((0, shape[axis]), name=f"k{axis}") for axis in axes}
        one = te.reduce_axis((0, together), name="channel") if groups is not None else None

        def total(*part: Any) -> Any:
            at = dict(zip(kept, part, strict=True)) | inner
            if one is not None:
                at[channel] = at[channel] * together + one
            over = [*([] if one is None else [one]), *inner.values()]
            return te.sum(term(part, [at[axis] for axis in range(len(shape))]), axis=over)

        return te.compute(parts, total, name=name)

    total = summed("total", lambda part, at: element(*at))

    def deviation(part: Sequence[Any], at: Sequence[Any]) -> Any:
        return element(*at) - total(*part) / number

    squares = summed("squares", lambda part, at: deviation(part, at) * deviation(part, at))

    def result(*at: Any) -> Any:
        part = part_of(at)
        unit = deviation(part, at) * tirx.rsqrt(squares(*part) / number + tirx.const(epsilon, wide))
        return (unit * scale(at[channel]).astype(wide) + shift(at[channel]).astype(wide)).astype(dtype)

    return te.compute(shape, result, name="normalised")
