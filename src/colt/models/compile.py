"""Compiling a model, on one screen.

import     a graph of operators, from PyTorch or ONNX                                       tvm/models/sources.py
fuse       functions over tensors, equal ones once: the tasks                               tvm/models/tasks.py
tune       all of them in one run, whose trials go where the model's time is                run/scheduler.py
assemble   tuned programs in their places, weights packed as they want them, one library    tvm/models/assembly.py
fit        of each program the schedule that is fastest there                               models/fitting.py
judge      outputs against the importer's own, the whole timed in turn with the untuned     models/judge.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from colt.errors import InputError
from colt.machine import detect
from colt.measure.base import Fate
from colt.models.archive import laid_out
from colt.models.compiled import CompiledModel
from colt.models.fitting import BuiltModel, Fitted, fitted
from colt.models.judge import TOO_SLOW, timed, verified
from colt.models.manifest import SCHEMA, ComparedPart, Manifest, TaskPart, TensorPart, WholePart
from colt.models.options import CompileOptions
from colt.options import TuneOptions
from colt.plan import Plan, checked_model, device_of
from colt.run.finish import CLOSE, Result, Runner
from colt.run.loop import run
from colt.run.resume import to_the_end
from colt.store.directory import RECORDING
from colt.store.receipt import Receipt
from colt.tvm.devices.base import Device
from colt.tvm.devices.fleet import require_like_here
from colt.tvm.devices.host import flags_needed, set_unbound_threads
from colt.tvm.forms import winograd_forms
from colt.tvm.models.assembly import Assembler, assemble, weight_bytes
from colt.tvm.models.fused import CHANNELS_LAST, fused
from colt.tvm.models.graph import Graph
from colt.tvm.models.library import ModelLibrary, bytes_of, write_library
from colt.tvm.models.sources import load_graph
from colt.tvm.models.tasks import ModelTask, tasks_of
from colt.tvm.programs.source import Program, load_program
from colt.util.clock import Stopwatch
from colt.util.text import first_line
from colt.util.version import versions

MOST_TIMED = 3
"""So many schedules of a program are timed in the model at most, of all its forms together."""


@dataclass(frozen=True, slots=True)
class TunedTasks:
    """What became of the tasks, by their keys: results of the run, one for each form of a program, that in which it is
    written first; and why others were left as they are."""

    results: Mapping[str, list[Result]]
    left: Mapping[str, str]

    @property
    def contenders(self) -> dict[str, list[Runner]]:
        """The schedules that may go into the model, by the task's key: the winner first."""
        found = {key: sorted(_runners(results), key=_latency) for key, results in self.results.items()}
        return {
            key: [one for one in runners if one.latency_us <= CLOSE * runners[0].latency_us][:MOST_TIMED]
            for key, runners in found.items()
            if runners
        }

    def receipts(self) -> Iterator[Receipt]:
        """Those of all forms of all programs."""
        return (result.receipt for results in self.results.values() for result in results)

    def result_of(self, key: str, form: str) -> Result | None:
        """The result of a task in that form; in the form in which it is written if it was not run in that one."""
        results = self.results.get(key, [])
        return next((one for one in results if one.form == form), next(iter(results), None))


def _runners(results: Iterable[Result]) -> Iterator[Runner]:
    for result in results:
        if (best := result.best) is not None:
            yield Runner(result.module, best.latency_us, best.proposed_by, result.form)
            yield from result.runners_up


def _latency(runner: Runner) -> float:
    return runner.latency_us


def compile_model(model: Any, example: Any, options: CompileOptions) -> CompiledModel:
    """Compile a model.

    Raises
    ------
    InputError
        The model cannot be imported, or an option is not usable.
    MeasureError
        No worker starts.
    """
    return compile_graph(lambda: load_graph(model, example, options.shapes), options)


