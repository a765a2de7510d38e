"""A model as it was imported, wherever it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import tvm

Array = np.ndarray[Any, Any]
Reference = Callable[[Sequence[Any]], list[Any]]
"""From inputs to outputs, by whoever the model came from: arrays of NumPy. Raises :class:`CannotTell`, or what it likes
where the model cannot be computed."""


class CannotTell(Exception):
    """Whoever the model came from lacks something that the model needs, which says nothing about the model. The text
    says what."""


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


class OpenModel(Protocol):
    """A model in a file that leaves some sizes open. ``sizes`` have one for each of the names that the user has for
    those; what else the file leaves open is fixed. All raise :class:`InputError` for what the model cannot take.

    It can be pickled: another process opens the file anew."""

    @property
    def axes(self) -> tuple[tuple[int | str, ...], ...]:
        """The shapes of its inputs, with a name where a size is open."""
        ...

    def at(self, sizes: Mapping[str, int]) -> Graph:
        """The model for these sizes alone."""
        ...

    def opened(self, sizes: Mapping[str, int]) -> Graph:
        """The model for all sizes, with an example of these."""
        ...

    def example(self, sizes: Mapping[str, int]) -> tuple[Array, ...]:
        """Inputs of these sizes."""
        ...
