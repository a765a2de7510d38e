"""A compiled model of one size of everything: called, asked what it is, and kept in a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from colt.errors import InputError, StorageError
from colt.models.archive import laid_out, write_archive
from colt.models.manifest import LIBRARY, Manifest, TensorPart
from colt.models.tensors import array_of
from colt.util.text import counted


class CompiledModel:
    """A model that runs with TVM's runtime alone. It may be called from several threads."""

    def __init__(
        self,
        manifest: Manifest,
        content: bytes,
        weights: Sequence[np.ndarray[Any, Any]],
        library: Any,
        unchecked: Callable[[], None] | None = None,
    ) -> None:
        """``weights`` are the bytes of those that the manifest lists; ``library`` is what ``content`` was loaded as
        (:class:`colt.tvm.models.library.ModelLibrary`). ``unchecked`` raises :class:`InputError` if the weights, which
        nobody has looked at yet, are damaged."""
        self.manifest = manifest
        self.content = content
        self.weights = weights
        self.library = library
        self.storage_failure: StorageError | None = None
        """Why files of the run that tuned it are missing, if a write failed."""
        self._unchecked = unchecked

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
            There are more or fewer inputs than the model has, or one is of another shape or type; or weights that
            were not checked when they were loaded are damaged.
        """
        if self._unchecked is not None:
            self.require_right_weights()
        wanted = self.manifest.inputs
        if len(inputs) != len(wanted):
            raise InputError(f"{self.manifest.name} takes {counted(len(wanted), 'input')}, not {len(inputs)}")
        found = self.library(*(_ready(one, part) for one, part in zip(inputs, wanted, strict=True)))
        torch = sys.modules.get("torch")
        as_torch = torch is not None and any(isinstance(one, torch.Tensor) for one in inputs)
        outputs = [torch.from_dlpack(one) if as_torch and torch is not None else array_of(one) for one in found]
        return outputs[0] if len(outputs) == 1 else outputs

    def require_right_weights(self) -> None:
        """Raises :class:`InputError` if the weights were not checked yet and are damaged."""
        unchecked = self._unchecked
        if unchecked is not None:
            unchecked()
            self._unchecked = None

    def save(self, path: str | Path) -> Path:
        """Write the model to a file, whose name should end in ``.colt``. Raises :class:`InputError` for a path that is
        none, and :class:`StorageError` if the file cannot be written."""
        path = checked_path(path)
        self.require_right_weights()  # or else the new file would say that damaged ones are right
        parts = laid_out(
            [(one.shape, one.dtype) for one in self.manifest.weights]
        )  # those of a file lie as they do there
        manifest = msgspec.structs.replace(self.manifest, weights=parts)
        self.manifest = write_archive(path, manifest, {LIBRARY: self.content}, self.weights)
        return path


def checked_path(path: str | Path) -> Path:
    """A path that a model can be written to. Raises :class:`InputError`."""
    path = Path(path)
    if not path.parent.is_dir() or path.is_dir():
        raise InputError(f"{path} cannot be written: its folder must exist, and only a file is replaced")
    return path


def _ready(given: Any, wanted: TensorPart) -> Any:
    """The input as kernels take it: of that shape and type, compact, and aligned."""
    if not hasattr(given, "shape") or not hasattr(given, "dtype") or isinstance(given, np.generic):
        raise InputError(
            f"input {wanted.name} is of type {type(given).__name__}; it takes an array or a tensor, "
            f"{written(wanted.dtype, wanted.shape)}"
        )
    shape, dtype = tuple(given.shape), _name_of(given.dtype)
    if dtype != wanted.dtype or (shape != wanted.shape and not fits(shape, wanted)):
        raise InputError(
            f"input {wanted.name} is {written(dtype, shape)}; it takes {written(wanted.dtype, wanted.shape)}"
        )
    return given


def fits(shape: Sequence[int], wanted: TensorPart) -> bool:
    """Whether a shape is that of the input, as far as its sizes are not open."""
    return len(shape) == len(wanted.shape) and all(
        isinstance(size, str) or size == given for given, size in zip(shape, wanted.shape, strict=True)
    )


def written(dtype: str, shape: Sequence[int | str]) -> str:
    """A type and a shape in words, such as ``float32[batch, 16]``."""
    return f"{dtype}[{', '.join(map(str, shape))}]"


@lru_cache(maxsize=64)
def _name_of(dtype: Any) -> str:
    """TVM's name of a type of NumPy, PyTorch or another library; remembered, as naming takes longer than all other
    checks."""
    return str(dtype).rpartition(".")[2]
