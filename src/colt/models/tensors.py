"""Inputs and outputs of models as files of NumPy."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from colt.errors import InputError
from colt.util.files import write_atomically

Array = np.ndarray[Any, Any]
_BFLOAT16, _AS_WRITTEN = np.dtype(ml_dtypes.bfloat16), np.dtype("V2")
"""The type of bfloat16, and what NumPy's files make of it: two bytes that mean nothing."""


def read_arrays(paths: Iterable[Path]) -> list[Array]:
    """An array from each ``.npy`` file. Raises :class:`InputError`."""
    return [_read(path) for path in paths]


def _read(path: Path) -> Array:
    try:
        found = np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError) as error:
        raise InputError(f"{path} is not an array of NumPy (.npy): {error}") from None
    if not isinstance(found, np.ndarray):
        raise InputError(f"{path} holds several arrays; an input is one .npy file")
    return found.view(_BFLOAT16) if found.dtype == _AS_WRITTEN else found


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write an ``.npz`` file completely or not at all. Raises :class:`InputError`."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:  # numpy.savez has arguments of its own, which no array can be called
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    try:
        write_atomically(path, content.getvalue())
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None


def described(name: str, array: Array) -> str:
    """An output in one line."""
    values = array.reshape(-1)
    shown = ", ".join(f"{value:.5g}" for value in values[:4].astype(float))
    return f"{name}: {array.dtype}{list(array.shape)} [{shown}{', ...' if values.size > 4 else ''}]"


def array_of(tensor: Any) -> np.ndarray[Any, Any]:
    """The tensor of TVM as an array, which shares its memory. One of a type that NumPy has not of itself is a copy."""
    try:
        return np.from_dlpack(tensor)
    except (RuntimeError, BufferError):
        return np.asarray(tensor.numpy())
