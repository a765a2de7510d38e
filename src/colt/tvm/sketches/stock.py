"""MetaSchedule's own sketches: ``post-order-apply`` with the target's schedule rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tvm import s_tir
from tvm.s_tir import meta_schedule as ms
from tvm.s_tir.meta_schedule.schedule_rule import ParallelizeVectorizeUnroll
from tvm.s_tir.schedule.analysis import has_block
from tvm.s_tir.stmt import SBlock
from tvm.tirx import For, IntImm

from colt.errors import InputError
from colt.knobs import EDITION
from colt.tvm.devices.host import cpu_intrinsics
from colt.tvm.programs.nests import is_arranged
from colt.tvm.programs.walks import every
from colt.tvm.refusals import TVM_ERRORS
from colt.tvm.sketches.design import PLAIN, Design, DesignSpace, distinct
from colt.tvm.sketches.guarded import Crashes, guarded
from colt.tvm.sketches.partial import moves_in_part, reads_in_part
from colt.util.text import first_line

_PLACING = "RandomComputeLocation"
_NO_DYNAMIC_LOOPS = "DisallowDynamicLoop"
_PARTIAL = 2
"""The last edition with consumers that pad at their producers' loops."""

Complete = Callable[[Any], tuple[Any, tuple[str, ...]]]


def generate(mod: Any, target: Any, seed: int = 1, edition: int = EDITION) -> DesignSpace:
    """All design spaces that MetaSchedule's rules give for ``mod``; the same for the same arguments.

    The last rule places the remaining blocks: it samples compute locations and takes three quarters of the time, so it
    waits until a design is used. A rule is left out for the blocks that it crashes on, and what TVM would get wrong is
    left out since the third ``edition``.

    Raises
    ------
    InputError
        MetaSchedule makes no sketch, even without the crashing rules.
    """
    with cpu_intrinsics(target):
        rules, postprocs = _defaults(mod, target, seed)
        if _is_arranged(mod):
            rules = [_without_vectors(rule) for rule in rules]
        placing = rules.pop() if rules and type(rules[-1]).__name__ == _PLACING else None
        crashes = Crashes()
        schedules = _generate(mod, target, seed, rules, crashes)
    if placing is not None:
        schedules.reverse()  # each rule reverses the order
    traces, duplicates = distinct([schedule.trace for schedule in schedules])
    messages = crashes.messages() + ((duplicates,) if duplicates else ())
    if edition > _PARTIAL and reads_in_part(mod):
        whole = [trace for trace in traces if not moves_in_part(mod, trace)]
        if len(whole) < len(traces):
            left_out = len(traces) - len(whole)
            messages += (f"{left_out} sketches that move a block which pads or joins to its producer are left out",)
        traces = whole or traces
    complete = None if placing is None else partial(_place, mod, placing, seed)
    return DesignSpace(tuple(Design(PLAIN, trace, complete=complete) for trace in traces), postprocs, messages)


def given(design_spaces: Sequence[Any], postprocs: Sequence[Any]) -> DesignSpace:
    """Design spaces as MetaSchedule hands them to ``SearchStrategy.pre_tuning``, with the context's post-processors.

    Raises
    ------
    InputError
        There are none.
    """
    if not design_spaces:
        raise InputError("MetaSchedule gave no design space for this workload")
    traces, duplicates = distinct([schedule.trace for schedule in design_spaces])
    designs = tuple(Design(PLAIN, trace) for trace in traces)
    return DesignSpace(designs, tuple(postprocs), (duplicates,) if duplicates else ())


def _context(mod: Any, target: Any, seed: int, **rules: Any) -> Any:
    generator = ms.space_generator.PostOrderApply(**rules)
    return ms.TuneContext(mod=mod, target=target, space_generator=generator, rand_state=seed, num_threads=1)


def _defaults(mod: Any, target: Any, seed: int) -> tuple[list[Any], tuple[Any, ...]]:
    """The target's schedule rules and post-processors. The context is not kept: it is a reference cycle in C++."""
    generator = _context(mod, target, seed).space_generator
    postprocs = tuple(generator.postprocs or ())
    if _has_dynamic_loops(mod):  # it is to refuse those that a schedule makes, not the program's own
        postprocs = tuple(one for one in postprocs if type(one).__name__ != _NO_DYNAMIC_LOOPS)
    return list(generator.sch_rules or ()), postprocs


def _is_arranged(mod: Any) -> bool:
    """Whether some block has its vectors inside. TVM would take these apart for vectors across the block's points, and
    gets values wrong that each point has for itself."""
    return any(map(is_arranged, every(mod["main"].body, SBlock)))


def _without_vectors(rule: Any) -> Any:
    if type(rule) is not ParallelizeVectorizeUnroll:
        return rule
    steps = list(rule.unroll_max_steps)
    return ParallelizeVectorizeUnroll(int(rule.max_jobs_per_core), -1, steps, bool(rule.unroll_explicit))


def _has_dynamic_loops(mod: Any) -> bool:
    """Whether the program has loops that do not turn a constant number of times."""
    return not all(isinstance(loop.extent, IntImm) for loop in every(mod["main"].body, For))


def _generate(mod: Any, target: Any, seed: int, rules: list[Any], crashes: Crashes) -> list[Any]:
    try:
        return list(_context(mod, target, seed, sch_rules=rules).generate_design_space())
    except TVM_ERRORS:
        pass  # some rule crashes: find out which, block by block
    try:
        schedules = list(_context(mod, target, seed, sch_rules=guarded(rules, crashes)).generate_design_space())
    except TVM_ERRORS as error:
        raise InputError(f"TVM can make no schedule for this program: {first_line(error)}") from error
    if not schedules:
        raise InputError("TVM can make no schedule for this program")
    return schedules


def _place(mod: Any, rule: Any, seed: int, trace: Any) -> tuple[Any, tuple[str, ...]]:
    """Apply the placing rule to the remaining blocks, consumers first, as post-order-apply does."""
    schedule = s_tir.Schedule(mod, seed=seed, debug_mask=0, error_render_level="fast")
    trace.apply_to_schedule(schedule, remove_postproc=True)
    crashes = Crashes()
    for name, block in reversed(_program_blocks(schedule)):
        if not has_block(schedule, name):
            continue
        try:
            schedule = rule.apply(schedule.copy(), block)[0]
        except TVM_ERRORS as error:
            crashes.add(_PLACING, name, error, substituted=False)
    return schedule.trace, crashes.messages()


def _program_blocks(schedule: Any) -> list[tuple[str, Any]]:
    """The blocks of the untuned program, producers first: the head of the trace looks them up."""
    found = []
    for instruction in schedule.trace.insts:
        if instruction.kind.name != "GetSBlock":
            break
        found.append((str(instruction.attrs[0]), instruction.outputs[0]))
    return found
