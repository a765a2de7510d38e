"""The untuned program with its intermediates in the types that it states.

TVM makes intermediates of bfloat16 float32, which is more accurate than what the program says. A schedule may keep
them, for an instruction that takes bfloat16, and rounds as the program says. That must not count against it.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import tirx
from tvm.ir import StringImm
from tvm.s_tir.stmt import SBlock
from tvm.tirx import AttrStmt, PrimFunc

from colt.tvm.dots.shims import IMPORT, KEEP, KEEP_IR
from colt.tvm.programs.nests import nests_of, sequence, with_nests
from colt.tvm.programs.program import module_of_function
from colt.tvm.programs.walks import walk

_MADE_WIDER = "bfloat16"


def rounded_module(function: PrimFunc) -> tvm.IRModule | None:
    """A module that computes what ``function`` does, with its intermediates of bfloat16 as such; ``None`` if it has
    none."""
    narrow: list[Any] = []

    def allocated(block: SBlock) -> None:
        narrow.extend(buffer for buffer in block.alloc_buffers if str(buffer.dtype) == _MADE_WIDER)

    walk(function.body, (SBlock, allocated))
    nests = nests_of(function)
    if not narrow or not nests:
        return None
    kept = [tirx.Evaluate(tirx.call_extern("void", KEEP, buffer.data)) for buffer in narrow]
    whole = AttrStmt(StringImm(""), IMPORT, StringImm(KEEP_IR), sequence([*kept, *nests]))
    return module_of_function(with_nests(function, [whole]))
