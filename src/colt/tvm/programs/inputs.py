"""Inputs that the user gives: arrays, or ranges from which random contents are drawn.

They come as a mapping, an .npz file, a sequence in the order of the inputs, or a function of a random generator that
returns one of these. All are checked against the program before anything runs.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tvm.tirx import PrimFunc

from colt.errors import InputError
from colt.store.directory import INPUTS
from colt.tvm.programs.arguments import Argument, Role
from colt.tvm.programs.arrays import Array, ArrayFile, is_float, numbered, numpy_dtype
from colt.tvm.programs.domains import Domain, outside
from colt.tvm.programs.intervals import Interval
from colt.util.text import did_you_mean

WANTED = "an array, or a range as a pair (low, high), both included"


@dataclass(frozen=True, eq=False, slots=True)
class UserInputs:
    """What the user says of a program's arguments; all others are drawn as usual."""

    arrays: Mapping[int, Array]
    """By the argument's number."""
    ranges: Mapping[int, Domain]
    names: tuple[str, ...]
    """The arguments that something is said of."""

    def to_config(self, arguments: Sequence[Argument]) -> dict[str, object]:
        """For a run's config, by the argument's name: a range, or the file that has the array."""
        stored = {arguments[number].name: INPUTS for number in self.arrays}
        return {**stored, **{arguments[number].name: [d.low, d.high] for number, d in self.ranges.items()}}


def user_inputs(given: Any, arguments: Sequence[Argument], function: PrimFunc, seed: int) -> UserInputs:
    """Check what the user gives. ``seed`` seeds the generator of a function.

    Raises
    ------
    InputError
        It is not for this program: a name, shape, data type or index does not fit; the message says what is accepted.
    """
    if callable(given):
        given = given(np.random.default_rng(seed))
    named = _by_name(given, arguments)
    numbers = {argument.name: number for number, argument in enumerate(arguments)}
    arrays: dict[int, Array] = {}
    ranges: dict[int, Domain] = {}
    for name, value in named.items():
        argument = _input_named(name, arguments)
        number = numbers[argument.name]
        if _is_range(value):
            ranges[number] = _range(argument, value)
        else:
            arrays[number] = _array(argument, value() if callable(value) else value)
    _require_inside(arrays, ranges, arguments, function)
    return UserInputs(arrays, ranges, tuple(named))


def recorded_inputs(
    table: object, folder: Path, arguments: Sequence[Argument], function: PrimFunc
) -> UserInputs | None:
    """What :meth:`UserInputs.to_config` stands for; ``folder`` is the run's. Raises :class:`InputError`."""
    if table is None:
        return None
    if not isinstance(table, dict):
        raise InputError("the table inputs has, by name, ranges or the name of a file")
    numbers = {argument.name: number for number, argument in enumerate(arguments)}
    named = {
        name: numbered(folder / INPUTS, numbers[name]) if value == INPUTS and name in numbers else value
        for name, value in table.items()
    }
    return user_inputs(named, arguments, function, seed=0)


# ---- what was given ----


def _by_name(given: Any, arguments: Sequence[Argument]) -> Mapping[str, Any]:
    """Contents by name; those of a file are functions that read them, once their header has been checked."""
    if isinstance(given, str | os.PathLike):
        return _of_file(Path(os.fspath(given)).expanduser(), arguments)
    if isinstance(given, Mapping):
        for name in given:
            if not isinstance(name, str):
                raise InputError(f"inputs are named by text, not by {name!r}; {_offer(arguments)}")
        return given
    if isinstance(given, Sequence):
        return dict(_in_order(given, arguments))
    raise InputError(
        f"inputs are of type {type(given).__name__}; accepted are a mapping from names to {WANTED}; the name of an "
        ".npz file; a sequence of arrays; or a function of a numpy.random.Generator that returns one of these"
    )


def _of_file(path: Path, arguments: Sequence[Argument]) -> Mapping[str, Any]:
    file = ArrayFile(path)

    def reader(name: str, argument: Argument) -> Callable[[], Array]:
        _require_type(argument, *file.headers[name])
        return lambda: file.read(name)

    unnamed = [f"arr_{number}" for number in range(len(file.headers))]
    if file.headers and set(file.headers) == set(unnamed) and not {a.name for a in arguments} & set(unnamed):
        pairs = _in_order(unnamed, arguments)  # as numpy.savez(file, a, b) names them
        return {name: reader(stored, _input_named(name, arguments)) for name, stored in pairs}
    return {name: reader(name, _input_named(name, arguments)) for name in file.headers}


