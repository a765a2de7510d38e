"""A file of ``torch.export`` that leaves sizes open, for any of them.

The program says of each size of its inputs how it follows from symbols, of which the user gives some, by their names or
as ``INPUT.AXIS``; the others are those of the example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from colt.errors import InputError
from colt.tvm.models.graph import Array, Graph
from colt.tvm.models.torch_calls import CallSignature, as_array, signature_of
from colt.tvm.models.torch_graph import from_signature, own_example, read_program
from colt.util.text import did_you_mean


class OpenProgram:
    """An :class:`~colt.tvm.models.graph.OpenModel`."""

    def __init__(self, path: Path, example: Any, names: Sequence[str]) -> None:
        self._given = path, example, tuple(names)
        program = read_program(path)
        self._name = path.stem
        self._module = program.module()
        self._signature = signature_of(self._module, own_example(program) if example is None else example)
        self._extents = _extents(program, self._signature, path)
        known = _places(self._extents, self._signature.inputs)
        self._symbols = {name: _symbol(name, known, path) for name in names}
        if len(set(self._symbols.values())) < len(names):
            raise InputError(f"{path}: two of the sizes {', '.join(names)} are the same")

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenProgram, self._given

    @property
    def axes(self) -> tuple[tuple[int | str, ...], ...]:
        """See :class:`~colt.tvm.models.graph.OpenModel`."""
        given = {symbol: name for name, symbol in self._symbols.items()}
        found = list[tuple[int | str, ...]]()
        for extents, opened, tensor in zip(self._extents, self._open_axes(), self._signature.tensors, strict=True):
            named = {axis: _written(extents[axis], given) for axis in opened}
            found.append(tuple(named.get(axis, int(size)) for axis, size in enumerate(tensor.shape)))
        return tuple(found)

    def at(self, sizes: Mapping[str, int]) -> Graph:
        """See :class:`~colt.tvm.models.graph.OpenModel`."""
        return from_signature(self._module, self._resized(sizes), self._name)

    def opened(self, sizes: Mapping[str, int]) -> Graph:
        """See :class:`~colt.tvm.models.graph.OpenModel`."""
        return from_signature(self._module, self._resized(sizes), self._name, self._open_axes())

    def example(self, sizes: Mapping[str, int]) -> tuple[Array, ...]:
        """See :class:`~colt.tvm.models.graph.OpenModel`."""
        return tuple(as_array(one) for one in self._resized(sizes).tensors)

    def _open_axes(self) -> list[list[int]]:
        """Those of each input whose sizes depend on what the user gives."""
        given = set(self._symbols.values())
        return [
            [axis for axis, extent in extents.items() if given & {str(one) for one in extent.free_symbols}]
            for extents in self._extents
        ]

    def _resized(self, sizes: Mapping[str, int]) -> CallSignature:
        """The call with tensors of these sizes, made of those of the example."""
        values = {self._symbols[name]: size for name, size in sizes.items()}
        for extents, tensor in zip(self._extents, self._signature.tensors, strict=True):
            for axis, extent in extents.items():
                if extent.is_Symbol:
                    values.setdefault(str(extent), int(tensor.shape[axis]))
        tensors = list[Any]()
        for extents, tensor in zip(self._extents, self._signature.tensors, strict=True):
            for axis, extent in extents.items():
                wanted = int(_replaced(extent, values))
                rows = torch.arange(wanted) % tensor.shape[axis]
                tensor = tensor if wanted == tensor.shape[axis] else tensor.index_select(axis, rows)
            tensors.append(tensor)
        return replace(self._signature, tensors=tuple(tensors))


def _replaced(extent: Any, values: Mapping[str, Any]) -> Any:
    """The extent with what its symbols are."""
    return extent.subs({one: values.get(str(one), one) for one in extent.free_symbols})


def _written(extent: Any, names: Mapping[str, str]) -> str:
    """The extent with the user's names for symbols."""
    symbols = [one for one in extent.free_symbols if str(one) in names]
    return str(extent.subs({one: type(one)(names[str(one)]) for one in symbols}))


def _extents(program: Any, signature: CallSignature, path: Path) -> list[dict[int, Any]]:
    """The sizes that are open, by axis, for each input: expressions of symbols. Raises :class:`InputError`."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    taken = [values.get(name) for name in program.graph_signature.user_inputs if isinstance(name, str)]
    tensors = [one for one in taken if isinstance(one, torch.Tensor)]
    if [one.dim() for one in tensors] != [one.dim() for one in signature.tensors]:
        raise InputError(f"{path}: the example inputs are not those that the program was exported with")
    return [
        {axis: size.node.expr for axis, size in enumerate(one.shape) if isinstance(size, torch.SymInt)}
        for one in tensors
    ]


def _places(extents: Sequence[Mapping[int, Any]], inputs: Sequence[str]) -> dict[str, list[str]]:
    """The symbols that are sizes themselves, with the axes that have them."""
    found: dict[str, list[str]] = {}
    for axes, name in zip(extents, inputs, strict=True):
        for axis, extent in axes.items():
            if extent.is_Symbol:
                found.setdefault(str(extent), []).append(f"{name}.{axis}")
    return found


def _symbol(name: str, known: Mapping[str, Sequence[str]], path: Path) -> str:
    """The symbol of a size."""
    for symbol, places in known.items():
        if name in (symbol, *places):
            return symbol
    if not known:
        raise InputError(f"{path} leaves no size open, so that sizes cannot be given: export it with dynamic_shapes")
    named = [places[0] for places in known.values()]
    raise InputError(f"{path} leaves no size {name} open; {did_you_mean(name, named)}")