def compile_graph(loaded: Callable[[], Graph], options: CompileOptions) -> CompiledModel:
    """The same of a graph that has yet to be imported."""
    watch = Stopwatch()
    if options.fleet is not None and options.fleet_cpu is None:
        options = replace(options, fleet_cpu=detect().cpu)  # the whole model is timed here
    device = device_of(options.tune_options(1))
    require_like_here(device, "the whole model")
    target = device.target
    set_unbound_threads(device.threads)  # before anything runs in this process, such as what packs weights
    with watch("importing"):
        graph = loaded()
        module = fused(graph.module, target, CHANNELS_LAST, options.products)
        tasks = tasks_of(module)
    with watch("tuning"):
        tuned = _tune(graph.name, tasks, weight_bytes(module), options)
    with watch("assembling"):
        build = partial(_built, Assembler(module, tasks, target), device.threads)
        fit = fitted(tuned.contenders, build, graph.example)
        compiled = _loaded(graph, fit, tasks, tuned, device, options.products)
    with watch("judging"):
        verdict, figures = _judge(compiled, graph, tasks, tuned, module, target, options)
    changes = {"compared": verdict, "timed": figures, "seconds": {k: round(v, 3) for k, v in watch.seconds.items()}}
    compiled.manifest = msgspec.structs.replace(compiled.manifest, **changes)
    return compiled


def _tune(name: str, tasks: Sequence[ModelTask], weights: int, options: CompileOptions) -> TunedTasks:
    """Tune all programs that can be tuned, in one run."""
    programs, form_of, of, left = list[Program](), list[int](), list[ModelTask](), dict[str, str]()
    for task in tasks:
        try:
            program = replace(load_program(task.module), name=task.name)
        except InputError as error:
            left[task.key] = first_line(error)
            continue
        forms = [program, *(winograd_forms(program) if options.winograd else ())]
        form_of += [len(programs)] * len(forms)
        of += [task] * len(forms)
        programs += forms
    if not programs:
        return TunedTasks({}, left)
    wanted = options.tune_options(len(programs))
    calls = [task.calls for task in of]
    results = _run(partial(checked_model, name, programs, calls, weight_bytes=weights, form_of=form_of), wanted)
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(of[result.number].key, []).append(result)
    return TunedTasks(found, left)


def _run(checked: Callable[..., Plan], wanted: TuneOptions) -> list[Result]:
    """Tune, or go on where an earlier run of the same model in that directory has broken off."""
    folder = None if wanted.run_dir is None else Path(wanted.run_dir)
    if folder is None or not (folder / RECORDING).is_file():
        return run(checked(options=wanted), wanted.on_event)
    plan = checked(options=replace(wanted, run_dir=None))
    return to_the_end(replace(plan, run_dir=folder), on_event=wanted.on_event)


def _built(assembler: Assembler, threads: int, schedules: Mapping[str, Any]) -> BuiltModel:
    """The model with these programs, by the tasks' keys, in their places."""
    assembled = assembler.assemble(schedules)
    content = write_library(assembled.executable, assembled.objects)
    return BuiltModel(assembled, content, ModelLibrary(content, assembled.weights, threads))


def _loaded(
    graph: Graph, fit: Fitted, tasks: Sequence[ModelTask], tuned: TunedTasks, device: Device, products: str
) -> CompiledModel:
    """The model as it will be in its file, judged not yet."""
    library, weights = fit.built.library, fit.built.assembled.weights
    outputs = library(*graph.example)
    bare = bare_manifest(
        graph,
        inputs=tuple(map(tensor_part, graph.inputs, graph.example)),
        outputs=tuple(map(tensor_part, graph.outputs or _numbered(len(outputs)), outputs)),
        weights=weights,
        device=device,
        products=products,
    )
    manifest = msgspec.structs.replace(
        bare,
        tasks=tuple(_row(task, tuned, fit) for task in tasks),
        trials=sum(receipt.trials.total for receipt in tuned.receipts()),
        usd=sum(receipt.spending.usd for receipt in tuned.receipts() if receipt.spending),
        messages=(*graph.notes, *_taken_back(tasks, fit)),
    )
    return CompiledModel(manifest, fit.built.content, [bytes_of(one) for one in weights], library)


