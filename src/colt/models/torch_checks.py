"""What of PyTorch's graphs has to run in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from colt.models.compiled import CompiledModel

PLAIN = (torch.Tensor, torch.nn.Parameter)
"""Tensors that are nothing else besides, such as fakes that a tracer sends through."""


class LeftToTorch(Exception):
    """The graph is left to PyTorch; the text says why."""


def require_plain(examples: Sequence[Any]) -> None:
    """Raises :class:`LeftToTorch` for what is no plain tensor on the CPU."""
    for value in examples:
        if not isinstance(value, torch.Tensor):
            raise LeftToTorch(f"one of its inputs is no tensor, but a {type(value).__name__}")
        if value.device.type != "cpu":
            raise LeftToTorch(f"a tensor of it is on {value.device}; colt compiles for the CPU")
        if type(value) not in PLAIN and not isinstance(value, torch.nn.Buffer):
            raise LeftToTorch(f"a tensor of it is a {type(value).__name__}")


def require_own_outputs(graph: Any, examples: Sequence[Any]) -> None:
    """Raises :class:`LeftToTorch` if outputs share memory with inputs or each other, which those of a compiled model
    never do."""
    copies = [
        x.detach().clone(memory_format=torch.preserve_format) if isinstance(x, torch.Tensor) else x for x in examples
    ]
    with torch.random.fork_rng(devices=[]):
        found = graph.forward(*copies)
    outputs = list(found) if isinstance(found, tuple | list) else [found]
    if any(not isinstance(one, torch.Tensor) for one in outputs):
        raise LeftToTorch("an output is no tensor")
    given = [one for one in copies if isinstance(one, torch.Tensor)]
    places = [one.untyped_storage().data_ptr() for one in (*given, *outputs)]
    if len(set(places[len(given) :])) < len(outputs) or set(places[: len(given)]) & set(places[len(given) :]):
        raise LeftToTorch("outputs share memory with inputs or with each other")


def require_right(model: CompiledModel) -> None:
    """Raises :class:`LeftToTorch` if the model's outputs differ from PyTorch's."""
    verdict = model.report.compared
    if verdict is not None and not verdict.ok:
        raise LeftToTorch(f"it does not compute what PyTorch computes: {verdict.in_words}")
