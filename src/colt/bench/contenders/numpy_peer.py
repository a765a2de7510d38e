"""numpy with the BLAS that it comes with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from colt.bench.contenders.contender import Array, Contender, Maker
from colt.bench.contenders.messages import Settings


def attention(q: Array, k: Array, v: Array) -> Array:
    """Attention with query heads that share a key and value head as rows of one matrix, and scores updated in place."""
    heads, rows, width = k.shape  # as many rows as queries have
    scores = q.reshape(heads, -1, width) @ k.transpose(0, 2, 1)
    scores *= q.dtype.type(width**-0.5)
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    out: Array = scores @ v
    return out.reshape(-1, rows, width)


def conv(x: Array, f: Array) -> Array:
    """A convolution as one matrix product, with the windows as columns."""
    outputs, channels, height, width = f.shape
    side = x.shape[-1]
    padded = np.pad(x[0], ((0, 0), (1, 1), (1, 1)))
    columns = np.empty((channels, height, width, side, side), x.dtype)
    for i in range(height):
        for j in range(width):
            columns[:, i, j] = padded[:, i : i + side, j : j + side]
    out: Array = f.reshape(outputs, -1) @ columns.reshape(channels * height * width, -1)
    return out.reshape(1, outputs, side, side)


def matmul_int8(a: Array, b: Array) -> Array:
    """A product through float32, since numpy's integer product is slow; exact, since sums stay below 2^24."""
    return (a.astype(np.float32) @ b.astype(np.float32)).astype(np.int32)


FASTER: dict[str, Callable[..., Array]] = {
    "llama3-attention": attention,
    "flux-attention": attention,
    "flux-conv": conv,
    "matmul-int8": matmul_int8,
}
"""The workloads for which numpy has a faster way than their reference."""


def makers(settings: Settings, inputs: Sequence[Array]) -> Iterator[tuple[str, Maker]]:
    """The maker of the one contender."""
    from colt.tvm.programs import workloads

    compute = FASTER.get(settings.workload, workloads.get(settings.workload).compute)
    for member in settings.members:
        yield member.name, lambda: Contender(lambda: compute(*inputs), np.ascontiguousarray)