def _in_order(given: Sequence[Any], arguments: Sequence[Argument]) -> list[tuple[str, Any]]:
    inputs = [argument.name for argument in arguments if argument.role is not Role.OUTPUT]
    if len(given) != len(inputs):
        raise InputError(f"{len(given)} inputs are given, the program has {len(inputs)}: {', '.join(inputs)}")
    return list(zip(inputs, given, strict=True))


def _input_named(name: str, arguments: Sequence[Argument]) -> Argument:
    found = next((argument for argument in arguments if argument.name == name), None)
    if found is None:
        names = [argument.name for argument in arguments if argument.role is not Role.OUTPUT]
        raise InputError(f"{name!r} is no input of the program; {did_you_mean(name, names)}")
    if found.role is Role.OUTPUT:
        raise InputError(f"{name} is an output, which the program writes; {_offer(arguments)}")
    return found


def _offer(arguments: Sequence[Argument]) -> str:
    return f"its inputs are {', '.join(argument.name for argument in arguments if argument.role is not Role.OUTPUT)}"


# ---- one input ----


def _is_range(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(end, int | float) for end in value)


def _range(argument: Argument, value: Sequence[Any]) -> Domain:
    low, high = value
    dtype = numpy_dtype(argument.dtype)
    shown = f"input {argument.name} has the range {low!r} to {high!r}"
    if any(isinstance(end, bool) for end in value) or dtype.kind == "b":
        raise InputError(f"{shown}; ranges are of numbers, for inputs that are no bool")
    try:
        finite = all(math.isfinite(end) for end in value)
    except OverflowError:
        finite = False
    if not finite or low > high:
        raise InputError(f"{shown}; a range goes from a number to one that is not smaller, both finite")
    if not is_float(dtype):
        limits = np.iinfo(dtype)
        if low != int(low) or high != int(high) or low < limits.min or high > limits.max:
            raise InputError(f"{shown}, but is {argument.dtype}: whole numbers from {limits.min} to {limits.max}")
        return Domain(int(low), int(high))
    return Domain(float(low), float(high))


def _array(argument: Argument, value: Any) -> Array:
    if not isinstance(value, np.ndarray):
        if not hasattr(value, "__array__") and not hasattr(value, "numpy"):
            raise InputError(f"input {argument.name} is of type {type(value).__name__}; it takes {WANTED}")
        value = value.numpy() if hasattr(value, "numpy") else np.asarray(value)
    _require_type(argument, value.shape, value.dtype)
    dtype = numpy_dtype(argument.dtype)
    if value.dtype.kind == "V" and value.dtype != dtype:
        value = value.view(dtype)
    found: Array = np.ascontiguousarray(value.astype(dtype, copy=False)).reshape(argument.shape)
    return found


def _require_type(argument: Argument, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """An array is of the program's type. Types that NumPy lacks come as float32, which is rounded, or as the bytes that
    ``numpy.savez`` makes of them."""
    wanted = numpy_dtype(argument.dtype)
    foreign = not wanted.isbuiltin or wanted.kind == "V"
    bare = dtype.kind == "V" and dtype.names is None and dtype.itemsize == wanted.itemsize
    if dtype != wanted and not (foreign and (dtype == np.float32 or bare)):
        also = " or float32" if foreign else ""
        raise InputError(f"input {argument.name} is of type {dtype.name}; the program takes {argument.dtype}{also}")
    if tuple(shape) != argument.shape:
        raise InputError(f"input {argument.name} has the shape {tuple(shape)}; the program takes {argument.shape}")


# ---- together ----


def _require_inside(
    arrays: Mapping[int, Array], ranges: Mapping[int, Domain], arguments: Sequence[Argument], function: PrimFunc
) -> None:
    """See that indices stay within what they index, as far as that follows from single inputs."""
    ends: dict[int, Interval] = {number: (domain.low, domain.high) for number, domain in ranges.items()}
    ascending: set[int] = set()
    for number, array in arrays.items():
        if array.dtype.kind in "iu" and array.size:
            ends[number] = (float(array.min()), float(array.max()))
            if array.ndim and bool((np.diff(array, axis=-1) >= 0).all()):
                ascending.add(number)
    found = outside(function, ends, ascending)
    if found is not None:
        low, high = ends[found.parameter]
        wrong = low if low < found.accepted[0] else high
        raise InputError(
            f"input {arguments[found.parameter].name} holds {wrong:g}, with which the program reads or writes outside "
            f"of a tensor; accepted are {found.accepted[0]:g} to {found.accepted[1]:g}"
        )
