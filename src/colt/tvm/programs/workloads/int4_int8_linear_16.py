"""The layer of :mod:`~colt.tvm.programs.workloads.int4_int8_linear` for 16 tokens at once."""

from __future__ import annotations

from dataclasses import replace

from colt.tvm.programs.workloads import int4_int8_linear

WORKLOAD = replace(
    int4_int8_linear.WORKLOAD,
    name="int4-int8-linear-16",
    description="linear layer of 16 tokens, weights of 4 bits, activations quantised to 8, scales for groups of 32",
    sizes={size: replace(shape, tokens=16) for size, shape in int4_int8_linear.WORKLOAD.sizes.items()},
)
