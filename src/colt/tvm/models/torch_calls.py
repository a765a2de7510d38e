"""Calls of PyTorch's modules with flat lists of tensors, whatever forms their arguments and results have.

A compiled model takes tensors in order and returns tensors in order. A module may take them by name, in tuples and
dictionaries, beside numbers that never change, and may return any of these; PyTorch's trees say how they are made up.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch.utils import _pytree as pytree

from colt.errors import InputError
from colt.util.text import distinct_names

Example = Sequence[Any] | Mapping[str, Any]
"""What a module is called with: by position, or by name."""


@dataclass(frozen=True, slots=True)
class CallSignature:
    """The tensors of a call, by name, and the call that they are in."""

    inputs: tuple[str, ...]
    tensors: tuple[torch.Tensor, ...]
    leaves: tuple[Any, ...]
    """All that the arguments are made of."""
    form: Any

    def __deepcopy__(self, _: Any) -> CallSignature:
        """Itself: nothing of it changes, and an export copies the modules that hold it."""
        return self

    def arguments(self, tensors: Sequence[Any]) -> Any:
        """The call's positional and named arguments, with other tensors."""
        left = iter(tensors)
        leaves = [next(left) if isinstance(leaf, torch.Tensor) else leaf for leaf in self.leaves]
        return pytree.tree_unflatten(leaves, self.form)


def signature_of(module: Any, example: Any) -> CallSignature:
    """How a module is called. Raises :class:`InputError` for what is no call."""
    args, named = _call_of(example)
    paths, form = pytree.tree_flatten_with_path((args, named))
    names = _positions(module, args)
    called, tensors = [], []
    for path, leaf in paths:
        if isinstance(leaf, torch.Tensor):
            called.append(_name(path, names))
            tensors.append(leaf)
    if not tensors:
        raise InputError("a model takes at least one tensor; among the example inputs there is none")
    for name, tensor in zip(called, tensors, strict=True):
        if not tensor.numel():
            raise InputError(f"the example input {name} has no elements: its shape is {list(tensor.shape)}")
        if tensor.device.type != "cpu" or tensor.layout is not torch.strided:
            kind = f"on {tensor.device}" if tensor.device.type != "cpu" else f"of layout {tensor.layout}"
            raise InputError(f"the example input {name} is {kind}; models are compiled for dense tensors on the CPU")
    return CallSignature(tuple(distinct_names(called)), tuple(tensors), tuple(leaf for _, leaf in paths), form)


def _call_of(example: Any) -> Any:
    """Positional and named arguments; arrays become tensors."""
    if isinstance(example, torch.Tensor):
        example = (example,)
    if isinstance(example, Mapping):
        args, named = (), dict(example)
    elif isinstance(example, tuple | list):
        args, named = tuple(example), {}
    else:
        raise InputError(
            f"example inputs cannot be of type {type(example).__name__}; accepted are a tuple of tensors, such as "
            "(torch.randn(1, 3, 224, 224),), and a dictionary of them by argument"
        )
    return pytree.tree_map(_tensor, (args, named))


def _tensor(leaf: Any) -> Any:
    try:
        return as_tensor(leaf) if isinstance(leaf, np.ndarray) else leaf
    except TypeError:
        raise InputError(f"PyTorch takes no array of type {leaf.dtype} for an example input") from None


def as_tensor(array: Any) -> Any:
    """An array of NumPy as a tensor; bfloat16, which NumPy does not have, is ``ml_dtypes``'."""
    if any(step < 0 for step in array.strides):
        array = array.copy()  # tensors have no such strides
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.as_tensor(array)


def as_array(tensor: Any) -> Any:
    """The other way round."""
    tensor = tensor.detach().contiguous()
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def _positions(module: Any, args: Sequence[Any]) -> list[str]:
    try:
        names = [one.name for one in inspect.signature(module.forward).parameters.values() if _positional(one)]
    except (TypeError, ValueError):
        names = []
    return [*names, *(f"input{number}" for number in range(len(names) + 1, len(args) + 1))]


def _positional(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _name(path: Sequence[Any], positions: Sequence[str]) -> str:
    """A tensor's name by where it is in the arguments, such as ``mask`` or ``past_0``."""
    which, first, *deeper = path
    top = positions[first.idx] if which.idx == 0 else _key(first)
    return "_".join([top, *map(_key, deeper)])


def _key(entry: Any) -> str:
    return str(next(getattr(entry, name) for name in ("key", "idx", "name") if hasattr(entry, name)))


class _Seen:
    """Outside of the module: an export puts the module's own attributes back."""

    names: tuple[str, ...] = ()


class Flat(torch.nn.Module):  # type: ignore[misc]
    """A module as a function of tensors that returns a tuple of tensors."""

    def __init__(self, module: Any, signature: CallSignature) -> None:
        super().__init__()
        self.original, self._signature = module, signature
        self._seen = _Seen()

    @property
    def example(self) -> tuple[Any, ...]:
        """The tensors of the example."""
        return self._signature.tensors

    @property
    def outputs(self) -> tuple[str, ...]:
        """How the tensors of the last results are called."""
        return self._seen.names

    def forward(self, *tensors: Any) -> tuple[Any, ...]:
        """The tensors among the results."""
        args, named = self._signature.arguments(tensors)
        leaves, _ = pytree.tree_flatten_with_path(self.original(*args, **named))
        found = [(path, leaf) for path, leaf in leaves if isinstance(leaf, torch.Tensor)]
        self._seen.names = _output_names([path for path, _ in found])
        return tuple(leaf for _, leaf in found)


def _output_names(paths: Sequence[Sequence[Any]]) -> tuple[str, ...]:
    """Those that the results have; numbers are no names."""
    parts = [[_key(entry) for entry in path] for path in paths]
    wanted = ["_".join(part) if part and not part[0].isdecimal() else "" for part in parts]
    return tuple(distinct_names([name or f"output{number}" for number, name in enumerate(wanted, 1)]))


def at_rest(module: Any) -> Any:
    """The module, for inference from now on; programs that were exported have no ``eval()``."""
    for one in module.modules():
        one.training = False
    return module


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """As it is for inference, and afterwards as it was."""
    training = [one for one in module.modules() if one.training]
    at_rest(module)
    try:
        yield
    finally:
        for one in training:
            one.training = True
