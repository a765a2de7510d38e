"""Inputs of a model of ONNX: their shapes, sizes that are left open given one, and contents to try it with."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from colt.errors import InputError
from colt.tvm.models.graph import Array
from colt.tvm.models.library import ready
from colt.util.text import counted, did_you_mean

OPEN = 1
"""A size that the file leaves open and the user does not give."""
_MOST = 1 << 31
"""Numbers of an input at most."""
Example = Sequence[Any] | Mapping[str, Any] | Any
"""Arrays or tensors: in order, by name, or a single one."""
_EXAMPLES = "accepted are arrays of NumPy and tensors, in a tuple or a list, or by the inputs' names in a dictionary"
_PASSING = ("Cast", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Flatten", "Expand", "Transpose")
"""Operators that move or convert their first input, and leave its values."""


@dataclass(frozen=True, slots=True)
class Input:
    """An input of the model."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: tuple[int | str, ...]
    """The shape, with the names of sizes that stay open."""


def inputs_of(
    model: Any, shapes: Mapping[str, Sequence[int]], sizes: Mapping[str, int], opened: Collection[str]
) -> tuple[tuple[Input, ...], tuple[str, ...]]:
    """The inputs, and what has to be said of them. ``sizes`` are by the names that they have in the file, and
    ``opened`` those names whose sizes stay open. Raises :class:`InputError`."""
    values = values_of(model)
    names = [one.name for one in values]
    for name in shapes:
        if name not in names:
            raise InputError(f"the model has no input {name}; {did_you_mean(name, names)}")
    if not values:
        raise InputError("the model has no inputs")
    known = _sizes(values, shapes, sizes)
    found, notes = [], list[str]()
    for value in values:
        shape = tuple(shapes[value.name]) if value.name in shapes else _filled(value, known)
        if math.prod(shape) > _MOST:
            raise InputError(f"input {value.name} is of shape {list(shape)}, which is more than {_MOST:,} numbers")
        axes = value.type.tensor_type.shape.dim
        names_of = [axis.dim_param if axis.dim_param in opened else "" for axis in axes] or [""] * len(shape)
        kept = tuple(name or size for name, size in zip(names_of, shape, strict=True))
        found.append(Input(value.name, shape, _dtype(value), kept))
        if value.name not in shapes and any(_size(axis) is None and axis.dim_param not in sizes for axis in axes):
            notes.append(f"input {value.name} is compiled for the shape {list(shape)}: the file leaves sizes open")
    return tuple(found), tuple(notes)


def values_of(model: Any) -> list[Any]:
    """The model's inputs as the file describes them; each axis whose size it leaves open has a name, which is
    ``INPUT.AXIS`` if the file gives none."""
    weights = {one.name for one in model.graph.initializer}
    values = [one for one in model.graph.input if one.name not in weights]
    for value in values:
        for number, axis in enumerate(value.type.tensor_type.shape.dim):
            if _size(axis) is None and not axis.dim_param:
                axis.dim_param = f"{value.name}.{number}"
    return values


def open_sizes(values: Sequence[Any]) -> dict[str, list[str]]:
    """The sizes that a file leaves open: its name for each, with the axes that have it as ``INPUT.AXIS``."""
    found: dict[str, list[str]] = {}
    for value in values:
        for number, axis in enumerate(value.type.tensor_type.shape.dim):
            if _size(axis) is None:
                found.setdefault(axis.dim_param, []).append(f"{value.name}.{number}")
    return found


def _dtype(value: Any) -> np.dtype[Any]:
    kind = value.type.tensor_type.elem_type
    if value.type.WhichOneof("value") != "tensor_type" or kind == onnx.TensorProto.STRING:
        raise InputError(f"input {value.name} is no tensor of numbers")
    try:
        found: np.dtype[Any] = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    except KeyError:
        raise InputError(f"input {value.name} is of no type that is known") from None
    return found


def _size(axis: Any) -> int | None:
    """The axis's size; ``None`` if the file leaves it open."""
    return int(axis.dim_value) if axis.HasField("dim_value") and axis.dim_value > 0 else None


