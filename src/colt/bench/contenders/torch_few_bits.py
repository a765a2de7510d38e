"""What a user of PyTorch would write for each workload in few bits. Weights are packed once, as a model's are.

What packs is cached by its arguments, so these have to be the tensors of the call themselves: a view of one is another.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from colt.bench.contenders.torch_functions import (
    Function,
    Tensor,
    attention,
    fused_attention,
    layer_norm,
    matmul,
    mlp,
)
from colt.tvm.programs.workloads import _int8_conv
from colt.tvm.programs.workloads.held_out_low.int4_gemv_by_columns import GROUP as WIDE_GROUP
from colt.tvm.programs.workloads.held_out_low.int8_attention_scores import SCALE as SCORES_SCALE
from colt.tvm.programs.workloads.held_out_low.int8_dilated_conv import DILATION, PAD, STRIDE
from colt.tvm.programs.workloads.held_out_low.int8_dilated_conv import SCALE as DILATED_SCALE
from colt.tvm.programs.workloads.held_out_low.requantise import ZERO as MIDDLE
from colt.tvm.programs.workloads.int4_int8_linear import LARGEST, TINY
from colt.tvm.programs.workloads.int4_linear import GROUP
from colt.tvm.programs.workloads.quantised_linear import SCALE, ZERO


def quantised_linear(x: Tensor, w: Tensor, scales: Tensor) -> Tensor:
    """oneDNN's layer, as PyTorch's quantiser exports it for x86; like a model's, its weights are packed once."""
    packed, zeros = _packed(w, x.shape[0])
    shift = (SCALE, ZERO)
    return torch.ops.onednn.qlinear_pointwise(
        x, *shift, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )


