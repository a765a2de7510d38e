"""What the compiler made of the fastest schedule's inner loop: language models are told."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from colt.machine.disassembly import inner_loop, instruction_mix
from colt.measure.base import ExportError
from colt.proposers.language.node import InnerLoopMix
from colt.run.context import Run
from colt.run.task import Task
from colt.search.structures import NOISE
from colt.tvm.programs.program import fingerprint
from colt.world.answers import Disassembled

EACH = 8
"""Trials between two looks: each builds and links a kernel, and the machine measures nothing meanwhile."""


def look_inside(run: Run, task: Task) -> None:
    """Disassemble the fastest schedule, if it is new and language models are to be told of it.

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


def _disassembled(kernel: Path) -> Disassembled:
    found = inner_loop(kernel)
    return Disassembled(mix=instruction_mix(found.lines), problem=found.problem)
