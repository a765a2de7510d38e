"""Workloads as graphs of ONNX. Plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from colt.bench.contenders.contender import Array
from colt.tvm.programs.workloads import _int8_conv, quantised_linear
from colt.tvm.programs.workloads.held_out_low.int4_gemv_by_columns import GROUP as WIDE_GROUP
from colt.tvm.programs.workloads.held_out_low.int8_attention_scores import SCALE as SCORES_SCALE
from colt.tvm.programs.workloads.held_out_low.int8_dilated_conv import DILATION, PAD, STRIDE
from colt.tvm.programs.workloads.held_out_low.int8_dilated_conv import SCALE as DILATED_SCALE
from colt.tvm.programs.workloads.held_out_low.requantise import ZERO as MIDDLE
from colt.tvm.programs.workloads.int4_linear import GROUP

EXACT, ACTIVATIONS_IN_8_BITS = 1, 4
"""Accuracy levels of ``MatMulNBits``."""


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """``nodes`` compute ``Y``; arrays by name, those that are ``given`` at each call and those that are part of the
    model."""

    nodes: str
    given: dict[str, Array]
    constants: dict[str, Array] = field(default_factory=dict)


def element_type(dtype: str) -> str:
    """ONNX's name of a data type."""
    return {"float32": "float"}.get(dtype, dtype)


def int4_linear(level: int, x: Array, q: Array, scales: Array) -> OnnxGraph:
    """Blocks of 4 bits as the workload has them, with a zero point of 8."""
    outputs, groups = scales.shape
    sizes = f"K = {groups * GROUP}, N = {outputs}, bits = 4, block_size = {GROUP}, accuracy_level = {level}"
    nodes = f"Y = com.microsoft.MatMulNBits <{sizes}> (X, Q, S)"
    return OnnxGraph(nodes, {"X": x}, {"Q": q, "S": scales.reshape(-1)})


def scaled_product(x: Array, w: Array, scales: Array) -> OnnxGraph:
    """A product of integers, scaled back."""
    constants = {"W": np.ascontiguousarray(w.T), "S": scales, "zero": np.array(quantised_linear.ZERO, x.dtype)}
    constants["scale"] = np.array(quantised_linear.SCALE, np.float32)
    return OnnxGraph("Y = com.microsoft.MatMulIntegerToFloat (X, W, scale, S, zero)", {"X": x}, constants)


def int8_conv(x: Array, f: Array, scales: Array) -> OnnxGraph:
    """A convolution of integers, NCHW inside, scaled back."""
    image, groups = (*x.shape[:3], -1), x.reshape(*x.shape[:3], -1).shape[-1] // f.shape[2]
    filters = f.reshape(*f.shape[:3], -1).transpose(3, 2, 0, 1)
    nodes = f"""
        A = Reshape (X, image)
        B = Transpose <perm = [0, 3, 1, 2]> (A)
        P = ConvInteger <group = {groups}, pads = [1, 1, 1, 1]> (B, F, zero)
        C = Transpose <perm = [0, 2, 3, 1]> (P)
        D = Cast <to = 1> (C)
        E = Mul (D, S)
        Y = Reshape (E, result)"""
    constants = {
        "F": np.ascontiguousarray(filters),
        "S": (scales * np.float32(_int8_conv.SCALE)).reshape(-1),
        "zero": np.array(_int8_conv.ZERO, x.dtype),
        "image": np.array(image, np.int64),
        "result": np.array((*x.shape[:3], *scales.shape), np.int64),
    }
    return OnnxGraph(nodes, {"X": x}, constants)


# ---- held-out ----


def product_of_integers(a: Array, b: Array) -> OnnxGraph:
    return OnnxGraph("Y = MatMulInteger (A, B)", {"A": a}, {"B": b})


def int8_dilated_conv(x: Array, f: Array, scales: Array) -> OnnxGraph:
    """The operator gives the type that it takes, so its results are shifted by half of the range, and then back."""
    window = (
        f"dilations = [{DILATION}, {DILATION}], strides = [{STRIDE}, {STRIDE}], pads = [{PAD}, {PAD}, {PAD}, {PAD}]"
    )
    nodes = f"""
        A = Transpose <perm = [0, 3, 1, 2]> (X)
        B = QLinearConv <{window}> (A, scale, zero, F, S, zeros, one, half)
        C = Transpose <perm = [0, 2, 3, 1]> (B)
        D = Cast <to = 6> (C)
        E = Sub (D, shift)
        Y = Cast <to = 3> (E)"""
    constants = {
        "F": np.ascontiguousarray(f.transpose(3, 2, 0, 1)),
        "S": scales,
        "scale": np.array(DILATED_SCALE, np.float32),
        "one": np.array(1, np.float32),
        "zero": np.array(0, np.uint8),
        "zeros": np.zeros(len(scales), np.int8),
        "half": np.array(128, np.uint8),
        "shift": np.array(128, np.int32),
    }
    return OnnxGraph(nodes, {"X": x}, constants)


