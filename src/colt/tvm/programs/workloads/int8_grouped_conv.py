"""Convolution of 8 bits in groups of channels: 3×3, NHWC, scaled back to float32."""

from __future__ import annotations

from colt.tvm.programs.workloads._int8_conv import Int8ConvShape, compute, count_flops, make_module
from colt.tvm.programs.workloads.base import Workload

WORKLOAD = Workload(
    name="int8-grouped-conv",
    description="convolution of 8 bits in groups of channels: 3×3, NHWC, scaled back to float32",
    sizes={"small": Int8ConvShape(256, 256, 28, groups=8), "paper": Int8ConvShape(1024, 1024, 28, groups=32)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
    constants=("F", "S"),
)
