"""A model as it was imported, wherever it came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tvm

Array = np.ndarray[Any, Any]
Reference = Callable[[Sequence[Any]], list[Any]]
"""From inputs to outputs, by whoever the model came from: arrays of NumPy."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Operators of Relax, in the function ``main``, with the weights as constants."""

    name: str
    module: tvm.IRModule = field(repr=False)
    inputs: tuple[str, ...]
    example: tuple[Array, ...] = field(repr=False)
    """Inputs to compare and to time with."""
    reference: Reference | None = field(default=None, repr=False)
    against: str = ""
    """What the reference is, in words."""
    outputs: tuple[str, ...] = ()
    """Names of the outputs; they are numbered if there are none."""
    notes: tuple[str, ...] = ()
    """What whoever compiles it has to know, in a sentence each."""
    narrow: str = ""
    """The narrowest type that it computes products in, where that is not the type of its tensors: ``int8`` of a
    quantised model."""
