"""A kernel that fills the stacks of the threads that run kernels: what lies there is no right value by chance.

Kernels keep small buffers on the stack, and that of a new thread is all 0. A sum that is never set to 0 would be right
in such a thread, and in no other.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import tirx
from tvm.tirx import Evaluate, For, ForKind, PrimFunc, SeqStmt

from colt.tvm.programs.program import module_of_function

_WORDS = 1 << 14
"""64 KiB. TVM keeps buffers of up to 1 KiB there, and LLVM what registers cannot hold."""
_FILLING = -0x01010102
"""Four times 0xFE, as in new memory (:mod:`colt.tvm.workers.layout`)."""


def stack_filler(threads: int) -> tvm.IRModule:
    """The kernel, to be called without arguments in the thread that calls others, which share its threads."""
    shared = For(tvm.ir.Var("thread", "int32"), 0, threads, ForKind.PARALLEL, _filled())
    return module_of_function(PrimFunc([], SeqStmt([_filled(), shared])).with_attr("s_tir", True))


def _filled() -> Any:
    """The stack of the thread that runs this, filled."""
    words = tirx.tvm_stack_alloca("shape", _WORDS // 2)
    return Evaluate(tirx.call_extern("handle", "wmemset", words, _FILLING, _WORDS))
