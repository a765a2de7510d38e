"""The reference kernel that tells whether the machine is quiet."""

from __future__ import annotations

import numpy as np
import tvm

from colt.machine import Simd
from colt.tvm.devices.peak_kernels import fma_kernel
from colt.tvm.programs.arrays import Array
from colt.tvm.programs.program import module_of_function

STEPS = 100_000
"""Multiply-adds of each accumulator: half a millisecond."""


def reference_gflop(threads: int, simd: Simd) -> float:
    """What one run computes, in 10⁹ operations: the kernel runs at the FMA peak, so this tells what a run takes."""
    return 2e-9 * threads * _accumulators(simd) * simd.fp32_lanes * STEPS


def reference_program(threads: int, simd: Simd) -> tvm.IRModule:
    """The kernel for a processor with such vectors."""
    return module_of_function(fma_kernel(threads, _accumulators(simd), simd.fp32_lanes, STEPS))


def reference_arguments(threads: int, simd: Simd) -> list[Array]:
    """What it is called with."""
    accumulators, lanes = _accumulators(simd), simd.fp32_lanes
    shapes: list[tuple[int, ...]] = [(accumulators, lanes), (lanes,), (threads, accumulators, lanes)]
    return [np.zeros(shape, np.float32) for shape in shapes]


def _accumulators(simd: Simd) -> int:
    return simd.registers // 2
