"""Gives each job of a parallel loop its tiles once, instead of each register tile: a pass over scheduled programs.

It also asks for tiles ahead of the loop. TVM's runtime loses what a parallel loop fails of where there is one thread.
"""

from __future__ import annotations

from typing import Any

from tvm.ir import Call
from tvm.tirx import AssertStmt, Evaluate, For, PrimFunc, SeqStmt

from colt.tvm.dots.shims import IMPORT, TILE_BEGIN, TILE_END
from colt.tvm.dots.tiles import ask, begin, end
from colt.tvm.programs.program import with_changed_bodies
from colt.tvm.programs.walks import mapped


def configure_once(mod: Any) -> Any:
    """The module with one beginning and one end of tiles in the body of each parallel loop that has any; ``mod`` itself
    if none has."""
    return with_changed_bodies(mod, tiles_once)


def tiles_once(function: PrimFunc, body: Any) -> Any:
    """What :func:`configure_once` changes."""

    def job(loop: For) -> Any:
        if TILE_BEGIN not in str(loop.annotations.get(IMPORT, "")):
            return loop
        body = mapped(loop.body, (AssertStmt, _without_begin), (Evaluate, _without_end))
        body = SeqStmt([begin(), body, end()])
        once = For(loop.loop_var, loop.min, loop.extent, loop.kind, body, None, loop.annotations, loop.step)
        return SeqStmt([ask(), once])

    return mapped(body, (For, job))


def _without_begin(stmt: AssertStmt) -> Any:
    return Evaluate(0) if _calls(getattr(stmt.condition, "a", None), TILE_BEGIN) else stmt


def _without_end(stmt: Evaluate) -> Any:
    return Evaluate(0) if _calls(stmt.value, TILE_END) else stmt


def _calls(value: Any, name: str) -> bool:
    """Whether the value is a call of the foreign function."""
    foreign = isinstance(value, Call) and str(getattr(value.op, "name", "")).endswith("call_extern")
    return foreign and getattr(value.args[0], "value", None) == name