def _sizes(values: Sequence[Any], shapes: Mapping[str, Sequence[int]], sizes: Mapping[str, int]) -> dict[str, int]:
    """What the sizes are that have a name in the file, by those given and by the shapes. Raises
    :class:`InputError`."""
    found = dict(sizes)
    for value in values:
        if value.name not in shapes:
            continue
        given, axes = shapes[value.name], value.type.tensor_type.shape.dim
        known = value.type.tensor_type.HasField("shape")
        if known and not _fits(given, axes):
            raise InputError(f"input {value.name} cannot be of shape {list(given)}; it takes {_written(axes)}")
        for axis, size in zip(axes, given, strict=False):
            if axis.dim_param and found.setdefault(axis.dim_param, size) != size:
                one, other = ("as given", "an input") if axis.dim_param in sizes else ("for one input", "another")
                raise InputError(f"size {axis.dim_param} is {found[axis.dim_param]} {one} and {size} for {other}")
    return found


def _fits(given: Sequence[int], axes: Sequence[Any]) -> bool:
    return len(given) == len(axes) and all(_size(a) in (None, g) for a, g in zip(axes, given, strict=True))


def _filled(value: Any, sizes: Mapping[str, int]) -> tuple[int, ...]:
    if not value.type.tensor_type.HasField("shape"):
        raise InputError(f"input {value.name} has no shape in the file: give it by --shape {value.name}=1,3,224,224")
    return tuple(_size(axis) or sizes.get(axis.dim_param, OPEN) for axis in value.type.tensor_type.shape.dim)


def _written(axes: Sequence[Any]) -> str:
    return f"[{', '.join(str(_size(axis) or axis.dim_param or 'any') for axis in axes)}]"


def in_order(names: Sequence[str], example: Example) -> list[Array]:
    """The example as an array for each input. It has them in order, or by name; the only one may be given itself. They
    are arrays of NumPy, or tensors that follow DLPack. Raises :class:`InputError`."""
    if isinstance(example, Mapping):
        if missing := [name for name in names if name not in example]:
            raise InputError(f"the example inputs lack {', '.join(missing)}; the model takes {', '.join(names)}")
        for name in example:
            if name not in names:
                raise InputError(f"the model has no input {name}; {did_you_mean(name, names)}")
        given = [example[name] for name in names]
    elif isinstance(example, tuple | list):
        given = list(example)
    elif hasattr(example, "__dlpack__"):
        given = [example]
    else:
        raise InputError(f"example inputs cannot be of type {type(example).__name__}; {_EXAMPLES}")
    if len(given) != len(names):
        raise InputError(
            f"the model takes {counted(len(names), 'input')} ({', '.join(names)}); the example has {len(given)}"
        )
    return [_array(name, one) for name, one in zip(names, given, strict=True)]


def _array(name: str, given: Any) -> Array:
    if isinstance(given, np.ndarray):
        return given
    if not hasattr(given, "__dlpack__"):
        raise InputError(f"the example for input {name} is of type {type(given).__name__}; {_EXAMPLES}")
    found: Array = ready(given).numpy()
    return found


def resized(array: Array, shape: Sequence[int]) -> Array:
    """As much of an array as an input of this shape takes, from the beginning again where it takes more. An array with
    more or fewer axes is returned as it is."""
    if array.ndim != len(shape):
        return array
    for axis, size in enumerate(shape):
        if array.shape[axis] not in (0, size):
            array = array.take(np.arange(size) % array.shape[axis], axis)
    return array


def drawn(model: Any, inputs: Sequence[Input]) -> list[Array]:
    """Contents for each input: floats around 0, and integers that are within what they index, 1 if they index nothing
    that can be told."""
    rng = np.random.default_rng(0)
    return [_contents(one, rng, _rows(model.graph, one.name)) for one in inputs]


def _contents(one: Input, rng: np.random.Generator, rows: int | None) -> Array:
    if one.dtype == np.bool_:
        return np.ones(one.shape, one.dtype)
    if np.issubdtype(one.dtype, np.integer):
        return rng.integers(0, rows, one.shape).astype(one.dtype) if rows else np.ones(one.shape, one.dtype)
    return np.asarray(rng.standard_normal(one.shape)).astype(one.dtype)


def _rows(graph: Any, name: str) -> int | None:
    """The least size of what a value indexes; ``None`` if it indexes nothing that can be told."""
    sizes = {one.name: tuple(one.dims) for one in graph.initializer}
    names, found = {name}, list[int]()
    for node in graph.node:
        if node.op_type in _PASSING and node.input[0] in names:
            names.update(node.output)
        if node.op_type == "Gather" and node.input[1] in names and node.input[0] in sizes:
            axis = next((one.i for one in node.attribute if one.name == "axis"), 0)
            found.append(sizes[node.input[0]][axis])
    return min(found, default=None)
