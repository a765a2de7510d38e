"""Compiling a model, on one screen.

import     a graph of operators, from PyTorch or ONNX, which compute its outputs once         tvm/models/sources.py
fuse       functions over tensors, equal ones once: the tasks                               tvm/models/tasks.py
lay out    in the layout of convolutions that promises most                                 models/layouts.py
tune       all of them in one run, whose trials go where the model's time is                models/tuning.py
plain      a plain schedule for programs, or parts of them, that no sketch schedules        models/by_rule.py
assemble   tuned programs in their places, weights packed as they want them, one library    tvm/models/assembly.py
fit        of each program the schedule that is fastest there                               models/fitting.py
judge      outputs against the importer's own, the whole timed in turn with the untuned     models/judge.py
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from colt.errors import InputError, MeasureError
from colt.fleet.session import queued_s
from colt.machine import detect
from colt.measure.base import Fate
from colt.models.archive import laid_out
from colt.models.by_rule import with_plain_schedules
from colt.models.compiled import CompiledModel
from colt.models.fitting import BuiltModel, Fitted, fitted
from colt.models.judge import TOO_SLOW, timed, verified
from colt.models.layouts import IN_WORDS, USUAL, chosen_layout
from colt.models.manifest import SCHEMA, ComparedPart, Manifest, ReceiptPart, TaskPart, TensorPart, WholePart
from colt.models.options import CompileOptions
from colt.models.receipt import receipt_of, receipt_of_both, used_up
from colt.models.tuning import TunedTasks, tune_tasks
from colt.plan import device_of
from colt.run.clock import QUEUEING
from colt.store.receipt import Receipt
from colt.tvm.devices.base import Device
from colt.tvm.devices.fleet import FleetDevice, require_like_here
from colt.tvm.devices.hold import Hold, hold_this_machine
from colt.tvm.devices.host import flags_needed, set_unbound_threads
from colt.tvm.models.assembly import Assembler, assemble, weight_bytes
from colt.tvm.models.graph import CannotTell, Graph
from colt.tvm.models.library import ModelLibrary, bytes_of, require_pool, write_library
from colt.tvm.models.sources import load_graph
from colt.tvm.models.tasks import ModelTask
from colt.tvm.models.untuned import on_one_thread
from colt.util.clock import Stopwatch
from colt.util.interrupt import Interrupt
from colt.util.output import require_room_to_build
from colt.util.text import counted, named_line
from colt.util.version import versions
from colt.util.waiting import LONGEST_S


def compile_model(model: Any, example: Any, options: CompileOptions) -> CompiledModel:
    """Compile a model.

    Raises
    ------
    InputError
        The model cannot be imported, or an option is not usable.
    MeasureError
        No worker starts.
    StorageError
        Temporary files cannot be written.
    """
    return compile_graph(lambda: load_graph(model, example, options.shapes), options)


def compile_graph(
    loaded: Callable[[], Graph], options: CompileOptions, interrupt: Interrupt | None = None
) -> CompiledModel:
    """The same of a graph that has yet to be imported.

    A model that computes something else in the layout that was chosen is compiled again in the usual one, with what is
    left of the budget. Once the model is imported, ``interrupt`` is asked whether all tuning is to end."""
    interrupt = interrupt or Interrupt()
    found = _compiled(loaded, options, interrupt)
    first = found.manifest
    if first.is_right or first.layout in ("", USUAL):
        return found
    why = f"convolutions are {IN_WORDS[USUAL]}: {IN_WORDS[first.layout]} the model computes something else"
    folder = None if options.run_dir is None else f"{options.run_dir}-{USUAL}"
    again = _compiled(loaded, replace(options.less(used_up(first)), layout=USUAL, run_dir=folder), interrupt)
    second = again.manifest
    again.manifest = msgspec.structs.replace(
        second,
        trials=first.trials + second.trials,
        usd=first.usd + second.usd,
        receipt=receipt_of_both(first.receipt or ReceiptPart(), second.receipt or ReceiptPart()),
        seconds={name: round(first.seconds.get(name, 0.0) + took, 3) for name, took in second.seconds.items()},
        messages=(*second.messages, why),
    )
    return again


def _compiled(loaded: Callable[[], Graph], options: CompileOptions, interrupt: Interrupt) -> CompiledModel:
    watch = Stopwatch()
    if options.fleet is not None and options.fleet_cpu is None:
        options = replace(options, fleet_cpu=detect().cpu)  # the whole model is timed here
    device = device_of(options.tune_options(1))
    require_like_here(device, "the whole model")
    with closing(Hold() if options.fleet is not None else device.hold()) as hold:  # hosts hold themselves
        if queued := queued_s() + hold.waited_s:
            watch.seconds[QUEUEING] = queued
        with ExitStack() as stack:

            def imported() -> tuple[Graph, list[Any] | None]:
                found = with_expected(loaded())
                stack.enter_context(interrupt)  # from here on there is something to keep
                return found

            return _compiled_on(device, imported, options, watch)


def _compiled_on(
    device: Device,
    imported: Callable[[], tuple[Graph, list[Any] | None]],
    options: CompileOptions,
    watch: Stopwatch,
) -> CompiledModel:
    target = device.target
    require_pool()  # before anything is tuned that cannot be run here, or put together
    require_room_to_build()
    set_unbound_threads(device.threads)  # before anything runs in this process, such as what packs weights
    with watch("importing"):
        graph, expected = imported()
        layout = chosen_layout(graph.name, graph.module, device, options, watch)
    module, tasks = layout.chosen.module, layout.chosen.tasks
    with watch("tuning"):
        tuned = tune_tasks(graph.name, tasks, weight_bytes(module), layout.left)
    with closing(_held_at_the_end(device)) as held:
        if held.waited_s:
            watch.seconds[QUEUEING] += held.waited_s
        with watch("assembling"):
            build = partial(_built, Assembler(module, tasks, target), device.threads)
            contenders = with_plain_schedules(tasks, tuned, build, graph.example, target)
            fit = fitted(contenders.of_each, build, graph.example)
            compiled = _loaded(graph, fit, tasks, tuned, device, options.products)
        with watch("judging"):
            verdict, figures = _judge(compiled, graph, expected, tasks, fit, module, target, options)
    compiled.manifest = msgspec.structs.replace(
        compiled.manifest,
        layout=layout.chosen.name if layout.compared else "",
        layouts=layout.compared,
        receipt=receipt_of_both(layout.receipt, receipt_of(list(tuned.receipts()))),
        trials=compiled.manifest.trials + layout.trials,
        messages=(*compiled.manifest.messages, *contenders.notes, *layout.notes, *held.notes),
        compared=verdict,
        timed=figures,
        seconds={activity: round(seconds, 3) for activity, seconds in watch.seconds.items()},
    )
    compiled.storage_failure = tuned.storage_failure
    return compiled


def with_expected(graph: Graph) -> tuple[Graph, list[Any] | None]:
    """The graph, with a note if nobody tells what it computes; and what its outputs are for the example, by whoever it
    came from. That is asked before anything is tuned: a model that does not run is not worth it.

    Raises :class:`InputError` for such a model."""
    if graph.reference is None:
        return graph, None
    try:
        return graph, graph.reference(graph.example)
    except CannotTell as why:
        note = f"outputs are compared with nothing: {why}"
        return replace(graph, reference=None, notes=(*graph.notes, note)), None
    except Exception as error:  # noqa: BLE001 - PyTorch and ONNX Runtime raise what they like
        raise InputError(
            f"{graph.name} does not run in {graph.against} on the example inputs: {named_line(error)}"
        ) from None


def _held_at_the_end(device: Device) -> Hold:
    """Leave to time the model on this machine after a fleet has tuned it; any other device is held already."""
    if not isinstance(device, FleetDevice):
        return Hold()
    try:
        return hold_this_machine()
    except MeasureError as busy:  # all that was tuned is not lost for that
        return Hold(waited_s=LONGEST_S, notes=(f"the whole model was timed all the same: {busy}",))


def _built(assembler: Assembler, threads: int, schedules: Mapping[str, Any]) -> BuiltModel:
    """The model with these programs, by the tasks' keys, in their places."""
    assembled = assembler.assemble(schedules)
    content = write_library(assembled.executable, assembled.objects)
    library = ModelLibrary(content, assembled.weights, threads, assembled.outputs)
    return BuiltModel(assembled, content, library)


