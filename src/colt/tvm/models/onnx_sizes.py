"""A file of ONNX that leaves sizes open, for any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from colt.errors import InputError
from colt.tvm.models.graph import Array, Graph
from colt.tvm.models.onnx_graph import example_of, from_file, read_model
from colt.tvm.models.onnx_inputs import Example, in_order, inputs_of, open_sizes, values_of
from colt.util.text import did_you_mean


class OpenFile:
    """An :class:`~colt.tvm.models.graph.OpenModel`. Sizes are called as in the file, or ``INPUT.AXIS``."""

    def __init__(
        self, path: Path, example: Example | None, shapes: Mapping[str, Sequence[int]], names: Sequence[str]
    ) -> None:
        self._model = read_model(path)
        values = values_of(self._model)
        self._example = None if example is None else in_order([one.name for one in values], example)
        self._given = path, self._example, shapes, tuple(names)
        self._path, self._shapes = path, shapes
        known = open_sizes(values)
        self._names = {name: _own_name(name, known, path) for name in names}
        if len(set(self._names.values())) < len(names):
            raise InputError(f"{path}: two of the sizes {', '.join(names)} are the same")

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenFile, self._given

    @property
    def axes(self) -> tuple[tuple[int | str, ...], ...]:
        """See :class:`~colt.tvm.models.graph.OpenModel`."""
        given = {own: name for name, own in self._names.items()}
        inputs, _ = inputs_of(self._model, self._shapes, {}, given)
        return tuple(tuple(given[axis] if isinstance(axis, str) else axis for axis in one.axes) for one in inputs)

    def at(self, sizes: Mapping[str, int]) -> Graph:
        """See :class:`~colt.tvm.models.graph.OpenModel`."""
        return from_file(self._path, self._example, self._shapes, self._own(sizes))

    def opened(self, sizes: Mapping[str, int]) -> Graph:
        """See :class:`~colt.tvm.models.graph.OpenModel`."""
        own = self._own(sizes)
        return from_file(self._path, self._example, self._shapes, own, opened=own)

    def example(self, sizes: Mapping[str, int]) -> tuple[Array, ...]:
        """See :class:`~colt.tvm.models.graph.OpenModel`."""
        inputs, _ = inputs_of(self._model, self._shapes, self._own(sizes), ())
        return tuple(example_of(self._model, inputs, self._example, resizing=True))

    def _own(self, sizes: Mapping[str, int]) -> dict[str, int]:
        return {self._names[name]: size for name, size in sizes.items()}


def _own_name(name: str, known: Mapping[str, Sequence[str]], path: Path) -> str:
    """The file's name of a size."""
    for own, places in known.items():
        if name in (own, *places):
            return own
    if not known:
        raise InputError(f"{path} leaves no size open, so that sizes cannot be given")
    raise InputError(f"{path} leaves no size {name} open; {did_you_mean(name, list(known))}")