def bare_manifest(
    graph: Graph,
    inputs: tuple[TensorPart, ...],
    outputs: tuple[TensorPart, ...],
    weights: Sequence[Any],
    device: Device,
    products: str,
) -> Manifest:
    """What is known of a model of which nothing is tuned."""
    return Manifest(
        schema=SCHEMA,
        name=graph.name,
        inputs=inputs,
        outputs=outputs,
        target=str(device.target),
        threads=device.threads,
        needs=flags_needed(device.target),
        weights=laid_out([(tuple(map(int, one.shape)), str(one.dtype)) for one in weights]),
        tasks=(),
        versions=versions(),
        seconds={},
        trials=0,
        usd=0,
        products=products,
        messages=graph.notes,
    )


def _taken_back(tasks: Sequence[ModelTask], fit: Fitted) -> Iterator[str]:
    names = [task.name for task in tasks if task.key in fit.taken_back]
    if names:
        yield f"in the model another schedule is faster than the one that wins alone: {', '.join(names)}"


def _numbered(outputs: int) -> list[str]:
    return [f"output{number}" for number in range(1, outputs + 1)]


def tensor_part(name: str, array: Any) -> TensorPart:
    """An input or an output, by an example of it."""
    return TensorPart(name=name, shape=tuple(map(int, array.shape)), dtype=str(array.dtype))


def _row(task: ModelTask, tuned: TunedTasks, fit: Fitted) -> TaskPart:
    """What became of a task, for the manifest."""
    chosen, whole_us = fit.chosen.get(task.key), fit.model_us.get(task.key)
    result = tuned.result_of(task.key, "" if chosen is None else chosen.form)
    if result is None:
        why = tuned.left.get(task.key, "its untuned program does not run")
        return TaskPart(name=task.name, key=task.key, calls=task.calls, why_not=why)
    receipt = result.receipt
    return TaskPart(
        name=task.name,
        key=task.key,
        calls=task.calls,
        flops=receipt.workload.flops,
        untuned_us=receipt.baseline.latency_us,
        tuned_us=None if chosen is None else chosen.latency_us,
        model_us=None if whole_us is None else whole_us / task.calls,
        roofline_share=None if receipt.roofline is None else receipt.roofline.share,
        trials=sum(one.receipt.trials.total for one in tuned.results[task.key]),
        form=result.form,
        form_error=result.form_error,
        by="" if chosen is None else chosen.proposed_by,
        why_not="" if chosen is not None else _why_not(receipt),
    )


def _why_not(receipt: Receipt) -> str:
    """Why a program that was tried is as it was imported."""
    return "no schedule is faster" if receipt.trials.fates.get(Fate.OK) else "no schedule could be timed"


def _judge(
    compiled: CompiledModel,
    graph: Graph,
    tasks: Sequence[ModelTask],
    tuned: TunedTasks,
    module: Any,
    target: Any,
    options: CompileOptions,
) -> tuple[ComparedPart | None, WholePart]:
    """Compare the outputs with the original's, and time the whole in turn with the untuned model."""
    call = compiled.library
    verdict = None
    if graph.reference is not None:
        found, expected = [one.numpy() for one in call(*graph.example)], graph.reference(graph.example)
        verdict = verified(found, expected, graph.against, options.products or graph.narrow)
    untuned_us = sum(task.calls * (task.untuned_us or 0.0) for task in compiled.manifest.tasks)
    if untuned_us > TOO_SLOW * 1e6 or not tuned.contenders:
        return verdict, timed(lambda: call(*graph.example), None)
    plain = assemble(module, tasks, {}, target)
    untuned = ModelLibrary(write_library(plain.executable), plain.weights, compiled.manifest.threads)
    return verdict, timed(lambda: call(*graph.example), lambda: untuned(*graph.example))