def _loaded(
    graph: Graph, fit: Fitted, tasks: Sequence[ModelTask], tuned: TunedTasks, device: Device, products: str
) -> CompiledModel:
    """The model as it will be in its file, judged not yet."""
    library, weights = fit.built.library, fit.built.assembled.weights
    outputs = library(*graph.example)
    rows = tuple(_row(task, tuned, fit) for task in tasks)
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
        tasks=rows,
        trials=sum(receipt.trials.total for receipt in tuned.receipts()),
        usd=sum(receipt.spending.usd for receipt in tuned.receipts() if receipt.spending),
        messages=(*graph.notes, *_taken_back(tasks, tuned, fit), *_left_to_one(rows)),
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
        cpu=detect().cpu,
        products=products,
        messages=graph.notes,
    )


def _taken_back(tasks: Sequence[ModelTask], tuned: TunedTasks, fit: Fitted) -> Iterator[str]:
    found = tuned.contenders
    names = [task.name for task in tasks if task.key in fit.taken_back and task.key in found]
    if names:
        yield f"in the model another schedule is faster than the one that wins alone: {', '.join(names)}"


def _left_to_one(rows: Sequence[TaskPart]) -> Iterator[str]:
    if alone := [row for row in rows if row.on_one_thread]:
        count = counted(sum(row.on_one_thread for row in alone), "nest")
        yield f"one thread alone runs {count} of loops: in {', '.join(row.name for row in alone)}"


