"""Transposed convolutions in the forms that people write them in, and what NumPy says of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from tvm import te, tirx

Array = Any


@dataclass(frozen=True, slots=True)
class Transposed:
    """``channels`` × ``sides`` to ``outputs``: kernels, strides, padding and more rows at the end, by dimension."""

    sides: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    more: tuple[int, ...]
    channels: int = 5
    outputs: int = 6
    dtype: str = "float32"

    @property
    def result(self) -> tuple[int, ...]:
        """The sides of the result."""
        every = zip(self.sides, self.kernel, self.stride, self.padding, self.more, strict=True)
        return tuple((side - 1) * s + k - 2 * p + m for side, k, s, p, m in every)

    @property
    def around(self) -> tuple[int, ...]:
        """Zeros in front of the first pixel."""
        return tuple(k - 1 - p for k, p in zip(self.kernel, self.padding, strict=True))

    def arguments(self) -> list[Array]:
        """Whole numbers, whose sums are exact in any order."""
        rng = np.random.default_rng(0)
        shapes = [(self.channels, *self.sides), (self.channels, self.outputs, *self.kernel)]
        return [rng.integers(-4, 5, shape).astype(self.dtype) for shape in shapes]

    def computed(self, x: Array, f: Array) -> Array:
        """Each pixel adds a scaled filter to its place."""
        reach = [(n - 1) * s + k for n, k, s in zip(self.sides, self.kernel, self.stride, strict=True)]
        ends = [max(r, p + n) for r, p, n in zip(reach, self.padding, self.result, strict=True)]
        whole = np.zeros((self.outputs, *ends), f.dtype)
        for place in product(*map(range, self.sides)):
            corner = [slice(i * s, i * s + k) for i, s, k in zip(place, self.stride, self.kernel, strict=True)]
            whole[(slice(None), *corner)] += np.tensordot(x[(slice(None), *place)], f, axes=(0, 0))
        return whole[(slice(None), *(slice(p, p + n) for p, n in zip(self.padding, self.result, strict=True)))]


def guarded(one: Transposed, last: bool = False, fill: Any = 0.0, divide: Any = None, every: Any = None) -> Any:
    """An image with zeros between and around its pixels, and the sum over it. ``last``: channels come last. ``fill``:
    what is between the pixels. ``divide`` and ``every`` stand for ``//`` and for "every s-th"."""
    divide = divide or tirx.floordiv
    every = every or (lambda number, step: tirx.floormod(number, step) == 0)
    shape = (*one.sides, one.channels) if last else (one.channels, *one.sides)
    x = te.placeholder(shape, one.dtype, name="X")
    f = te.placeholder((one.channels, one.outputs, *one.kernel), one.dtype, name="F")
    ends = [n + k - 1 for n, k in zip(one.result, one.kernel, strict=True)]

    def pixel(*index: Any) -> Any:
        places, channel = (index[:-1], index[-1]) if last else (index[1:], index[0])
        numbers = [i - around for i, around in zip(places, one.around, strict=True)]
        within = [tirx.all(a >= 0, a < s * n) for a, s, n in zip(numbers, one.stride, one.sides, strict=True)]
        there = [every(a, s) for a, s in zip(numbers, one.stride, strict=True) if s > 1]
        pixels = [divide(a, s) for a, s in zip(numbers, one.stride, strict=True)]
        value = x[(*pixels, channel)] if last else x[(channel, *pixels)]
        return tirx.if_then_else(tirx.all(*within, *there), value, tirx.const(fill, one.dtype))

    spread = te.compute((*ends, one.channels) if last else (one.channels, *ends), pixel, name="spread")
    c = te.reduce_axis((0, one.channels), name="c")
    taps = [te.reduce_axis((0, k), name=f"k{d}") for d, k in enumerate(one.kernel)]

    def sums(*index: Any) -> Any:
        places, output = (index[:-1], index[-1]) if last else (index[1:], index[0])
        at = [i + k for i, k in zip(places, taps, strict=True)]
        turned = [k - 1 - tap for k, tap in zip(one.kernel, taps, strict=True)]
        value = spread[(*at, c)] if last else spread[(c, *at)]
        return te.sum(value * f[(c, output, *turned)], axis=[c, *taps])

    shape = (*one.result, one.outputs) if last else (one.outputs, *one.result)
    return x, f, te.compute(shape, sums, name="Y")


def asking(one: Transposed, whole: bool = False) -> Any:
    """The same in one step: each term asks whether it meets a pixel. ``whole``: of its product, not of the pixel."""
    x = te.placeholder((one.channels, *one.sides), one.dtype, name="X")
    f = te.placeholder((one.channels, one.outputs, *one.kernel), one.dtype, name="F")
    c = te.reduce_axis((0, one.channels), name="c")
    taps = [te.reduce_axis((0, k), name=f"k{d}") for d, k in enumerate(one.kernel)]

    def sums(output: Any, *places: Any) -> Any:
        numbers = [i + p - k for i, p, k in zip(places, one.padding, taps, strict=True)]
        ends = [s * n for s, n in zip(one.stride, one.sides, strict=True)]
        there = [tirx.all(a >= 0, a < end) for a, end in zip(numbers, ends, strict=True)]
        there += [tirx.floormod(a, s) == 0 for a, s in zip(numbers, one.stride, strict=True) if s > 1]
        pixel = x[(c, *(tirx.floordiv(a, s) for a, s in zip(numbers, one.stride, strict=True)))]
        factor, zero = f[(c, output, *taps)], tirx.const(0, one.dtype)
        if whole:
            return te.sum(tirx.if_then_else(tirx.all(*there), pixel * factor, zero), axis=[c, *taps])
        return te.sum(tirx.if_then_else(tirx.all(*there), pixel, zero) * factor, axis=[c, *taps])

    return x, f, te.compute((one.outputs, *one.result), sums, name="Y")
