"""Arrays in .npz files, as ``numpy.savez`` writes them. Nothing in them is unpickled, and nothing is read that was not
asked for. Free of TVM."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from colt.errors import InputError
from colt.util.files import replacing

Array = NDArray[Any]

_SUFFIX = ".npy"
_MOST_HEADER_CHARS = 10_000
_DAMAGED = (ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, MemoryError)
_DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error)


class ArrayFile:
    """An .npz file. Raises :class:`InputError` if it cannot be read, is none, or holds Python objects."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as file:
            names = [name.removesuffix(_SUFFIX) for name in file.namelist() if name.endswith(_SUFFIX)]
            self.headers = {name: self._header(file, name) for name in names}
        """Shape and data type of each array, by name."""

    def read(self, name: str) -> Array:
        """One of the arrays."""
        with self._opened() as file, file.open(name + _SUFFIX) as stream:
            found: Array = np.lib.format.read_array(stream, allow_pickle=False, max_header_size=_MOST_HEADER_CHARS)
            return found

    def _header(self, file: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        with file.open(name + _SUFFIX) as stream:
            shape, dtype = _read_header(stream)
        if dtype.hasobject:
            raise InputError(f"{self.path} holds Python objects in {name}; only arrays of numbers are accepted")
        return shape, dtype

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            if self.path.exists() and not self.path.is_file():
                raise InputError(f"{self.path} is not a file; expected is an .npz file, as numpy.savez writes it")
            with zipfile.ZipFile(self.path) as file:
                yield file
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from None
        except (*_DAMAGED, *_DAMAGED_ZIP) as error:
            raise InputError(f"{self.path} is no .npz file, as numpy.savez writes it, or is damaged: {error}") from None


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"the format's version is {version}")
    shape, _, dtype = readers[version](stream, max_header_size=_MOST_HEADER_CHARS)
    return shape, dtype


def numbered(path: Path, number: int) -> Array:
    """One of the arrays that :func:`write_numbered` wrote. Raises :class:`InputError`."""
    file = ArrayFile(path)
    if str(number) not in file.headers:
        raise InputError(f"{path} has no array {number}")
    return file.read(str(number))


def write_numbered(path: Path, arrays: Mapping[int, Array]) -> None:
    """Write arrays by number, completely or not at all. Raises :class:`OSError`, which names the file."""
    with replacing(path) as written, written.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **{str(number): array for number, array in arrays.items()})


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy type of a TVM data type; ml_dtypes has those that NumPy lacks. Raises TypeError."""
    return np.dtype(getattr(ml_dtypes, name, name))


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether the type is a floating-point type, those of ml_dtypes included."""
    if dtype.kind == "f":
        return True
    try:
        ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    except ValueError:
        return False
    return True
