"""Operators of ONNX that TVM's importer takes for something else, or does not have: what they compute, or why they are
refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from tvm import relax
from tvm.ir import GenericConst
from tvm.tirx import IntImm

from colt.tvm.models.exponential_unit import exponential_unit

_BY_SIZES = (b"align_corners", b"tf_crop_and_resize")
"""Ways of resizing that depend on sizes, and not on factors."""
_SUMS = ("ReduceL1", "ReduceL2", "ReduceSumSquare")
"""Sums of what is computed from each number first."""
_NEAR = 1e-4
_OF_ONE_RESULT = ("LayerNormalization", "SkipLayerNormalization", "EmbedLayerNormalization")
"""Operators of whose results the importer has the first, and numbers without meaning in place of the others."""
_SELU = 1.67326319217681884765625, 1.05070102214813232421875
_EPSILON = 1e-9
"""What ONNX adds to a deviation before it divides by it."""


def refused(name: str, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> str:
    """Why an operator is not imported; empty if TVM computes what ONNX says."""
    if name == "Resize":
        return _of_resizing(inputs, attributes)
    if name == "MaxPool" and attributes.get("auto_pad") == b"SAME_LOWER":
        return "its padding follows from its sizes, and comes first"
    if name in _SUMS and attributes.get("noop_with_empty_axes") and (len(inputs) < 2 or inputs[1] is None):
        return "it sums over no axes"
    if name == "Upsample":
        return "it counts pixels otherwise than Resize, which replaces it"
    if name == "ConvTranspose" and attributes.get("output_shape"):
        return "its padding follows from the shape of its result"
    if name in _OF_ONE_RESULT and attributes["tvm_custom"]["num_outputs"] > 1:
        return "it is asked for more than its first result"
    return ""


def _of_resizing(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> str:
    if attributes.get("antialias"):
        return "it makes one pixel of several"
    scales = inputs[2] if len(inputs) > 2 else None
    if not isinstance(scales, GenericConst) or attributes.get("coordinate_transformation_mode") in _BY_SIZES:
        return ""
    shape = list(inputs[0].ty.shape)
    factors = scales.value.numpy().astype("float64")
    if len(shape) != len(factors) or not all(isinstance(extent, IntImm) for extent in shape):
        return ""
    sizes = factors * [int(extent) for extent in shape]
    return (
        "" if np.allclose(sizes, sizes.round(), atol=_NEAR) else "its factors make no whole numbers of rows and columns"
    )


def converted(name: str, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """What an operator computes, in Relax; ``None`` where TVM's importer is to convert it. Raises
    ``NotImplementedError`` for what cannot be."""
    convert = _CONVERSIONS.get(name)
    return None if convert is None else convert(inputs, attributes)


def _is_of_floats(tensor: Any) -> bool:
    return isinstance(tensor.ty, relax.TensorType) and "float" in str(tensor.ty.dtype)


def _like(tensor: Any, value: float) -> Any:
    return relax.const(value, str(tensor.ty.dtype))


def _clip(inputs: Sequence[Any], _: Mapping[str, Any]) -> Any:
    """One operator, if it is of floats and between constants. The importer makes functions of it."""
    tensor, *bounds = inputs
    if not bounds or not all(one is None or isinstance(one, GenericConst) for one in bounds):
        return None
    if not _is_of_floats(tensor):
        return None
    found = [None if one is None else float(one.value.numpy()) for one in bounds]
    low, high = (*found, None)[:2]
    return relax.op.clip(tensor, -math.inf if low is None else low, math.inf if high is None else high)


def _of_several(combine: Callable[[Any, Any], Any]) -> Callable[[Sequence[Any], Mapping[str, Any]], Any]:
    """Two at a time. The importer stacks tensors, to reduce them along the new axis."""

    def convert(inputs: Sequence[Any], _: Mapping[str, Any]) -> Any:
        return None if all(isinstance(one, GenericConst) for one in inputs) else reduce(combine, inputs)

    return convert


def _mean(inputs: Sequence[Any], _: Mapping[str, Any]) -> Any:
    total = _of_several(relax.op.add)(inputs, {})
    return None if total is None else relax.op.divide(total, _like(inputs[0], len(inputs)))


def _infinite(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """Infinities of one sign, if it is asked for those alone."""
    tensor, positive, negative = (
        inputs[0],
        attributes.get("detect_positive", 1),
        attributes.get("detect_negative", 1),
    )
    if positive and negative:
        return None
    if not positive and not negative:
        return relax.op.astype(relax.op.zeros_like(tensor), "bool")
    return relax.op.equal(tensor, _like(tensor, math.inf if positive else -math.inf))


def _elu(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    return exponential_unit(inputs[0], float(attributes.get("alpha", 1.0)))


def _selu(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    alpha, factor = attributes.get("alpha", _SELU[0]), attributes.get("gamma", _SELU[1])
    return relax.op.multiply(_like(inputs[0], factor), exponential_unit(inputs[0], float(alpha)))


def _celu(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    alpha = float(attributes.get("alpha", 1.0))
    return exponential_unit(inputs[0], alpha, alpha)


def _hard_sigmoid(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """A clip would make 0 of a NaN; what comes first here is taken if it is larger or smaller only."""
    tensor = inputs[0]
    slope, offset = (_like(tensor, attributes.get(name, usual)) for name, usual in (("alpha", 0.2), ("beta", 0.5)))
    line = relax.op.add(relax.op.multiply(slope, tensor), offset)
    return relax.op.minimum(_like(tensor, 1.0), relax.op.maximum(_like(tensor, 0.0), line))


def _sign(inputs: Sequence[Any], _: Mapping[str, Any]) -> Any:
    """That of a NaN is a NaN."""
    tensor = inputs[0]
    return relax.op.where(relax.op.isnan(tensor), tensor, relax.op.sign(tensor)) if _is_of_floats(tensor) else None


def _thresholded(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    tensor = inputs[0]
    above = relax.op.greater(tensor, _like(tensor, attributes.get("alpha", 1.0)))
    return relax.op.where(above, tensor, _like(tensor, 0.0))


def _normalised(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """In two passes: the mean of squares less the square of the mean would cancel."""
    tensor, axes = inputs[0], [int(axis) for axis in attributes.get("axes", (0, 2, 3))]
    mean, variance = (make(tensor, axes, keepdims=True) for make in (relax.op.mean, relax.op.variance))
    deviation = relax.op.add(relax.op.sqrt(variance), _like(tensor, _EPSILON))
    return relax.op.divide(relax.op.subtract(tensor, mean), deviation)


def _one_hot(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """One value where an index is, and another elsewhere. Indices may be counted from the end."""
    indices, depth, values = inputs
    if not isinstance(depth, GenericConst) or not isinstance(values, GenericConst):
        raise NotImplementedError("its depth or its values are not constant")
    size, dtype = int(depth.value.numpy().reshape(-1)[0]), str(values.ty.dtype)
    off, on = (relax.const(value, dtype) for value in values.value.numpy())
    rank = indices.ty.ndim + 1
    axis = attributes.get("axis", -1) % rank
    shape = [size if number == axis else 1 for number in range(rank)]
    places = relax.const(np.arange(size).reshape(shape), "int64")
    whole = relax.op.expand_dims(relax.op.astype(indices, "int64"), [axis])
    negative = relax.op.less(whole, relax.const(0, "int64"))
    front = relax.op.where(negative, relax.op.add(whole, relax.const(size, "int64")), whole)
    return relax.op.where(relax.op.equal(front, places), on, off)


_CONVERSIONS: Mapping[str, Callable[[Sequence[Any], Mapping[str, Any]], Any]] = {
    "Clip": _clip,
    "Max": _of_several(relax.op.maximum),
    "Min": _of_several(relax.op.minimum),
    "Sum": _of_several(relax.op.add),
    "Mean": _mean,
    "IsInf": _infinite,
    "Elu": _elu,
    "Selu": _selu,
    "Celu": _celu,
    "HardSigmoid": _hard_sigmoid,
    "Sign": _sign,
    "ThresholdedRelu": _thresholded,
    "MeanVarianceNormalization": _normalised,
    "OneHot": _one_hot,
}
ADDED = ("Celu",)
"""Those of them that the importer does not have."""
