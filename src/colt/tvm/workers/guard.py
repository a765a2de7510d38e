"""What is sent to a board ahead of all kernels, so that none of them takes the board out of service.

TVM's RPC server gives each client a process, and stops serving for good when that process ends with any status but 0:
a kernel that crashes, or a client that is killed, would cost the board. So the process forks first. The child goes on
with the client; the parent waits for it and ends with 0, whatever became of it. The child dies with the parent, and by
its own alarm clock when it is late: a kernel that never ends frees the board by itself, even if nobody is there any
more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm
from tvm import tirx
from tvm.tirx import IfThenElse, PrimFunc

from colt.tvm.programs.nests import sequence

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def guard_program(threads: int) -> tvm.IRModule:
    """Functions for the board, over its C library: ``enter`` forks, and has TVM use ``threads`` threads from then on;
    ``allow`` sets the alarm clock to so many seconds; ``ping`` does nothing;
    ``leave`` ends the process."""
    seconds = tvm.ir.Var("seconds", "int32")
    forked = tirx.NE(_called("fork"), tirx.const(0, "int32"))
    parent = IfThenElse(forked, sequence([_done("wait", _long(0)), _done("_exit", 0)]), None)
    own = [_done("prctl", _PR_SET_PDEATHSIG, _long(_SIGKILL)), _done("setenv", "TVM_NUM_THREADS", str(threads), 1)]
    named = {
        "enter": _function([parent, *own]),
        "allow": _function([_done("alarm", seconds)], seconds),
        "ping": _function([]),
        "leave": _function([_done("_exit", 0)]),
    }
    return tvm.IRModule({name: function.with_attr("global_symbol", name) for name, function in named.items()})


def _called(name: str, *arguments: Any) -> Any:
    """What a function of the C library returns."""
    return tirx.call_extern("int32", name, *arguments)


def _done(name: str, *arguments: Any) -> Any:
    """The statement that calls it."""
    return tirx.Evaluate(_called(name, *arguments))


def _long(value: int) -> Any:
    return tirx.const(value, "int64")


def _function(statements: Sequence[Any], *parameters: Any) -> PrimFunc:
    return PrimFunc(list(parameters), sequence(statements)).with_attr("s_tir", True)
