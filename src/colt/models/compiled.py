"""A compiled model: called, asked what it is, and kept in a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from colt.errors import InputError
from colt.machine import detect
from colt.models.archive import Manifest, TensorPart, open_archive, write_archive
from colt.models.tensors import array_of
from colt.util.text import counted


class CompiledModel:
    """A model that runs with TVM's runtime alone. It may be called from several threads."""

    def __init__(
        self, manifest: Manifest, content: bytes, weights: Sequence[np.ndarray[Any, Any]], library: Any
    ) -> None:
        """``weights`` are the bytes of those that the manifest lists; ``library`` is what ``content`` was loaded as
        (:class:`colt.tvm.models.library.ModelLibrary`)."""
        self.manifest = manifest
        self._content = content
        self._weights = weights
        self.library = library

    @property
    def report(self) -> Manifest:
        """What was found, task by task, what it cost, and how it was judged."""
        return self.manifest

    def __call__(self, *inputs: Any) -> Any:
        """The outputs: a list, or the only one itself. Tensors of PyTorch give tensors of PyTorch, anything else gives
        arrays of NumPy; nothing is copied that lies in memory as kernels want it.

        Raises
        ------
        InputError
            There are more or fewer inputs than the model has, or one is of another shape or type.
        """
        wanted = self.manifest.inputs
        if len(inputs) != len(wanted):
            raise InputError(f"{self.manifest.name} takes {counted(len(wanted), 'input')}, not {len(inputs)}")
        found = self.library(*(_ready(one, part) for one, part in zip(inputs, wanted, strict=True)))
        torch = sys.modules.get("torch")
        as_torch = torch is not None and any(isinstance(one, torch.Tensor) for one in inputs)
        outputs = [torch.from_dlpack(one) if as_torch and torch is not None else array_of(one) for one in found]
        return outputs[0] if len(outputs) == 1 else outputs

    def save(self, path: str | Path) -> Path:
        """Write the model to a file, whose name should end in ``.colt``. Raises :class:`InputError`."""
        path = Path(path)
        if not path.parent.is_dir() or path.is_dir():
            raise InputError(f"{path} cannot be written: its folder must exist, and only a file is replaced")
        self.manifest = write_archive(path, self.manifest, self._content, self._weights)
        return path


def load(path: str | Path) -> CompiledModel:
    """Load a compiled model.

    Raises
    ------
    InputError
        The file is none, or is damaged, or this machine lacks instructions that its code uses.
    """
    archive = open_archive(Path(path))
    manifest = archive.manifest
    missing = sorted(set(manifest.needs) - set(detect().flags))
    if missing:
        raise InputError(f"{path} was compiled for a processor with {', '.join(missing)}, which this one lacks")
    content, weights = archive.library(), archive.weights()
    from colt.tvm.models.library import ModelLibrary, mapped_tensor

    tensors = [mapped_tensor(data, one.shape, one.dtype) for data, one in zip(weights, manifest.weights, strict=True)]
    return CompiledModel(manifest, content, weights, ModelLibrary(content, tensors, manifest.threads))


def _ready(given: Any, wanted: TensorPart) -> Any:
    """The input as kernels take it: of that shape and type, compact, and aligned."""
    if not hasattr(given, "shape") or not hasattr(given, "dtype") or isinstance(given, np.generic):
        raise InputError(
            f"input {wanted.name} is of type {type(given).__name__}; it takes an array or a tensor, {wanted.dtype}"
            f"{list(wanted.shape)}"
        )
    shape, dtype = tuple(given.shape), _name_of(given.dtype)
    if shape != wanted.shape or dtype != wanted.dtype:
        raise InputError(f"input {wanted.name} is {dtype}{list(shape)}; it takes {wanted.dtype}{list(wanted.shape)}")
    return given


@lru_cache(maxsize=64)
def _name_of(dtype: Any) -> str:
    """TVM's name of a type of NumPy or PyTorch; remembered, as naming takes longer than all other checks."""
    return str(dtype).removeprefix("torch.")
