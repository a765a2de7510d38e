"""The attention of FLUX: every query head has its own key and value head."""

from __future__ import annotations

from colt.tvm.programs.workloads._attention import AttentionShape, compute, count_flops, make_module
from colt.tvm.programs.workloads.base import Workload

WORKLOAD = Workload(
    name="flux-attention",
    description="FLUX attention: softmax(Q·Kᵀ / sqrt(D))·V with a key/value head for every query head",
    sizes={
        "small": AttentionShape(heads=6, kv_heads=6, sequence=256, dim=128),
        "paper": AttentionShape(heads=24, kv_heads=24, sequence=768, dim=128),
    },
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
