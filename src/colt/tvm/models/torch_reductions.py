"""Reductions of PyTorch that TVM's importer does not have, or has by sorting, made of operators of Relax."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from tvm import relax

Conversion = Callable[..., Any]


def reductions(importer: Any, stock: Mapping[str, Conversion]) -> dict[str, Conversion]:
    """Conversions by the names of the operators, beside those in ``stock``."""
    ours = _Reductions(importer, stock)
    found: dict[str, Conversion] = {
        "amax.default": partial(ours.extreme, relax.op.max),
        "amin.default": partial(ours.extreme, relax.op.min),
        "max.dim": partial(ours.extreme_and_place, relax.op.max, relax.op.argmax),
        "min.dim": partial(ours.extreme_and_place, relax.op.min, relax.op.argmin),
        "var_mean.correction": ours.variance_and_mean,
        "prod.dim_int": stock["prod.default"],
        "logsumexp.default": ours.log_of_sum,
    }
    for form in ("default", "dim", "dims"):
        found[f"any.{form}"] = partial(ours.extreme, relax.op.max)
        found[f"all.{form}"] = partial(ours.extreme, relax.op.min)
    return found


class _Reductions:
    def __init__(self, importer: Any, stock: Mapping[str, Conversion]) -> None:
        self._importer, self._stock = importer, stock

    def _emit(self, expr: Any) -> Any:
        return self._importer.block_builder.emit(expr)

    def extreme(self, reduce: Conversion, node: Any) -> Any:
        """The largest or smallest number along some axes; whether any or all are true, if the result is a bool."""
        tensor = self._importer.env[node.args[0]]
        axes, kept = _axes(node), _kept(node)
        if "bool" not in str(node.meta["val"].dtype):
            return self._emit(reduce(tensor, axes, keepdims=kept))
        found = self._emit(reduce(self._truths(tensor), axes, keepdims=kept))
        return self._emit(relax.op.astype(found, "bool"))

    def _truths(self, tensor: Any) -> Any:
        """1 where it is true, and 0 elsewhere; TVM has no extremes of truth values."""
        if str(tensor.ty.dtype) != "bool":
            tensor = self._emit(relax.op.astype(tensor, "bool"))
        return self._emit(relax.op.astype(tensor, "int8"))

    def extreme_and_place(self, reduce: Conversion, place: Conversion, node: Any) -> Any:
        """The largest or smallest number along an axis, and where the first of these is."""
        tensor, axis, kept = self._importer.env[node.args[0]], node.args[1], _kept(node)
        if str(tensor.ty.dtype) == "bool":
            raise NotImplementedError("it is of truth values")
        if tensor.ty.ndim == 0:
            return self._emit(relax.Tuple([tensor, relax.const(0, "int64")]))
        values = self._emit(reduce(tensor, [axis], keepdims=kept))
        return self._emit(relax.Tuple([values, self._emit(place(tensor, axis, kept))]))

    def variance_and_mean(self, node: Any) -> Any:
        """Both along the same axes."""
        tensor = self._importer.env[node.args[0]]
        mean = self._emit(relax.op.mean(tensor, _axes(node), keepdims=_kept(node)))
        return self._emit(relax.Tuple([self._stock["var.correction"](node), mean]))

    def log_of_sum(self, node: Any) -> Any:
        """The logarithm of a sum of powers, each relative to the largest, so that none is too large."""
        tensor, axes, kept = self._importer.env[node.args[0]], _axes(node), _kept(node)
        largest = self._emit(relax.op.max(tensor, axes, keepdims=True))
        zero, infinity = (relax.const(number, tensor.ty.dtype) for number in (0.0, float("inf")))
        is_finite = relax.op.less(relax.op.abs(largest), infinity)
        shift = self._emit(relax.op.where(is_finite, largest, zero))
        powers = self._emit(relax.op.exp(relax.op.subtract(tensor, shift)))
        logs = self._emit(relax.op.log(relax.op.sum(powers, axes, keepdims=True)))
        found = self._emit(relax.op.add(logs, shift))
        return found if kept else self._emit(relax.op.squeeze(found, axes))


def _axes(node: Any) -> list[int] | None:
    """The axes that are reduced, counted from the front; ``None`` for all."""
    given = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    rank = node.args[0].meta["val"].dim()
    named: Sequence[int] = [given] if isinstance(given, int) else given or []
    return sorted(axis % rank for axis in named) or None if rank else None


def _kept(node: Any) -> bool:
    """Whether reduced axes stay, as axes of one."""
    keeps = [one for one in node.target._schema.arguments if one.name == "keepdim"]
    if not keeps:
        return False
    number = [one.name for one in node.target._schema.arguments].index("keepdim")
    if not keeps[0].kwarg_only and len(node.args) > number:
        return bool(node.args[number])
    return bool(node.kwargs.get("keepdim", False))
