"""Processes of COLT's own: TVM comes to them without what they do not need.

TVM imports PyTorch and CUDA's bindings wherever they are installed. PyTorch takes each process 1.8 processor-seconds
and 200 MB, and COLT hands neither tensors of PyTorch nor streams of CUDA to TVM. It also looks for its own sessions of
several processes, in a library that it loads later: not to find them takes it a tenth of a second. A program that
imports COLT gets TVM as it always is, unless a compiled model is the first that it needs TVM for.

Workers build and run what others have scheduled. They have no use for Relax, which is for whole models, nor for tensor
intrinsics, which are for scheduling.
"""

from __future__ import annotations

import pickle
import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from colt.tvm.imports import around_import, leave_out, run_on_first_use
from colt.util.collecting import no_collecting

_TVM = ("tvm_ffi", "tvm")
_TORCH = "torch"
_UNWANTED = (_TORCH, "cuda.bindings", "tvm.runtime.disco")
_RELAX = "tvm.relax"
_INTRINSICS = "colt.tvm.dots.registered"
_FOR_KERNELS = "--for-kernels"


def leave_torch_out() -> None:
    """Have TVM, when it is imported, not find PyTorch, nor what else it can do without. Whoever wants one of these
    itself imports it as ever.

    Nothing changes if TVM or PyTorch has been imported already.
    """
    if sys.modules.keys().isdisjoint((*_TVM, _TORCH)):
        for name in _TVM:
            around_import(name, _with_less)


@contextmanager
def _with_less() -> Iterator[None]:
    missing = [name for name in _UNWANTED if name not in sys.modules]
    for name in missing:
        sys.modules[name] = None  # type: ignore[assignment]  # as the import system marks what must not be found
    try:
        with no_collecting():
            yield
    finally:
        for name in missing:
            del sys.modules[name]


def command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of COLT as a process of its own, which no file in the working directory alters."""
    return [sys.executable, "-P", "-m", __name__, module, *arguments]


def kernel_command(module: str, *arguments: str) -> list[str]:
    """The same for a module that builds and runs kernels which others have scheduled."""
    return command(_FOR_KERNELS, module, *arguments)


def packed(value: object) -> bytes:
    """A pickle of the value for a process that others start for COLT: that process gets TVM without PyTorch, too."""
    return pickle.dumps(_Packed(pickle.dumps(value)))


@dataclass(frozen=True, slots=True)
class _Packed:
    content: bytes

    def __reduce__(self) -> tuple[Callable[[bytes], object], tuple[bytes]]:
        return _unpacked, (self.content,)


def _unpacked(content: bytes) -> object:
    leave_torch_out()
    return pickle.loads(content)


if __name__ == "__main__":
    leave_torch_out()
    del sys.argv[0]
    if sys.argv[0] == _FOR_KERNELS:
        del sys.argv[0]
        run_on_first_use(_RELAX)
        leave_out(_INTRINSICS)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