@cache
def _packed(w: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    packed = torch.ops.onednn.qlinear_prepack(w, [rows, w.shape[1]])
    return packed, torch.zeros(w.shape[0], dtype=torch.int32)


def bf16_matmul(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b).float()  # PyTorch rounds the product to bfloat16


def bf16_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attention(q, k, v).float()


def fused_bf16_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return fused_attention(q, k, v).float()


def int4_linear(x: Tensor, q: Tensor, scales: Tensor) -> Tensor:
    packed, scales_and_zeros = _packed_int4(q, scales)
    return torch.ops.aten._weight_int4pack_mm_for_cpu(x, packed, GROUP, scales_and_zeros)


def int4_int8_linear(x: Tensor, q: Tensor, scales: Tensor) -> Tensor:
    groups = x.reshape(len(x), -1, GROUP)
    top = groups.abs().amax(-1, keepdim=True).clamp_min(TINY)
    rounded = (groups * (LARGEST / top)).round() * (top / LARGEST)
    return int4_linear(rounded.reshape(x.shape), q, scales)


def int4_gemv_by_columns(x: Tensor, q: Tensor, scales: Tensor) -> Tensor:
    packed, scales_and_zeros = _packed_int4(*_by_output(q, scales))
    return torch.ops.aten._weight_int4pack_mm_for_cpu(x[None], packed, WIDE_GROUP, scales_and_zeros)[0]


@cache
def _by_output(q: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
    return q.T.contiguous(), scales.T.contiguous()


@cache
def _packed_int4(q: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
    bits = torch.stack([q & 15, q >> 4], dim=-1).reshape(q.shape[0], -1).to(torch.int32)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(bits, 1)
    return packed, torch.stack([scales.T, torch.zeros_like(scales.T)], dim=-1).contiguous()


def int8_conv(x: Tensor, f: Tensor, scales: Tensor) -> Tensor:
    image = x.flatten(3)
    window = _window(1, 1, 1, image.shape[3] // f.shape[2])
    shift = (_int8_conv.SCALE, _int8_conv.ZERO)
    y = _int8_convolution(image, f, scales, shift, window, torch.float32)
    return y.reshape(*x.shape[:3], *scales.shape)


Window = tuple[tuple[int, int], tuple[int, int], tuple[int, int], int]
"""Stride, padding, dilation, groups."""


def _window(stride: int, pad: int, dilation: int, groups: int) -> Window:
    return (stride, stride), (pad, pad), (dilation, dilation), groups


def _int8_convolution(x: Tensor, f: Tensor, scales: Tensor, shift: Any, window: Window, dtype: torch.dtype) -> Tensor:
    """oneDNN's convolution, NHWC, with filters packed once. ``shift``: the scale and zero point of ``x``."""
    image = x.permute(0, 3, 1, 2)
    packed, scales, zeros = _packed_filters(f, scales, shift, window, image.shape)
    y = torch.ops.onednn.qconv_pointwise(
        image, *shift, packed, scales, zeros, None, *window, 1.0, 0, dtype, "none", [], ""
    )
    return y.permute(0, 2, 3, 1)


@cache
def _packed_filters(
    f: Tensor, scales: Tensor, shift: Any, window: Window, shape: torch.Size
) -> tuple[Tensor, Tensor, Tensor]:
    filters, scales = f.flatten(3).permute(3, 2, 0, 1).contiguous(), scales.flatten()
    packed = torch.ops.onednn.qconv_prepack(filters, scales, *shift, *window, list(shape))
    return packed, scales, torch.zeros(len(filters), dtype=torch.int32)


# ---- held-out ----


def matmul_u8s8(a: Tensor, b: Tensor) -> Tensor:
    """oneDNN's layer with scales of 1: float32 holds the sums exactly."""
    packed, scales, zeros = _packed_as_linear(b, len(a))
    shift = (1.0, 0)
    sums = torch.ops.onednn.qlinear_pointwise(
        a, *shift, packed, scales, zeros, None, *shift, torch.float32, "none", [], ""
    )
    return sums.to(torch.int32)


@cache
def _packed_as_linear(b: Tensor, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    packed, zeros = _packed(b.T.contiguous(), rows)
    return packed, torch.ones(b.shape[1]), zeros


def int8_dilated_conv(x: Tensor, f: Tensor, scales: Tensor) -> Tensor:
    return _int8_convolution(x, f, scales, (DILATED_SCALE, 0), _window(STRIDE, PAD, DILATION, 1), torch.int8)


def requantise(p: Tensor, scales: Tensor) -> Tensor:
    return ((p * scales).round() + MIDDLE).clamp(0, 255).to(torch.uint8)


def bf16_gated_mlp(x: Tensor, wg: Tensor, wu: Tensor, wd: Tensor) -> Tensor:
    return mlp(x, wg, wu, wd).float()


def int8_attention_scores(q: Tensor, k: Tensor) -> Tensor:
    """Through float32, which holds the sums exactly: PyTorch has no batched product of integers."""
    products = q.float() @ k.float().transpose(1, 2)
    return torch.softmax(products * SCORES_SCALE, dim=-1)


def row_norms(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=1, dtype=torch.float32) * x.shape[1] ** -0.5


EAGER: dict[str, Function] = {
    "quantised-linear": quantised_linear,
    "bf16-matmul": bf16_matmul,
    "bf16-attention": bf16_attention,
    "int4-linear": int4_linear,
    "int4-linear-16": int4_linear,
    "int4-int8-linear": int4_int8_linear,
    "int4-int8-linear-16": int4_int8_linear,
    "int8-conv": int8_conv,
    "int8-depthwise-conv": int8_conv,
    "int8-grouped-conv": int8_conv,
    "matmul-u8s8-prime": matmul_u8s8,
    "int8-dilated-conv": int8_dilated_conv,
    "requantise": requantise,
    "bf16-gated-mlp": bf16_gated_mlp,
    "bf16-layer-norm": layer_norm,
    "fp16-matmul": matmul,
    "int4-gemv-by-columns": int4_gemv_by_columns,
    "int8-attention-scores": int8_attention_scores,
    "fp16-row-norms": row_norms,
}
FUSED: dict[str, Function] = {"bf16-attention": fused_bf16_attention}
"""PyTorch's fused functions for attention."""
