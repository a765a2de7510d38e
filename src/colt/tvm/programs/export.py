"""Tuned programs as files: a module to build from, a shared library to call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import tvm

from colt.errors import InputError
from colt.tvm.workers import LocalMeasurer


def export_module(module: Any, target: Any, threads: int, path: Path) -> Path:
    """Build ``module`` and write it as a shared library, or as objects if ``path`` ends in ``.tar``.

    Raises
    ------
    ExportError
        As :meth:`~colt.tvm.workers.Measurer.export`.
    """
    with LocalMeasurer(target, threads) as measurer:
        measurer.export(module, path)
    return path


def is_loadable(library: Path) -> bool:
    """Whether TVM loads the shared library and finds the kernel in it.

    It is tried in a process of its own: a library that is cut short can kill the process that loads it.
    """
    code = 'import sys, tvm; sys.exit(tvm.runtime.load_module(sys.argv[1])["main"] is None)'
    tried = subprocess.run([sys.executable, "-P", "-c", code, str(library)], capture_output=True, check=False)
    return tried.returncode == 0


def save_module(module: Any) -> bytes:
    """A module in TVM's JSON."""
    return str(tvm.ir.save_json(module)).encode()


def load_module(content: bytes) -> Any:
    """A module from TVM's JSON. Raises :class:`InputError` if it is not one."""
    try:
        module = tvm.ir.load_json(content.decode())
    except (UnicodeDecodeError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise InputError(f"the saved module cannot be read: {error}") from None
    if not isinstance(module, tvm.IRModule):
        raise InputError("the saved module is not an IRModule")
    return module
