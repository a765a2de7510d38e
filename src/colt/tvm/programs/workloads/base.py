"""What a workload is. Free of TVM, so that listing workloads is quick."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from colt.errors import InputError

Array = NDArray[Any]
ShapeT = TypeVar("ShapeT")

DTYPE_BYTES: Mapping[str, int] = {
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "bool": 1,
}
"""Bytes of an element, for every data type that an argument may have."""


class Role(StrEnum):
    """What a program does with an argument; INOUT reads what was there before writing to it."""

    INPUT = "input"
    OUTPUT = "output"
    INOUT = "inout"


@dataclass(frozen=True, slots=True)
class Argument:
    """A tensor that the program is called with."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: Role

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return math.prod(self.shape) * DTYPE_BYTES[self.dtype]


def min_bytes_of(arguments: Sequence[Argument]) -> int:
    """Bytes that memory must move at least to run a program: each argument once, INOUT twice."""
    return sum(argument.nbytes * (2 if argument.role is Role.INOUT else 1) for argument in arguments)


@dataclass(frozen=True, slots=True)
class Workload(Generic[ShapeT]):
    """A named program at two sizes; ``ShapeT`` is the frozen dataclass of its extents.

    Wherever a method takes ``size`` it takes the name of a size or a ``ShapeT`` of one's own.
    """

    name: str
    description: str
    """One line."""
    sizes: Mapping[str, ShapeT]
    """``small`` tunes in seconds, ``paper`` is the real layer."""
    make_module: Callable[[ShapeT], Any]
    """The program as an ``IRModule`` with one PrimFunc ``main``: inputs first, the output last."""
    count_flops: Callable[[ShapeT], int]
    compute: Callable[..., Array]
    """numpy's version: takes the inputs in order, returns the output."""

    def shape(self, size: str | ShapeT) -> ShapeT:
        """The extents of a size. Raises :class:`~colt.errors.InputError` for an unknown name."""
        if not isinstance(size, str):
            return size
        if size not in self.sizes:
            raise InputError(f"workload {self.name} has no size {size!r}; it has {' and '.join(self.sizes)}")
        return self.sizes[size]

    def build(self, size: str | ShapeT) -> Any:
        """The untuned program, a ``tvm.IRModule``."""
        return self.make_module(self.shape(size))

    def flops(self, size: str | ShapeT) -> int:
        """Floating-point operations of the contractions, a multiply-add counted as 2.

        Softmax, activations and padding are left out, as is usual for these layers: they are below 3 % of the work.
        """
        return self.count_flops(self.shape(size))

    def arguments(self, size: str | ShapeT) -> tuple[Argument, ...]:
        """Inputs, then the output."""
        from colt.tvm.programs.program import arguments_of  # this module stays free of TVM

        return arguments_of(self.build(size)["main"])

    def min_bytes(self, size: str | ShapeT) -> int:
        """Bytes that memory must move at least: each input and the output once."""
        return min_bytes_of(self.arguments(size))

    def reference(self, inputs: Sequence[Array]) -> Array:
        """The output for these inputs by numpy; the extents are those of the inputs."""
        return self.compute(*inputs)
