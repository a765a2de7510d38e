"""What is sent to a board ahead of all kernels, so that none of them takes the board out of service.

TVM's RPC server gives each client a process, and stops serving for good when that process ends with any status but 0:
a kernel that crashes, or a client that is killed, would cost the board. So the process forks first. The child goes on
with the client; the parent waits for it and ends with 0, whatever became of it. The child dies with the parent, and by
its own alarm clock when it is late: a kernel that never ends frees the board by itself, even if nobody is there any
more.
"""

from __future__ import annotations

import tvm
from tvm.script import tirx as T

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def guard_program(threads: int) -> tvm.IRModule:
    """Functions for the board, over its C library: ``enter`` forks, and has TVM use ``threads`` threads from then on;
    ``allow`` sets the alarm clock to so many seconds; ``ping`` does nothing;
    ``leave`` ends the process."""
    text = str(threads)

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def enter() -> None:
        if T.call_extern("int32", "fork") != 0:
            T.evaluate(T.call_extern("int32", "wait", T.int64(0)))
            T.evaluate(T.call_extern("int32", "_exit", 0))
        T.evaluate(T.call_extern("int32", "prctl", _PR_SET_PDEATHSIG, T.int64(_SIGKILL)))
        T.evaluate(T.call_extern("int32", "setenv", "TVM_NUM_THREADS", text, 1))

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def allow(seconds: T.int32) -> None:
        T.evaluate(T.call_extern("int32", "alarm", seconds))

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def ping() -> None:
        T.evaluate(0)

    @T.prim_func(s_tir=True)  # type: ignore[untyped-decorator]
    def leave() -> None:
        T.evaluate(T.call_extern("int32", "_exit", 0))

    named = {"enter": enter, "allow": allow, "ping": ping, "leave": leave}
    return tvm.IRModule({name: function.with_attr("global_symbol", name) for name, function in named.items()})