def _numbered(outputs: int) -> list[str]:
    return [f"output{number}" for number in range(1, outputs + 1)]


def tensor_part(name: str, array: Any) -> TensorPart:
    """An input or an output, by an example of it."""
    return TensorPart(name=name, shape=tuple(map(int, array.shape)), dtype=str(array.dtype))


def _row(task: ModelTask, tuned: TunedTasks, fit: Fitted) -> TaskPart:
    """What became of a task, for the manifest."""
    chosen, whole_us = fit.chosen.get(task.key), fit.model_us.get(task.key)
    result = tuned.result_of(task.key, "" if chosen is None else chosen.form)
    module = task.module if chosen is None else chosen.module
    row = TaskPart(
        name=task.name,
        key=task.key,
        calls=task.calls,
        model_us=None if whole_us is None else whole_us / task.calls,
        by="" if chosen is None else chosen.proposed_by,
        on_one_thread=on_one_thread(module["main"]),
    )
    tuned_us = None if chosen is None or math.isinf(chosen.latency_us) else chosen.latency_us
    if result is None:
        why = tuned.left.get(task.key, "its untuned program does not run")
        return msgspec.structs.replace(row, why_not=why)
    receipt = result.receipt
    return msgspec.structs.replace(
        row,
        flops=receipt.workload.flops,
        untuned_us=receipt.baseline.latency_us,
        tuned_us=tuned_us,
        roofline_share=None if receipt.roofline is None or (chosen and not tuned_us) else receipt.roofline.share,
        trials=sum(one.receipt.trials.total for one in tuned.results[task.key]),
        form=result.form,
        form_error=result.form_error,
        why_not="" if tuned_us is not None else _why_not(receipt),
    )


def _why_not(receipt: Receipt) -> str:
    """Why a program that was tried has none of the schedules that were timed."""
    if receipt.best is not None:
        return "its schedules leave long loops to one thread"
    return "no schedule is faster" if receipt.trials.fates.get(Fate.OK) else "no schedule could be timed"


def _judge(
    compiled: CompiledModel,
    graph: Graph,
    expected: Sequence[Any] | None,
    tasks: Sequence[ModelTask],
    fit: Fitted,
    module: Any,
    target: Any,
    options: CompileOptions,
) -> tuple[ComparedPart | None, WholePart]:
    """Compare the outputs with the original's, and time the whole in turn with the untuned model."""
    call = compiled.library
    verdict = None
    if expected is not None:
        found = [one.numpy() for one in call(*graph.example)]
        verdict = verified(found, expected, graph.against, options.products or graph.narrow)
    untuned_us = sum(task.calls * (task.untuned_us or 0.0) for task in compiled.manifest.tasks)
    if untuned_us > TOO_SLOW * 1e6 or not fit.chosen:
        return verdict, timed(lambda: call(*graph.example), None)
    plain = assemble(module, tasks, {}, target)
    untuned = ModelLibrary(write_library(plain.executable), plain.weights, compiled.manifest.threads, plain.outputs)
    return verdict, timed(lambda: call(*graph.example), lambda: untuned(*graph.example))
