"""What a program is called with. Free of TVM."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

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