def requantise(p: Array, scales: Array) -> OnnxGraph:
    nodes = "A = Cast <to = 1> (P) B = Mul (A, S) Y = QuantizeLinear (B, one, zero)"
    constants: dict[str, Array] = {"one": np.array(1, np.float32), "zero": np.array(MIDDLE, np.uint8)}
    return OnnxGraph(nodes, {"P": p, "S": scales}, constants)


def fp16_matmul(a: Array, b: Array) -> OnnxGraph:
    return OnnxGraph("Y = MatMul (A, B)", {"A": a, "B": b})


def int4_gemv_by_columns(x: Array, q: Array, scales: Array) -> OnnxGraph:
    """Blocks of an output together, as the operator wants them."""
    inputs, outputs = 2 * len(q), q.shape[1]
    sizes = f"K = {inputs}, N = {outputs}, bits = 4, block_size = {WIDE_GROUP}, accuracy_level = {EXACT}"
    nodes = f"A = Reshape (X, row) B = com.microsoft.MatMulNBits <{sizes}> (A, Q, S) Y = Reshape (B, result)"
    constants: dict[str, Array] = {
        "Q": np.ascontiguousarray(q.T).reshape(outputs, -1, WIDE_GROUP // 2),
        "S": np.ascontiguousarray(scales.T).reshape(-1),
        "row": np.array([1, inputs], np.int64),
        "result": np.array([outputs], np.int64),
    }
    return OnnxGraph(nodes, {"X": x}, constants)


def softmax(x: Array) -> OnnxGraph:
    return OnnxGraph("Y = Softmax <axis = -1> (X)", {"X": x})


def int8_attention_scores(q: Array, k: Array) -> OnnxGraph:
    nodes = """
        A = Transpose <perm = [0, 2, 1]> (K)
        P = MatMulInteger (Q, A)
        B = Cast <to = 1> (P)
        C = Mul (B, scale)
        Y = Softmax <axis = -1> (C)"""
    return OnnxGraph(nodes, {"Q": q, "K": k}, {"scale": np.array(SCORES_SCALE, np.float32)})


def transposed_conv(x: Array, f: Array) -> OnnxGraph:
    nodes = """
        A = Unsqueeze (X, first)
        B = ConvTranspose <strides = [2, 2], pads = [1, 1, 1, 1]> (A, F)
        Y = Squeeze (B, first)"""
    return OnnxGraph(nodes, {"X": x, "F": f}, {"first": np.array([0], np.int64)})


def causal_conv1d(x: Array, f: Array, bias: Array) -> OnnxGraph:
    channels, terms = f.shape
    nodes = f"""
        A = Transpose <perm = [1, 0]> (X)
        B = Unsqueeze (A, first)
        C = Conv <group = {channels}, pads = [{terms - 1}, 0]> (B, F, bias)
        D = Sigmoid (C)
        E = Mul (C, D)
        G = Squeeze (E, first)
        Y = Transpose <perm = [1, 0]> (G)"""
    return OnnxGraph(nodes, {"X": x}, {"F": f[:, None], "bias": bias, "first": np.array([0], np.int64)})


def row_norms(x: Array) -> OnnxGraph:
    nodes = "A = Cast <to = 1> (X) B = ReduceL2 <keepdims = 0> (A, last) Y = Mul (B, share)"
    constants: dict[str, Array] = {"last": np.array([1], np.int64)}
    constants["share"] = np.array(x.shape[1] ** -0.5, np.float32)
    return OnnxGraph(nodes, {"X": x}, constants)


GRAPHS: dict[str, Callable[..., OnnxGraph]] = {
    "quantised-linear": scaled_product,
    "int4-linear": partial(int4_linear, EXACT),
    "int4-linear-16": partial(int4_linear, EXACT),
    "int4-int8-linear": partial(int4_linear, ACTIVATIONS_IN_8_BITS),
    "int4-int8-linear-16": partial(int4_linear, ACTIVATIONS_IN_8_BITS),
    "int8-conv": int8_conv,
    "int8-depthwise-conv": int8_conv,
    "int8-grouped-conv": int8_conv,
    "matmul-u8s8-prime": product_of_integers,
    "int8-dilated-conv": int8_dilated_conv,
    "requantise": requantise,
    "fp16-matmul": fp16_matmul,
    "int4-gemv-by-columns": int4_gemv_by_columns,
    "softmax-odd": softmax,
    "int8-attention-scores": int8_attention_scores,
    "transposed-conv": transposed_conv,
    "causal-conv1d": causal_conv1d,
    "fp16-row-norms": row_norms,
}
"""What a user of ONNX Runtime would run for each workload."""
