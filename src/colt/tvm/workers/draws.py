"""On which inputs a candidate is compared with the untuned program. Each draw shows what the others hide.

usual      small random numbers. Faults of indices and formulas show.
whole      numbers of one size: sums of them are exact in any order, even in few bits, so a lost term shows. Where
           float16 has no part in the program, they are too large for it: what passes through it becomes infinite or 0.
few large  most numbers are 0, and few are 8, others in each row and column. In softmax and in norms nothing is exact;
           there a single term carries much of the result, and a lost one shows beyond what rounding explains.

ties       three of the usual numbers, in eighths, so that many are equal, and so are sums of them in any order. Where a
           comparison decides, such as in an argmax, the first of equals has to stay the first.

The second and third are for sums in few bits, and for results in few bits: rounding would hide there what is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from typing import Any

import numpy as np
import tvm
from tvm import tirx
from tvm.tirx import PrimFunc

from colt.tvm.programs.arrays import Array, is_float
from colt.tvm.programs.walks import walk
from colt.tvm.workers.arguments import Drawing, Signature, contents
from colt.tvm.workers.wide import NARROW, Sums

MANY_TERMS = 4096
"""So many terms of -1 and 1 hardly ever add up to more than 256, from where on bfloat16 skips numbers. A single term of
more may be less than what float32 allows."""
BEYOND_FLOAT16 = 2.0**26
"""A power of two, so that products and sums stay as exact as those of ones. Its reciprocal vanishes in float16, and the
product of four is a number of float32 still."""
LARGE = 8.0
"""Its exponential is 3,000 times that of 0, and bfloat16 still tells it from its neighbours to 1/16."""
_LARGE_IN_A_ROW = 4
_MANY_ELEMENTS = 64
_FEW_VALUES = 3
_STEP = 1 / 8
"""Products of two have six bits after the point, so that float32 holds sums of 2^17 of them exactly."""
_MOST_TURNS = 8
_MOST_EXACT = 1 << 17
_LINEAR = frozenset(("if_then_else", "likely", "fabs", "copysign"))
"""Calls that leave whole numbers whole."""


class DrawKind(StrEnum):
    """See the module."""

    USUAL = "usual"
    WHOLE = "whole"
    FEW_LARGE = "few large"
    TIES = "ties"


@dataclass(frozen=True, slots=True)
class InputDraw:
    """One way to draw the inputs; several of a kind differ in their ``turn``."""

    kind: DrawKind = DrawKind.USUAL
    turn: int = 0
    terms: int = 1
    """How many terms the longest sum of the program has."""
    size: float = 1.0
    """How large whole numbers are."""

    def contents(self, parameters: Signature, drawing: Drawing) -> tuple[Array, ...]:
        """What the parameters hold at first. Whatever the user gives or the program needs care with is as usual."""
        usual = contents(parameters, drawing)
        if self.kind is DrawKind.USUAL:
            return usual
        if self.kind is DrawKind.TIES:
            return tuple(
                self._tied(array, i, drawing) if is_float(array.dtype) and i not in drawing.stored else array
                for i, array in enumerate(usual)
            )
        return tuple(
            self._free(array, i, drawing)
            if is_float(array.dtype) and i not in drawing.given and drawing.domain(i) is None
            else array
            for i, array in enumerate(usual)
        )

    def _free(self, array: Array, number: int, drawing: Drawing) -> Array:
        rng = np.random.default_rng((drawing.seed, number, self.turn))
        if self.kind is DrawKind.FEW_LARGE:
            return np.where(_few(array.shape, self.turn), LARGE, 0.0).astype(array.dtype)
        drawn = 2 * rng.integers(0, 2, array.shape) - 1
        if self.terms > MANY_TERMS:
            drawn *= rng.integers(0, 2, array.shape)
        return (self.size * drawn).astype(array.dtype)

    def _tied(self, array: Array, number: int, drawing: Drawing) -> Array:
        """Numbers from where the program needs them, and the user has them: the first ones of the usual draw, in whole
        steps; the usual draw where no step lies there."""
        steps = array.astype(np.float64) / _STEP
        if not array.size or np.ceil(steps.min()) > np.floor(steps.max()):
            return array
        few = np.clip(np.round(steps.reshape(-1)[:_FEW_VALUES]), np.ceil(steps.min()), np.floor(steps.max())) * _STEP
        rng = np.random.default_rng((drawing.seed, number))
        found: Array = few[rng.integers(0, few.size, array.shape)].astype(array.dtype)
        return found

    @property
    def certain(self) -> bool:
        """Whether the program computes something of use on it in any case."""
        return self.kind is not DrawKind.FEW_LARGE and self.size == 1

    @property
    def remark(self) -> str:
        """What a verdict on it says of the inputs."""
        if self.kind is DrawKind.WHOLE:
            return "inputs -1, 0 and 1" if self.size == 1 else f"inputs of {self.size:g}"
        if self.kind is DrawKind.TIES:
            return "inputs many of which are equal"
        return f"inputs 0 and {LARGE:g}" if self.kind is DrawKind.FEW_LARGE else ""


USUAL = InputDraw()


def further_draws(function: PrimFunc, written: list[Array], sums: Sums | None) -> Iterator[InputDraw]:
    """The draws on which a candidate that is right on the usual one is compared as well.

    ``written`` are results of the untuned program. Fewer elements have fewer chances to show a fault, so there are more
    draws then.
    """
    narrow = any(array.dtype.name in NARROW for array in written)
    terms = 1 if sums is None else sums.terms
    long = sums is not None and (sums.narrow or sums.terms > MANY_TERMS)
    uses = _Uses(function)
    exact = not uses.functions and (sums is None or not (sums.narrow or sums.terms > _MOST_EXACT))
    if uses.compares and exact:  # where numbers are rounded it is open what is equal
        yield InputDraw(DrawKind.TIES)
    if not long and not (narrow and uses.wider):
        return
    few = max(1, min(_MOST_TURNS, _MANY_ELEMENTS // max(1, max(array.size for array in written))))
    size = 1.0 if uses.half or not narrow else BEYOND_FLOAT16
    turns = few if long else 1
    yield from (InputDraw(DrawKind.WHOLE, turn, terms, size) for turn in range(1, turns + 1))
    if narrow and uses.functions and sums is not None:
        yield from (InputDraw(DrawKind.FEW_LARGE, turn, terms) for turn in range(few))


class _Uses:
    """What of a program decides on its draws."""

    def __init__(self, function: Any) -> None:
        self.functions = False
        """Whether it calls any that make other numbers of whole ones, or divides."""
        self.half = False
        self.compares = False
        """Whether a comparison of numbers with a point decides something."""
        self.wider = False
        """Whether it computes anything as float32."""
        for parameter in function.params:
            self._dtype(getattr(parameter, "dtype", ""))
        rules = (
            (tvm.ir.Call, self._call),
            (tirx.Div, self._divide),
            *((kind, self._compare) for kind in (tirx.LT, tirx.LE, tirx.GT, tirx.GE, tirx.EQ, tirx.NE)),
            (tirx.BufferStore, lambda node: self._dtype(node.buffer.dtype)),
            (tirx.Cast, lambda node: self._dtype(node.ty.dtype)),
        )
        walk(function.body, *rules)

    def _dtype(self, dtype: Any) -> None:
        self.half |= str(dtype) == "float16"
        self.wider |= str(dtype) == "float32"

    def _call(self, node: Any) -> None:
        name = str(getattr(node.op, "name", "")).rpartition(".")[2]
        self.functions |= name not in _LINEAR and "float" in str(getattr(node.ty, "dtype", ""))

    def _compare(self, node: Any) -> None:
        self.compares |= "float" in str(node.a.ty.dtype)

    def _divide(self, node: Any) -> None:
        self.functions |= "float" in str(node.ty.dtype)


def _few(shape: tuple[int, ...], turn: int) -> Array:
    """Whether an element lies on one of the diagonals that begin at either end, about four in a row at each; each
    ``turn`` has others."""
    period = max(2, max(shape, default=0) // _LARGE_IN_A_ROW)
    nothing = np.zeros((), np.int32)
    forth = reduce(np.add.outer, (np.arange(extent, dtype=np.int32) for extent in shape), nothing)
    back = sum(shape) - len(shape) - forth
    found: Array = ((forth + turn) % period == 0) | ((back + turn) % period == 0)
    return found
