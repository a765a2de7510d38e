"""PyTorch: eager, its fused attention, and compiled. Needs the extra ``bench``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F

from colt.bench.config import Peer
from colt.bench.contenders.contender import Array, Contender, Maker, NotApplicable
from colt.bench.contenders.messages import Settings
from colt.tvm.programs.workloads import _int8_conv
from colt.tvm.programs.workloads.int4_int8_linear import LARGEST, TINY
from colt.tvm.programs.workloads.int4_linear import GROUP
from colt.tvm.programs.workloads.quantised_linear import SCALE, ZERO

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


# ---- low-precision ----


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


@cache
def int4_int8_linear(x: Tensor, q: Tensor, scales: Tensor) -> Tensor:
    groups = x.reshape(len(x), -1, GROUP)
    top = groups.abs().amax(-1, keepdim=True).clamp_min(TINY)
    rounded = (groups * (LARGEST / top)).round() * (top / LARGEST)
    return int4_linear(rounded.reshape(x.shape), q, scales)


def _packed_int4(q: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
    bits = torch.stack([q & 15, q >> 4], dim=-1).reshape(q.shape[0], -1).to(torch.int32)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(bits, 1)
    return packed, torch.stack([scales.T, torch.zeros_like(scales.T)], dim=-1).contiguous()


def int8_conv(x: Tensor, f: Tensor, scales: Tensor) -> Tensor:
    """oneDNN's convolution, with filters packed once."""
    image, shift = x.flatten(3).permute(0, 3, 1, 2), (_int8_conv.SCALE, _int8_conv.ZERO)
    packed, zeros, window = _packed_filters(f, scales, image.shape)
    sums = torch.ops.onednn.qconv_pointwise(
        image, *shift, packed, scales.flatten(), zeros, None, *window, 1.0, 0, torch.float32, "none", [], ""
    )
    return sums.permute(0, 2, 3, 1).reshape(*x.shape[:3], *scales.shape)


@cache
def _packed_filters(f: Tensor, scales: Tensor, image: torch.Size) -> tuple[Tensor, Tensor, Any]:
    window = ([1, 1], [1, 1], [1, 1], image[1] // f.shape[2])
    filters = f.flatten(3).permute(3, 2, 0, 1).contiguous()
    shift = (_int8_conv.SCALE, _int8_conv.ZERO)
    packed = torch.ops.onednn.qconv_prepack(filters, scales.flatten(), *shift, *window, list(image))
    return packed, torch.zeros(filters.shape[0], dtype=torch.int32), window


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


EAGER: dict[str, Function] = {
    "matmul": matmul,
    "llama3-attention": attention,
    "deepseek-r1-moe": matmul,
    "deepseek-r1-experts": experts,
    "flux-attention": attention,
    "flux-conv": conv,
    "llama4-scout-mlp": mlp,
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
}
"""What a user of PyTorch would write for each workload."""
FUSED: dict[str, Function] = {
    "llama3-attention": fused_attention,
    "flux-attention": fused_attention,
    "bf16-attention": fused_bf16_attention,
}
"""PyTorch's fused functions for attention; compiled instead of the eager ones."""


def makers(settings: Settings, inputs: Sequence[Array]) -> Iterator[tuple[str, Maker]]:
    """The makers of PyTorch's contenders for the workload."""
    torch.set_num_threads(settings.threads)
    tensors = [_tensor(array) for array in inputs]
    for member in settings.members:
        yield member.name, partial(_make, Peer(member.name), settings.workload, tensors)


def _tensor(array: Array) -> Tensor:
    if array.dtype.name == "bfloat16":  # PyTorch does not know NumPy's
        return torch.from_numpy(array.view("int16")).view(torch.bfloat16)
    return torch.from_numpy(array)


def _make(peer: Peer, workload: str, tensors: Sequence[Tensor]) -> Contender:
    function = _function(peer, workload)

    def call() -> Tensor:
        with torch.inference_mode():
            return function(*tensors)

    return Contender(call, lambda output: output.contiguous().numpy())


def _function(peer: Peer, workload: str) -> Function:
    if peer is Peer.TORCH_COMPILE:
        compiled: Function = torch.compile(FUSED.get(workload, EAGER[workload]), fullgraph=True, dynamic=False)
        return compiled
    known = FUSED if peer is Peer.SDPA else EAGER
    if workload not in known:
        raise NotApplicable(f"{peer} has nothing for {workload}")
    return known[workload]
