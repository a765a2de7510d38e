"""What a user of PyTorch would write for each workload in float32, and for products of integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

Tensor = Any
Function = Callable[..., Tensor]


# ---- main ----


def matmul(a: Tensor, b: Tensor) -> Tensor:
    return a @ b


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    group = q.shape[0] // k.shape[0]
    k, v = (x.repeat_interleave(group, dim=0) if group > 1 else x for x in (k, v))
    return torch.softmax(q @ k.transpose(1, 2) * q.shape[-1] ** -0.5, dim=-1) @ v


def fused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    heads_differ = q.shape[0] != k.shape[0]
    return F.scaled_dot_product_attention(q[None], k[None], v[None], enable_gqa=heads_differ)[0]


def conv(x: Tensor, f: Tensor) -> Tensor:
    return F.conv2d(x, f, padding=1)


def mlp(x: Tensor, wg: Tensor, wu: Tensor, wd: Tensor) -> Tensor:
    return (F.silu(x @ wg) * (x @ wu)) @ wd


def experts(x: Tensor, wr: Tensor, wg: Tensor, wu: Tensor, wd: Tensor) -> Tensor:
    prob = torch.softmax(x @ wr, dim=-1)
    act = F.silu(x @ wg) * (x @ wu) * prob.T[:, :, None]
    return torch.bmm(act, wd).sum(dim=0)


# ---- held-out ----


def matmul_nt(a: Tensor, b: Tensor) -> Tensor:
    return F.linear(a, b)


def matmul_tn(a: Tensor, b: Tensor) -> Tensor:
    return a.T @ b


def batch_matmul_epilogue(a: Tensor, b: Tensor, bias: Tensor) -> Tensor:
    return torch.relu(torch.baddbmm(bias, a, b))


def separable_conv(x: Tensor, d: Tensor, p: Tensor) -> Tensor:
    depth = torch.relu(F.conv2d(x[None], d[:, None], padding=1, groups=x.shape[0]))
    return F.conv2d(depth, p[:, :, None, None])[0]


def layer_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return F.layer_norm(x, scale.shape, scale, shift, eps=1e-5)


def group_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    image = x.reshape(1, -1, x.shape[-1])
    return F.group_norm(image, x.shape[0], scale.reshape(-1), shift.reshape(-1), eps=1e-5).reshape(x.shape)


def gru_cell(x: Tensor, h: Tensor, w: Tensor, u: Tensor, bw: Tensor, bu: Tensor) -> Tensor:
    return torch.gru_cell(x, h, w, u, bw, bu)


def l1_distance(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b, p=1.0)


def column_logsumexp(x: Tensor) -> Tensor:
    return torch.logsumexp(x, dim=0)


def matmul_int8(a: Tensor, b: Tensor) -> Tensor:
    return torch._int_mm(a, b)  # PyTorch's product of integers


# ---- held-out, awkward ----


def softmax(x: Tensor) -> Tensor:
    return torch.softmax(x, dim=-1)


def transposed_conv(x: Tensor, f: Tensor) -> Tensor:
    return F.conv_transpose2d(x[None], f, stride=2, padding=1)[0]


def causal_conv1d(x: Tensor, f: Tensor, bias: Tensor) -> Tensor:
    past = F.pad(x.T[None], (f.shape[1] - 1, 0))
    return F.silu(F.conv1d(past, f[:, None], bias, groups=len(f)))[0].T


EAGER: dict[str, Function] = {
    "matmul": matmul,
    "llama3-attention": attention,
    "deepseek-r1-moe": matmul,
    "deepseek-r1-experts": experts,
    "flux-attention": attention,
    "flux-conv": conv,
    "llama4-scout-mlp": mlp,
    "matmul-nt": matmul_nt,
    "matmul-tn": matmul_tn,
    "matmul-prime": matmul,
    "gemv": matmul,
    "batch-matmul-epilogue": batch_matmul_epilogue,
    "separable-conv": separable_conv,
    "layer-norm": layer_norm,
    "group-norm": group_norm,
    "gru-cell": gru_cell,
    "l1-distance": l1_distance,
    "column-logsumexp": column_logsumexp,
    "matmul-int8": matmul_int8,
    "softmax-odd": softmax,
    "transposed-conv": transposed_conv,
    "causal-conv1d": causal_conv1d,
}
FUSED: dict[str, Function] = {
    "llama3-attention": fused_attention,
    "flux-attention": fused_attention,
}
"""PyTorch's fused functions for attention."""
