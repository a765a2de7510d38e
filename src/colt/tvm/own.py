"""Processes of COLT's own: TVM comes to them without PyTorch.

TVM imports PyTorch wherever it is installed. That takes each process 1.8 processor-seconds and 200 MB, and COLT
hands no tensors of PyTorch to TVM. A program that imports COLT gets TVM as it always is.
"""

from __future__ import annotations

import pickle
import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from colt.tvm.imports import around_import

_TVM = ("tvm_ffi", "tvm")
_TORCH = "torch"


def leave_torch_out() -> None:
    """Have TVM, when it is imported, not find PyTorch. Whoever wants PyTorch itself imports it as ever.

    Nothing changes if either of them has been imported already.
    """
    if sys.modules.keys().isdisjoint((*_TVM, _TORCH)):
        for name in _TVM:
            around_import(name, _without_torch)


@contextmanager
def _without_torch() -> Iterator[None]:
    if _TORCH in sys.modules:
        yield
        return
    sys.modules[_TORCH] = None  # type: ignore[assignment]  # as the import system marks what must not be found
    try:
        yield
    finally:
        del sys.modules[_TORCH]


def command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of COLT as a process of its own, which no file in the working directory alters."""
    return [sys.executable, "-P", "-m", __name__, module, *arguments]


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
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
