"""Depthwise convolution of 8 bits: 3×3, NHWC, scaled back to float32."""

from __future__ import annotations

from colt.tvm.programs.workloads._int8_conv import Int8ConvShape, compute, count_flops, make_module
from colt.tvm.programs.workloads.base import Workload

WORKLOAD = Workload(
    name="int8-depthwise-conv",
    description="depthwise convolution of 8 bits: 3×3, NHWC, scaled back to float32",
    sizes={"small": Int8ConvShape(256, 256, 56, groups=256), "paper": Int8ConvShape(512, 512, 112, groups=512)},
    make_module=make_module,
    count_flops=count_flops,
    compute=compute,
    constants=("F", "S"),
)
