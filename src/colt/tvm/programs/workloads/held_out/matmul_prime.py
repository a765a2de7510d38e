"""C = A·B with extents that are prime, so that no tile but 1 divides them."""

from __future__ import annotations

from colt.tvm.programs.workloads.base import Workload
from colt.tvm.programs.workloads.matmul import MatmulShape, compute, count_flops, make_module

WORKLOAD = Workload(
    name="matmul-prime",
    description="matrix product of prime extents, C = A·B",
    sizes={"small": MatmulShape(m=331, n=251, k=509)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
)
