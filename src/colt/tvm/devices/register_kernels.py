"""The frame of the kernels that measure: vectors in registers, loops that update them, and their results at the end.

A kernel says what a register holds at first, what each turn makes of it, and how the turns are nested; the frame writes
the TensorIR. Turns of the registers, and those that are to follow each other without a branch, are written out.
"""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import For, ForKind, PrimFunc, SeqStmt, decl_buffer

from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.nests import whole
from colt.tvm.programs.program import module_of_function

FLOAT = "float32"


@dataclass(frozen=True, slots=True)
class KernelInput:
    """An argument of a kernel that it only reads."""

    shape: tuple[int, ...]
    dtype: str = FLOAT


@dataclass(frozen=True, slots=True)
class UpdatePlace:
    """Where a turn stands: its thread, the loops around the registers and those that update them (outermost first), its
    number among turns without a branch, and the register."""

    thread: Any
    around: tuple[Any, ...]
    loops: tuple[Any, ...]
    turn: int
    register: int


@dataclass(frozen=True, slots=True)
class Registers:
    """``count`` vectors of ``lanes`` in each of ``threads``.

    Loops of the extents ``around`` begin with new vectors each time; inside, loops of the extents ``loops`` update
    them, ``turns`` times without a branch. ``imported``: LLVM IR that the code calls.
    """

    count: int
    lanes: int
    loops: tuple[int, ...]
    threads: int = 1
    around: tuple[int, ...] = ()
    turns: int = 1
    dtype: str = FLOAT
    imported: str = ""

    @property
    def result(self) -> KernelInput:
        """By thread, turn of the innermost loop around if there is one, and register."""
        return KernelInput((self.threads, *self.around[-1:], self.count, self.lanes), self.dtype)

    @property
    def vector(self) -> str:
        """The type of a register."""
        return f"{self.dtype}x{self.lanes}"


Update = Callable[[Any, Sequence[Any], UpdatePlace], Any]
"""What a turn makes of a register's value, with the kernel's arrays as TVM's buffers."""
Begin = Callable[[Sequence[Any], UpdatePlace], Any]
"""What a register holds at first."""


def register_kernel(
    frame: Registers, arrays: Sequence[KernelInput], update: Update, begin: Begin | None = None
) -> PrimFunc:
    """A function of the arrays and of the frame's result. Registers begin with zeros if left out."""
    buffers = [decl_buffer(one.shape, one.dtype, f"x{n}") for n, one in enumerate(arrays)]
    out = decl_buffer(frame.result.shape, frame.dtype, "out")
    held = decl_buffer((frame.count, frame.lanes), frame.dtype, "held")
    thread = tvm.ir.Var("t", "int32")
    around = [tvm.ir.Var(f"a{n}", "int32") for n in range(len(frame.around))]
    loops = [tvm.ir.Var(f"s{n}", "int32") for n in range(len(frame.loops))]
    numbers = range(frame.count)
    at = [[UpdatePlace(thread, tuple(around), tuple(loops), turn, n) for n in numbers] for turn in range(frame.turns)]
    values = [held.vload([n, 0], frame.vector) for n in numbers]
    zero = tirx.Broadcast(tirx.const(0, frame.dtype), frame.lanes)
    first = [held.vstore([n, 0], zero if begin is None else begin(buffers, at[0][n])) for n in numbers]
    turns = [held.vstore([p.register, 0], update(values[p.register], buffers, p)) for p in itertools.chain(*at)]
    last = [out.vstore([thread, *around[-1:], n, 0], values[n]) for n in numbers]
    body = _in_loops(loops, frame.loops, SeqStmt(turns) if len(turns) > 1 else turns[0])
    body = _in_loops(around, frame.around, SeqStmt([*first, body, *last]))
    block = SBlock([], [whole(one) for one in buffers], [whole(out)], "registers", body, None, [held])
    kind = ForKind.PARALLEL if frame.threads > 1 else ForKind.SERIAL
    notes = {"pragma_import_llvm": frame.imported} if frame.imported else {}
    threads = For(thread, 0, frame.threads, kind, SBlockRealize([], True, block), annotations=notes)
    root = SBlock([], [whole(one) for one in buffers], [whole(out)], "root", threads)
    return PrimFunc([*buffers, out], SBlockRealize([], True, root))


def _in_loops(variables: Sequence[Any], extents: Sequence[int], body: Any) -> Any:
    for variable, extent in zip(reversed(variables), reversed(extents), strict=True):
        body = For(variable, 0, extent, ForKind.SERIAL, body)
    return body


def build(kernel: Any, threads: int) -> Any:
    """The runtime module of a kernel, for this machine."""
    return tvm.tirx.build(module_of_function(kernel), target=resolve_target(None, threads))


def arguments(kernel: PrimFunc, *values: float) -> list[NDArray[Any]]:
    """Arrays for all parameters of a kernel, filled with these values in turn, those left over with ones."""
    shapes = [tuple(int(extent) for extent in one.shape) for one in kernel.params]
    found = itertools.chain(values, itertools.repeat(1.0))
    return [filled(shape, next(found), str(one.dtype)) for shape, one in zip(shapes, kernel.params, strict=True)]


def filled(shape: tuple[int, ...], value: float = 1.0, dtype: str = FLOAT) -> NDArray[Any]:
    """An array aligned to a page (TVM's code needs 64 bytes, numpy gives 16), in huge pages where there are any."""
    kind = np.dtype(dtype)
    memory = mmap.mmap(-1, kind.itemsize * prod(shape))
    with suppress(OSError):  # a kernel without huge pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    array = np.frombuffer(memory, dtype=kind)
    array.fill(value)
    return array.reshape(shape)
