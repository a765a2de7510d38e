"""Workloads with their spaces and what language models are told of them, made once for all tests."""

from __future__ import annotations

from functools import cache

from colt.machine import detect
from colt.options import SpaceKind
from colt.tvm.briefing import TvmBriefing, brief
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.source import load_program
from colt.tvm.space.space import TvmSpace

TARGET = resolve_target(None, 2)


@cache
def job(name: str, kind: SpaceKind = SpaceKind.COLT) -> tuple[TvmSpace, TvmBriefing]:
    """The space of a workload, and its briefing."""
    program = load_program(name)
    space = TvmSpace.generated(program.module, TARGET, kind, vector_math=True)
    return space, brief(space, program, detect(), 2, vector_math=True)
