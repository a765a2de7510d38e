"""What programs are called with: random inputs by data type, poison, and arrays kept from job to job."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm.s_tir.meta_schedule.arg_info import ArgInfo, TensorInfo

from colt.tvm.programs.arrays import Array, is_float, numbered, numpy_dtype
from colt.tvm.programs.domains import POSITIVE, SMALL_INTEGERS, Domain, Domains

FLOAT_POISON = 0xFF  # in every byte, this is NaN in all IEEE-like formats
OTHER_POISON = 0xA5
_SCALE = 0.5  # softmax inputs still differ enough to matter, and float16 does not overflow in long reductions


@dataclass(frozen=True, slots=True)
class Drawing:
    """How the contents of arguments come about. Equal drawings give equal contents."""

    domains: Domains | None = None
    """From where random contents are drawn, by parameter."""
    seed: int = 0
    file: str | None = None
    """An .npz file with arrays that the user gave."""
    stored: frozenset[int] = frozenset()
    """The numbers of the parameters whose contents it has."""
    given: frozenset[int] = frozenset()
    """Those, and the numbers of the parameters whose range the user gave."""

    def domain(self, number: int) -> Domain | None:
        """From where the parameter is drawn; ``None`` if it needs no care."""
        return None if self.domains is None else self.domains[number]


@dataclass(frozen=True, slots=True)
class Parameter:
    """Shape and data type (TVM's name for it) of a buffer parameter."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        """The array's size."""
        return int(np.prod(self.shape, dtype=np.int64)) * numpy_dtype(self.dtype).itemsize


Signature = tuple[Parameter, ...]


def signature(module: tvm.IRModule) -> Signature:
    """The parameters of ``main``. Raises TypeError for one that is no buffer."""
    parameters: list[Parameter] = []
    for info in ArgInfo.from_entry_func(module, remove_preproc=False):
        if not isinstance(info, TensorInfo):
            raise TypeError(f"parameter {len(parameters)} is no buffer but {info}")
        parameters.append(Parameter(tuple(int(extent) for extent in info.shape), str(info.dtype)))
    return tuple(parameters)


def random_array(parameter: Parameter, index: int, seed: int, domain: Domain | None = None) -> Array:
    """Random contents for the parameter at ``index``: small floats around 0, booleans, or small integers >= 0, unless
    a domain says otherwise."""
    rng = np.random.default_rng((seed, index))
    dtype = numpy_dtype(parameter.dtype)
    if domain is not None:
        return _within(domain, parameter, rng)
    if is_float(dtype):
        wide = np.float64 if dtype.itemsize == 8 else np.float32
        return (rng.standard_normal(parameter.shape, dtype=wide) * wide(_SCALE)).astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, parameter.shape, dtype=np.uint8).astype(dtype)
    return rng.integers(0, SMALL_INTEGERS, parameter.shape, dtype=np.uint8).astype(dtype)


def contents(parameters: Signature, drawing: Drawing) -> tuple[Array, ...]:
    """What the parameters hold at first."""
    return tuple(_content(parameter, i, drawing) for i, parameter in enumerate(parameters))


def _content(parameter: Parameter, number: int, drawing: Drawing) -> Array:
    if drawing.file is None or number not in drawing.stored:
        return random_array(parameter, number, drawing.seed, drawing.domain(number))
    return numbered(Path(drawing.file), number).view(numpy_dtype(parameter.dtype))


def positive(parameters: Signature, drawing: Drawing) -> Drawing:
    """All floats positive that the user does not give, the rest as it was: for programs that compute nothing finite
    otherwise."""
    care = tuple(
        Domain(*POSITIVE) if is_float(numpy_dtype(parameter.dtype)) and i not in drawing.given else drawing.domain(i)
        for i, parameter in enumerate(parameters)
    )
    return replace(drawing, domains=care)


def _within(domain: Domain, parameter: Parameter, rng: np.random.Generator) -> Array:
    dtype = numpy_dtype(parameter.dtype)
    if is_float(dtype):
        return rng.uniform(domain.low, domain.high, parameter.shape).astype(dtype)
    drawn = rng.integers(int(domain.low), int(domain.high) + 1, parameter.shape)
    if domain.order and drawn.size:
        drawn.sort(axis=-1)
        drawn[..., 0], drawn[..., -1] = int(domain.low), int(domain.high)
    return drawn.astype(dtype)


def poisoned_array(parameter: Parameter) -> Array:
    """Contents that no kernel is expected to compute: a NaN of one bit pattern, or a sentinel."""
    dtype = numpy_dtype(parameter.dtype)
    array: Array = np.empty(parameter.shape, dtype)
    raw_bytes(array)[:] = FLOAT_POISON if is_float(dtype) else OTHER_POISON
    return array


def raw_bytes(array: Array) -> NDArray[np.uint8]:
    """The array's memory, flat; the array must be contiguous."""
    return array.reshape(-1).view(np.uint8)


def to_device(array: Array) -> Any:
    """A TVM tensor holding a copy."""
    return tvm.runtime.tensor(array)


class ArgumentCache:
    """Argument tensors for timing, kept per signature and drawing within a memory budget; the least recently used go
    first.

    ``tensor`` copies an array to where the kernels run.
    """

    def __init__(self, limit_bytes: int, tensor: Callable[[Array], Any] = to_device) -> None:
        self._limit = limit_bytes
        self._tensor = tensor
        self._kept: OrderedDict[tuple[Signature, Drawing], _Arguments] = OrderedDict()

    def get(self, wanted: Signature, restore: frozenset[int], drawing: Drawing | None = None) -> list[Any]:
        """The tensors for a signature. Those with an index in ``restore`` get their first contents back: a program
        that updates a parameter in place would find what the last candidate left."""
        key = wanted, drawing or Drawing()
        if key not in self._kept:
            self._kept[key] = _Arguments(wanted, self._tensor, key[1])
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(kept.bytes for kept in self._kept.values()) > self._limit:
            self._kept.popitem(last=False)
        self._kept[key].restore(restore)
        return self._kept[key].tensors


class _Arguments:
    def __init__(self, parameters: Signature, tensor: Callable[[Array], Any], drawing: Drawing) -> None:
        self._parameters = parameters
        self._drawing = drawing
        self._first_contents: dict[int, Array] = {}
        self.tensors = [tensor(array) for array in contents(parameters, drawing)]

    @property
    def bytes(self) -> int:
        return sum(p.bytes for p in self._parameters) + sum(array.nbytes for array in self._first_contents.values())

    def restore(self, indices: frozenset[int]) -> None:
        for i in indices:
            if i not in self._first_contents:
                self._first_contents[i] = _content(self._parameters[i], i, self._drawing)
            self.tensors[i].copyfrom(self._first_contents[i])
