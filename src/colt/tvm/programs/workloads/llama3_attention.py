"""The attention of Llama 3: groups of query heads share one key and value head."""

from __future__ import annotations

from colt.tvm.programs.workloads._attention import AttentionShape, compute, count_flops, make_module
from colt.tvm.programs.workloads.base import Workload

WORKLOAD = Workload(
    name="llama3-attention",
    description="Llama 3 attention: softmax(Q·Kᵀ / sqrt(D))·V with four query heads to a key/value head",
    sizes={
        "small": AttentionShape(heads=8, kv_heads=2, sequence=256, dim=128),
        "paper": AttentionShape(heads=32, kv_heads=8, sequence=512, dim=128),
    },
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
