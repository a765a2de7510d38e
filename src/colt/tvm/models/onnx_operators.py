"""Operators of ONNX that TVM's importer takes for something else, and why they are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tvm.ir import GenericConst
from tvm.tirx import IntImm

_BY_SIZES = (b"align_corners", b"tf_crop_and_resize")
"""Ways of resizing that depend on sizes, and not on factors."""
_SUMS = ("ReduceL1", "ReduceL2", "ReduceSumSquare")
"""Sums of what is computed from each number first."""
_NEAR = 1e-4


def refused(name: str, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> str:
    """Why an operator is not imported; empty if TVM computes what ONNX says."""
    if name == "Resize":
        return _of_resizing(inputs, attributes)
    if name == "MaxPool" and attributes.get("auto_pad") == b"SAME_LOWER":
        return "its padding follows from its sizes, and comes first"
    if name in _SUMS and attributes.get("noop_with_empty_axes") and (len(inputs) < 2 or inputs[1] is None):
        return "it sums over no axes"
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
