"""The programs that a run directory holds, which are data from strangers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from colt.errors import InputError
from colt.store.directory import read_file
from colt.tvm.programs.export import load_module


def saved_module(path: Path) -> Any:
    """The module in a file. Raises :class:`InputError`, which names the file."""
    try:
        return load_module(read_file(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
