"""What is inside of the fastest schedule, for language models: the inner loop that the compiler made of it, and where
its time goes, as measured."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from colt.errors import MeasureError
from colt.machine.disassembly import inner_loop, instruction_mix
from colt.measure.base import ExportError
from colt.proposers.language.node import InnerLoopMix
from colt.proposers.language.prompt import Profile
from colt.run.context import Run
from colt.run.task import Task
from colt.search.structures import NOISE
from colt.search.types import Trial
from colt.tvm.programs.program import fingerprint
from colt.tvm.workers.clocks import can_read_clocks, with_clocks
from colt.world.answers import Disassembled

READINGS_PER_US = 1.0
"""Clocks are read so often for each microsecond of a schedule and each thread, at most: that takes a hundredth."""
_NOT_PROFILED = 14
"""The last edition in which the time of the fastest schedule was told as predicted."""
EACH = 8
"""Trials between two looks: each builds and links a kernel, and the machine measures nothing meanwhile."""


def look_inside(run: Run, task: Task) -> None:
    """Disassemble and profile the fastest schedule, if it is new and language models are to be told of it.

    Only with ``structure_after``: models that change structures have to know what bounds them.
    """
    dispatcher, trials = task.dispatcher, task.search.trials
    if not task.search.setup.structure_after or dispatcher.calls_ended is not None or not trials.latencies:
        return
    latency_us, trial = trials.ranked()[0]
    seen = task.looked_inside
    if trials.told < seen.told + EACH or latency_us > seen.latency_us * (1 - NOISE):
        return
    task.looked_inside = type(seen)(trials.told, latency_us)
    module = task.tvm_space.module(trial.schedule)
    with run.watch("exporting"), TemporaryDirectory(prefix="colt-") as folder:
        path = Path(folder) / "inner.so"
        try:
            run.measurer.export(module, path)
            found = run.world.take(f"inner loop of {fingerprint(module)}", Disassembled, lambda: _disassembled(path))
        except ExportError as error:
            found = Disassembled(problem=str(error))
    if found.mix:
        dispatcher.desk.inner = InnerLoopMix(trial.schedule, found.mix)
    elif not run.told_of_no_inner_loop:
        run.told_of_no_inner_loop = True
        run.note(f"language models are not told of inner loops: {found.problem}")
    if run.world.edition > _NOT_PROFILED and can_read_clocks(run.plan.target):
        dispatcher.desk.profile = _profile(run, task, module, trial, latency_us)


def _profile(run: Run, task: Task, module: Any, trial: Trial, latency_us: float) -> Profile | None:
    """The time of a schedule by its parts; ``None`` if it has only one, or that is not known."""
    clocked = with_clocks(module, most=int(READINGS_PER_US * latency_us * run.plan.threads))
    if clocked is None:
        return None
    try:
        with run.measuring():
            cycles = run.measurer.clock(clocked.module, len(clocked.parts), task.inputs)
    except MeasureError as error:
        if not run.told_of_no_profile:
            run.told_of_no_profile = True
            run.note(f"language models are not told where time goes, as measured: {error}")
        return None
    parts = clocked.shares(cycles, run.plan.threads) if cycles else ()
    return Profile(trial.schedule, parts) if parts else None


def _disassembled(kernel: Path) -> Disassembled:
    found = inner_loop(kernel)
    return Disassembled(mix=instruction_mix(found.lines), problem=found.problem)
