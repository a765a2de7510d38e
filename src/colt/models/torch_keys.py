"""What makes two graphs of PyTorch's the same: operators, shapes, and the values of constants, but no names."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.fx.node import map_arg

_OWN = itertools.count()
"""For graphs that are equal to no other."""
_KNOWN = ("torch", "_operator", "operator", "builtins", "math")
"""Where functions are defined that are the same wherever they are called the same."""


def graph_key(graph: Any, constants: Mapping[int, Any], inputs: Sequence[Any], options: Any) -> str:
    """A key that equal graphs share. ``constants`` are by the number of the placeholder, ``inputs`` the others.

    Inputs are made compact in every call, so their strides are no part of the key unless the graph asks for strides.
    What PyTorch has set for all that it computes is part of it. Graphs that call what PyTorch has not looked into,
    modules or functions of the user's, share it with no other: two of these may be called the same.
    """
    around = torch.get_default_dtype(), torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
    plain = not any("stride" in str(node.target) for node in graph.graph.nodes)
    given = [(tuple(one.shape), str(one.dtype)) if plain else _shape(one) for one in inputs]
    digest = hashlib.sha256(repr((options, around, given)).encode())
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
        return _code(found) if isinstance(found, torch.fx.GraphModule) else str(node.target)
    if node.op == "call_module" or (node.op == "call_function" and not _is_known(node.target)):
        return f"{node.target} {next(_OWN)}"
    return node.target if isinstance(node.target, str) else str(torch.typename(node.target))


def _code(graph: Any) -> str:
    """What a graph that another one calls does, with all that it calls in turn."""
    return "\n".join(str(one.code) for one in graph.modules() if isinstance(one, torch.fx.GraphModule))


def _is_known(function: Any) -> bool:
    return str(getattr(function, "__module__", None) or "builtins").partition(".")[0] in _KNOWN


def _shape(tensor: Any) -> tuple[Any, ...]:
    return tuple(tensor.shape), tuple(tensor.stride()), str(tensor.dtype)


def _add(digest: Any, name: int | str, tensor: Any) -> None:
    digest.update(repr((name, _shape(tensor))).encode())
    digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
