"""What makes two graphs of PyTorch's the same: operators, shapes, and the values of constants, but no names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.fx.node import map_arg


def graph_key(graph: Any, constants: Mapping[int, Any], inputs: Sequence[Any], options: Any) -> str:
    """A key that equal graphs share. ``constants`` are by the number of the placeholder, ``inputs`` the others."""
    digest = hashlib.sha256(repr((options, [_shape(one) for one in inputs])).encode())
    numbers: dict[Any, str] = {}
    for node in graph.graph.nodes:
        numbers[node] = f"%{len(numbers)}"
        args, named = map_arg((node.args, node.kwargs), lambda one: _Name(numbers[one]))
        digest.update(repr((node.op, _target(graph, node), args, dict(named))).encode())
    for number, constant in sorted(constants.items()):
        _add(digest, number, constant)
    for name, tensor in (*graph.named_parameters(), *graph.named_buffers()):
        _add(digest, name, tensor)
    return digest.hexdigest()


class _Name:
    """Printed as it is."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


def _target(graph: Any, node: Any) -> str:
    """The operator; of a placeholder nothing, since its name is that of a variable."""
    if node.op == "placeholder":
        return ""
    if node.op == "get_attr":
        found = getattr(graph, node.target, None)
        return str(found.code if isinstance(found, torch.fx.GraphModule) else node.target)
    return node.target if isinstance(node.target, str) else str(torch.typename(node.target))


def _shape(tensor: Any) -> tuple[Any, ...]:
    return tuple(tensor.shape), tuple(tensor.stride()), str(tensor.dtype)


def _add(digest: Any, name: int | str, tensor: Any) -> None:
    digest.update(repr((name, _shape(tensor))).encode())
    digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
