"""Kernels that are written by hand, since parsing them would take each worker longer: they are what TVMScript makes."""

from __future__ import annotations

from typing import Any

import tvm
from tvm.script import tirx as T
from tvm_ffi import structural_equal

from colt.tvm.programs.program import module_of_function
from colt.tvm.workers.guard import guard_program
from colt.tvm.workers.stacks import stack_filler

WORDS = 1 << 14
FILLING = -0x01010102


def equal(made: Any, written: Any) -> bool:
    return bool(structural_equal(made, written))


def test_the_kernel_that_fills_stacks() -> None:
    @T.prim_func(s_tir=True)
    def main() -> None:
        T.evaluate(T.call_extern("handle", "wmemset", T.tvm_stack_alloca("shape", WORDS // 2), FILLING, WORDS))
        for _thread in T.parallel(3):
            T.evaluate(T.call_extern("handle", "wmemset", T.tvm_stack_alloca("shape", WORDS // 2), FILLING, WORDS))

    assert equal(stack_filler(3), module_of_function(main))


def test_what_guards_a_board() -> None:
    @T.prim_func(s_tir=True)
    def enter() -> None:
        if T.call_extern("int32", "fork") != 0:
            T.evaluate(T.call_extern("int32", "wait", T.int64(0)))
            T.evaluate(T.call_extern("int32", "_exit", 0))
        T.evaluate(T.call_extern("int32", "prctl", 1, T.int64(9)))
        T.evaluate(T.call_extern("int32", "setenv", "TVM_NUM_THREADS", "3", 1))

    @T.prim_func(s_tir=True)
    def allow(seconds: T.int32) -> None:
        T.evaluate(T.call_extern("int32", "alarm", seconds))

    @T.prim_func(s_tir=True)
    def ping() -> None:
        T.evaluate(0)

    @T.prim_func(s_tir=True)
    def leave() -> None:
        T.evaluate(T.call_extern("int32", "_exit", 0))

    written = {"enter": enter, "allow": allow, "ping": ping, "leave": leave}
    named = {name: function.with_attr("global_symbol", name) for name, function in written.items()}
    assert equal(guard_program(3), tvm.IRModule(named))
