"""Inputs as a model's kernels find them: another kernel has just written them, each thread a piece of the rows.

What a thread writes lies in its core's cache. A kernel whose threads take the same pieces finds them there; one that
takes others, such as channels of all rows, has them brought over from another core, which may take longer than all that
it computes. Called again and again, a kernel finds its inputs as its own last call has left them, whatever pieces it
takes. So each call that is timed follows one of a kernel that writes the inputs. Its pieces are equal parts of a
tensor, one after the other, as most kernels write theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tvm
from tvm import tirx
from tvm.tirx import BufferLoad, BufferStore, For, ForKind, PrimFunc, decl_buffer

from colt.tvm.programs.program import module_of_function

BYTE = "uint8"
Write = Callable[[Any, Any, int], None]
"""A built :func:`producer`."""


def producer(threads: int) -> tvm.IRModule:
    """The kernel: it takes two tensors of equally many bytes, writes the first to the second, and adds a number, which
    is 0. (Without that LLVM would call the C library, which has ways of its own past the caches.)"""
    size, thread, byte = (tvm.ir.Var(name, "int64") for name in ("size", "thread", "byte"))
    zero = tvm.ir.Var("zero", "int32")
    source, target = (decl_buffer((size,), BYTE, name) for name in ("source", "target"))
    first, last = (tirx.floordiv(size * number, threads) for number in (thread, thread + 1))
    written = BufferStore(target, BufferLoad(source, [byte]) + tirx.Cast(BYTE, zero), [byte])
    piece = For(byte, first, last - first, ForKind.SERIAL, written)
    shared = For(thread, 0, threads, ForKind.PARALLEL, piece)
    return module_of_function(PrimFunc([source, target, zero], shared).with_attr("s_tir", True))


class Produced:
    """Tensors that can be written again, with what they hold now."""

    def __init__(self, write: Write, tensors: Sequence[Any]) -> None:
        self._write = write
        self._pairs = [(_as_bytes(copied(one)), _as_bytes(one)) for one in tensors if bytes_of(one)]

    def again(self) -> None:
        """Write them, on the threads that kernels of the present thread use."""
        for source, target in self._pairs:
            self._write(source, target, 0)


def _as_bytes(tensor: Any) -> Any:
    """The same memory."""
    return tensor._create_view((bytes_of(tensor),), BYTE)


def bytes_of(tensor: Any) -> int:
    """What a tensor takes."""
    width = (int(tvm.DataType(str(tensor.dtype)).bits) + 7) // 8
    return math.prod(map(int, tensor.shape)) * width


def copied(tensor: Any) -> Any:
    """A tensor with the same contents."""
    copy = tvm.runtime.empty(tensor.shape, tensor.dtype)
    tensor.copyto(copy)
    return copy
