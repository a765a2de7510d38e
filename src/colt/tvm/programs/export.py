"""Tuned programs as files: a module to build from, a shared library to call."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
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


_TRY = """
import json, sys, numpy
from colt.tvm.own import leave_torch_out
leave_torch_out()
import tvm
kernel = tvm.runtime.load_module(sys.argv[1])["main"]
arguments = [tvm.runtime.empty(tuple(shape), dtype) for shape, dtype in json.loads(sys.argv[2])]
for argument in arguments:
    argument.copyfrom(numpy.zeros_like(argument.numpy()))
kernel(*arguments)
"""
_TRY_SECONDS = 60.0


def takes_arguments(library: Path, arguments: Sequence[tuple[Sequence[int], str]]) -> bool:
    """Whether TVM loads the shared library, finds the kernel in it, and runs it on zeros of these shapes and types.

    The kernel of another program checks its arguments and refuses them. It is tried in a process of its own: a library
    that is cut short can kill the process that loads it, and so can a kernel that zeros are no input for.
    """
    command = [sys.executable, "-P", "-c", _TRY, str(library), json.dumps(list(arguments))]
    try:
        tried = subprocess.run(command, capture_output=True, check=False, timeout=_TRY_SECONDS)
    except subprocess.TimeoutExpired:
        return False
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
