"""One program, what it computes, and the arguments that suit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Reference = Callable[..., list[Array]]
"""Takes the arguments as they are before the call; returns what the last of them hold after it."""
Draw = Callable[[np.random.Generator], Array]
TOLERANCES = {"float64": 1e-10, "float32": 1e-4, "float16": 2e-2, "bfloat16": 5e-2}
"""Errors that are allowed, relative to the largest magnitude of the right result."""
SMALL_INTEGERS = 4


@dataclass(frozen=True)
class Case:
    """A program, or a function that returns one."""

    program: Any
    reference: Reference
    draw: Mapping[int, Draw] = field(default_factory=dict)
    """What arguments have to be like, by number; the others are drawn from the normal distribution or below 4."""
    tolerance: float | None = None
    """If it is not that of the data type: sums of many terms in few bits."""

    def arguments(self, parameters: list[tuple[tuple[int, ...], str]], seed: int = 0) -> list[Array]:
        """Arguments for these shapes and data types; outputs hold numbers too, which must not matter."""
        rng = np.random.default_rng(seed)
        found = []
        for number, (shape, dtype) in enumerate(parameters):
            draw = self.draw.get(number)
            array = usual(rng, shape, dtype) if draw is None else draw(rng)
            found.append(np.array(array, numpy_dtype(dtype), order="C").reshape(shape))
        return found

    def error(self, before: list[Array], after: list[Array]) -> tuple[float, float]:
        """The largest error of the outputs relative to their largest magnitude, and how much is allowed."""
        wanted = self.reference(*(array.copy() for array in before))
        errors = [_error(right, found) for right, found in zip(wanted, after[len(after) - len(wanted) :], strict=True)]
        allowed = max(TOLERANCES.get(found.dtype.name, 0.0) for found in after[len(after) - len(wanted) :])
        return max(errors), allowed if self.tolerance is None else self.tolerance


class Cases(dict[str, Case]):
    """Cases by the names of their programs; an instance decorates programs."""

    def __call__(
        self, reference: Reference, draw: Mapping[int, Draw] | None = None, tolerance: float | None = None
    ) -> Callable[[Any], Any]:
        def register(program: Any) -> Any:
            name = program.__name__ if callable(program) and hasattr(program, "__name__") else _symbol(program)
            self[name] = Case(program, reference, draw or {}, tolerance)
            return program

        return register


def usual(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    if dtype == "bool":
        return rng.integers(0, 2, shape)
    return rng.standard_normal(shape) if "float" in dtype else rng.integers(0, SMALL_INTEGERS, shape)


def within(low: float, high: float, *shape: int) -> Draw:
    """Floats between ``low`` and ``high``."""
    return lambda rng: rng.uniform(low, high, shape)


def integers(low: int, high: int, *shape: int) -> Draw:
    """Integers from ``low`` to below ``high``."""
    return lambda rng: rng.integers(low, high, shape)


def pointers(rows: int, most: int) -> Draw:
    """Where ``rows`` rows begin and the last ends, in ascending order, from 0 to ``most``."""
    return lambda rng: np.array([0, *np.sort(rng.integers(0, most + 1, rows - 1)), most])


def numpy_dtype(name: str) -> Any:
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def _symbol(program: Any) -> str:
    return str(program.attrs["global_symbol"])


def _error(right: Array, found: Array) -> float:
    right, wide = np.broadcast_to(np.asarray(right, np.float64), found.shape), found.astype(np.float64)
    same = (right == wide) | (np.isnan(right) & np.isnan(wide))
    off = np.where(same, 0.0, abs(right - wide))
    if not np.isfinite(off).all():
        return float("inf")
    largest = abs(right[np.isfinite(right)]).max(initial=0.0)
    return float(off.max(initial=0.0) / largest) if largest else float(off.max(initial=0.0) > 0)
