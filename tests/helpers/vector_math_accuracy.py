"""How far vector math is off, in units of the last place of float32.

As a script it goes through all 2^32 floats (some three minutes a function), or a part of them:

    PYTHONPATH=src python tests/helpers/vector_math_accuracy.py tanh --cpu x86-64 --part 0/8
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special
import tvm
from tvm import s_tir, te, tirx
from tvm.target import Target, codegen

from colt.tvm.programs.program import module_of_tensors
from colt.tvm.vector_math import FUNCTIONS, VectorMath, scales_on

BLOCK = 1 << 20
"""Elements of one call of a kernel."""
ALL = 1 << 32
SPECIAL = np.array([0.0, 2.0**-149, 2.0**-126, 1.0, np.finfo(np.float32).max, np.inf, np.nan], np.float32)
LN2 = np.log(2.0)
WHOLE = np.arange(-160, 161)

Array = np.ndarray[Any, Any]


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


EXACT: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "exp2": np.exp2,
    "log": np.log,
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "erf": scipy.special.erf,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
}
"""The functions in float64."""

BRANCHES: dict[str, Array] = {
    "exp": np.concatenate([(WHOLE + 0.5) * LN2, [-104.0, -103.97, -87.34, 88.73, 89.0]]),
    "exp2": np.concatenate([WHOLE + 0.5, WHOLE]),
    "log": np.concatenate([2.0 ** np.clip(WHOLE + 0.5, -149, 127), 2.0 ** np.clip(WHOLE, -149, 127)]),
    "sigmoid": np.concatenate([(WHOLE + 0.5) * LN2, [-104.0, -103.97, -87.34, 16.7]]),
    "tanh": np.concatenate([(WHOLE + 0.5) * LN2 / 2, [9.02, 10.0, -10.0]]),
    "erf": np.concatenate([np.linspace(-4.0, 4.0, 81), [3.92, 3.95, -3.95]]),
    "rsqrt": 4.0 ** np.clip(WHOLE, -74, 63),
}
"""Where the code takes another turn: clamps, overflow and underflow, another power of two."""


def sample(name: str, seed: int = 0) -> Array:
    """Floats of every size and sign, one from each of equal parts of the bit patterns; more of those between 2^-20 and
    2^8; all special values; the floats around every branch point."""
    rng = np.random.default_rng(seed)
    everywhere = np.arange(0, ALL, 4096) + rng.integers(0, 4096, ALL // 4096)
    usual = _bits(2.0**-20) + np.arange(0, 28 << 23, 256) + rng.integers(0, 256, (28 << 23) // 256)
    near = _bits(BRANCHES[name])[:, None] + np.arange(-32, 33)[None, :]
    chosen = np.concatenate([everywhere, usual, usual + 2**31, np.clip(near, 0, ALL - 1).ravel()])
    return np.concatenate([chosen.astype(np.uint32).view(np.float32), SPECIAL, -SPECIAL])


def _bits(x: Any) -> Array:
    return np.atleast_1d(np.asarray(x, np.float32)).view(np.uint32).astype(np.int64)


def cpus() -> list[str]:
    """This machine's cpu, and if there are such ones: the same architecture without an instruction for powers of two,
    and without multiply-adds in one rounding."""
    own = str(codegen.llvm_get_system_cpu())
    if "x86_64" not in codegen.llvm_get_system_triple():
        return [own]
    return [own, *(["x86-64-v3"] if scales_on(Target({"kind": "llvm", "mcpu": own})) else []), "x86-64"]


class Kernel:
    """The function as vector code for a cpu."""

    def __init__(self, name: str, cpu: str) -> None:
        x = te.placeholder((BLOCK,), name="x")
        y = te.compute((BLOCK,), lambda i: getattr(tirx, name)(x[i]), name="y")
        schedule = s_tir.Schedule(module_of_tensors([x, y]))
        (loop,) = schedule.get_loops(schedule.get_sblock("y"))
        schedule.vectorize(schedule.split(loop, [None, 16])[1])
        target = Target({"kind": "llvm", "mcpu": cpu})
        library = tvm.tirx.build(VectorMath(target)(schedule.mod), target=target)
        self._function = library["main"]

    def __call__(self, x: Array) -> Array:
        padded = np.zeros(-(-len(x) // BLOCK) * BLOCK, np.float32)
        padded[: len(x)] = x
        y = tvm.runtime.empty((BLOCK,), "float32")
        parts = []
        for block in padded.reshape(-1, BLOCK):
            self._function(tvm.runtime.tensor(block), y)
            parts.append(y.numpy())
        return np.concatenate(parts)[: len(x)]


def errors(name: str, x: Array, y: Array) -> Array:
    """Errors of float32 ``y`` in ulp: the distance of the floats around the exact result. Infinite where the one is
    NaN and the other is not, or where the sign is wrong, that of a zero included."""
    with np.errstate(all="ignore"):
        exact = EXACT[name](x.astype(np.float64))
        exponents = np.where(exact == 0, -125, np.clip(np.frexp(exact)[1], -125, 128))
        capped = np.clip(exact, -(2.0**128), 2.0**128)  # the float after the largest one stands for infinity
        found = np.clip(y.astype(np.float64), -(2.0**128), 2.0**128)
        off = np.abs(found - capped) / np.ldexp(1.0, exponents - 24)
    off[np.isnan(y) & np.isnan(exact)] = 0.0
    off[np.isnan(y) != np.isnan(exact)] = np.inf
    off[(np.signbit(y) != np.signbit(exact)) & ~np.isnan(exact)] = np.inf
    return off


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(FUNCTIONS))
    parser.add_argument("--cpu", default=cpus()[0])
    parser.add_argument("--part", default="0/1", help="K/N: the K-th of N parts of the floats")
    options = parser.parse_args()
    part, parts = map(int, options.part.split("/"))
    for name in options.names:
        kernel, worst, at = Kernel(name, options.cpu), 0.0, float("nan")
        for start in range(part * ALL // parts, (part + 1) * ALL // parts, BLOCK):
            x = np.arange(start, start + BLOCK, dtype=np.int64).astype(np.uint32).view(np.float32)
            off = errors(name, x, kernel(x))
            if off.max() > worst:
                worst, at = float(off.max()), float(x[off.argmax()])
        print(f"{name:8} {options.cpu:8} part {options.part}: {worst:.3f} ulp at {at!r}", flush=True)


if __name__ == "__main__":
    main()
