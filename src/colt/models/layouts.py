"""The layout of a model's convolutions: the one in which a few programs that take most of its time are the fastest.

Layouts are of a model, not of a program: what one program writes the next one reads, or somebody moves it. So the model
is fused once for each, and those programs count that are in some only. The ones with the most operations are tuned in a
short run, all layouts together, as cold as in the model; what is known from records is not measured. Others are taken
to be as far from their rooflines as these; those that only move data, to be at the roofline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from colt.errors import InputError
from colt.machine import Hardware, Peaks, detect, load_peaks
from colt.models.manifest import LayoutPart, ReceiptPart
from colt.models.options import CompileOptions
from colt.models.receipt import receipt_of
from colt.models.tuning import Forms, plan_of, results_of
from colt.options import TuneOptions
from colt.plan import Plan
from colt.records.record import RecordsError
from colt.records.store import Store
from colt.run.finish import Result
from colt.run.recall import key_of
from colt.store.receipt import Receipt
from colt.tvm.devices.base import Device
from colt.tvm.models.assembly import weight_bytes
from colt.tvm.models.fused import fused
from colt.tvm.models.layouts import LAYOUTS, has_convolutions
from colt.tvm.models.tasks import ModelTask, tasks_of
from colt.tvm.programs.source import Program
from colt.util.clock import Stopwatch
from colt.util.text import first_line

COMPARED = 5
"""So many programs of each layout are tuned, those with the most operations."""
TRIALS = 6
"""Trials of each of their forms."""
SHARE = 1 / 8
"""The part of the budget that comparing may take at most."""
FEWEST_SECONDS = 60.0
"""In less time nothing is found out."""
GAIN = 0.95
"""Another layout than the first is taken if the model takes less than this share of the time in it."""

USUAL = next(iter(LAYOUTS))
"""The first one, which a model has where nothing is compared."""
IN_WORDS = {"channels-last": "with channels last", "blocks": "with channels in blocks", "as-imported": "as imported"}
"""The layouts, as people are told of them."""


@dataclass(frozen=True, slots=True)
class LaidOut:
    """The model with its convolutions in one layout: fused, and its tasks."""

    name: str
    module: Any
    tasks: Sequence[ModelTask]


@dataclass(frozen=True, slots=True)
class LayoutChoice:
    """The layout that a model gets; what was found of each, the first one first; and what comparing took."""

    chosen: LaidOut
    left: CompileOptions
    """The options with what is left of the budget."""
    compared: tuple[LayoutPart, ...] = ()
    notes: tuple[str, ...] = ()
    trials: int = 0
    receipt: ReceiptPart = field(default_factory=ReceiptPart)


def chosen_layout(name: str, graph: Any, device: Device, options: CompileOptions, watch: Stopwatch) -> LayoutChoice:
    """Choose the layout of a graph's convolutions. What is tuned for that counts as tuning for the watch.

    Raises :class:`InputError` for an operator that there is no code for in any layout."""
    names = list(LAYOUTS) if options.layout is None else [options.layout]
    first, notes = _first_of(names, graph, device, options)
    if not names or not has_convolutions(graph):
        return LayoutChoice(first, options, notes=tuple(notes))
    layouts = [first]
    try:
        _require_time(options)
        for other in names:
            try:
                layouts.append(_laid_out(other, graph, device, options))
            except InputError as error:
                notes.append(f"convolutions {IN_WORDS[other]} are not tried: {first_line(error)}")
        found = _compared(name, layouts, device, options, watch)
    except _Uncompared as why:
        return LayoutChoice(first, options, notes=(*notes, f"other layouts of convolutions are not tried: {why}"))
    return replace(found, notes=tuple(notes))


def _first_of(names: list[str], graph: Any, device: Device, options: CompileOptions) -> tuple[LaidOut, list[str]]:
    """The first layout that there is code for, and what to say of those before it. ``names`` keeps those behind it."""
    errors: dict[str, InputError] = {}
    while names:
        name = names.pop(0)
        try:
            found = _laid_out(name, graph, device, options)
        except InputError as error:
            errors[name] = error
        else:
            return found, [f"nothing is computed {IN_WORDS[one]}: {first_line(why)}" for one, why in errors.items()]
    raise next(iter(errors.values()))


class _Uncompared(Exception):
    """Nothing is compared; the text says why."""


def _laid_out(name: str, graph: Any, device: Device, options: CompileOptions) -> LaidOut:
    module = fused(graph, device.target, LAYOUTS[name], options.products)
    return LaidOut(name, module, tasks_of(module))


def _require_time(options: CompileOptions) -> None:
    """Raises :class:`_Uncompared` if there is none, unless records may say what is the fastest."""
    seconds = SHARE * 60 * options.minutes
    if not options.records_only and seconds < FEWEST_SECONDS:
        raise _Uncompared(f"{seconds:.0f} s may go into it, and it takes {FEWEST_SECONDS:.0f}")


def _compared(
    name: str, layouts: Sequence[LaidOut], device: Device, options: CompileOptions, watch: Stopwatch
) -> LayoutChoice:
    """The layouts compared. Raises :class:`_Uncompared`."""
    common = set.intersection(*({task.key for task in one.tasks} for one in layouts))
    parts = [_Part.of(one, common, options) for one in layouts]
    if not all(part.timed for part in parts):
        raise _Uncompared("none makes another program")
    given = list({forms.task.key: forms for part in parts for forms in part.timed}.values())
    weights, programs = weight_bytes(layouts[0].module), sum(len(one.programs) for one in given)
    wanted, left, receipts = _wanted(options, programs), options, list[Receipt]()
    us = None if _begun(wanted) else _known(plan_of(name, given, weights, replace(wanted, run_dir=None)), given)
    if us is None:
        _require_trials(options, programs)
        left = _left(options, TRIALS * programs)
        with watch("tuning"):
            results = results_of(name, given, weights, wanted)
        us = {key: _fastest(found) for key, found in results.items()}
        if len(us) < len(given):
            raise _Uncompared("some of their programs do not run untuned")
        receipts = [one.receipt for found in results.values() for one in found]
    peaks = load_peaks(detect(), device.threads)
    found = [part.milliseconds(us, peaks) for part in parts]
    best = min(range(len(found)), key=lambda number: found[number] * (1.0 if number else GAIN))
    told = tuple(
        LayoutPart(name=one.name, ms=ms, programs=len(part.timed))
        for one, part, ms in zip(layouts, parts, found, strict=True)
    )
    trials = sum(one.trials.total for one in receipts)
    return LayoutChoice(layouts[best], left, told, trials=trials, receipt=receipt_of(receipts))


def _wanted(options: CompileOptions, programs: int) -> TuneOptions:
    """The options of the run that compares: no language model is asked."""
    folder = None if options.run_dir is None else f"{options.run_dir}-layouts"
    quick = replace(
        options,
        minutes=SHARE * options.minutes,
        trials=TRIALS * programs,
        records_only=False,
        pool=None,
        max_usd=None,
        max_calls=None,
        max_tokens=None,
        run_dir=folder,
    )
    return quick.tune_options(programs)


def _begun(wanted: TuneOptions) -> bool:
    """Whether a run that compares has begun before: its own results count then, so that the choice stays the same."""
    return wanted.run_dir is not None and Path(wanted.run_dir).exists()


def _left(options: CompileOptions, trials: int) -> CompileOptions:
    """The options without what comparing may take, whatever it took: a run that goes on has the same budget."""
    own = None if options.trials is None else max(0, options.trials - trials)
    return replace(options, minutes=(1 - SHARE) * options.minutes, trials=own)


def _require_trials(options: CompileOptions, programs: int) -> None:
    """Raises :class:`_Uncompared` if so many programs cannot be tuned for this."""
    if options.records_only:
        raise _Uncompared("nothing is known of them")
    if options.trials is not None and SHARE * options.trials < TRIALS * programs:
        most = int(SHARE * options.trials)
        raise _Uncompared(f"{most} of {options.trials} trials may go into it, and it takes {TRIALS * programs}")


def _fastest(results: Iterable[Result]) -> float:
    """Microseconds of a program in its fastest form; as it was written if nothing was found."""
    return min(one.receipt.baseline.latency_us if one.best is None else one.best.latency_us for one in results)


def _known(plan: Plan, given: Sequence[Forms]) -> dict[str, float] | None:
    """Microseconds by the task's key, as the records have them; ``None`` unless they know all tasks."""
    if plan.records is None or plan.options.fresh:
        return None
    store, hardware = Store(plan.records), detect()
    found = dict[str, float]()
    for one in given:
        us = _best_known(store, plan, hardware, one.programs)
        if us is None:
            return None
        found[one.task.key] = us
    return found


def _best_known(store: Store, plan: Plan, hardware: Hardware, programs: Sequence[Program]) -> float | None:
    try:
        matches = [store.known(key_of(plan, hardware, program)) for program in programs]
    except RecordsError:
        return None
    best = [min((m.record for m in one.records), key=lambda record: record.rank) for one in matches if one.records]
    return min((record.latency_us for record in best), default=None)


@dataclass(frozen=True, slots=True)
class _Part:
    """What is different in one layout: tasks that are timed, with the most operations, and all others. What only moves
    data is not timed: at times no schedule of it is faster than the untuned one, and then no record tells of it."""

    timed: Sequence[Forms]
    others: Sequence[Forms]

    @classmethod
    def of(cls, laid_out: LaidOut, common: set[str], options: CompileOptions) -> _Part:
        found = list[Forms]()
        for task in laid_out.tasks:
            if task.key not in common:
                try:
                    forms = Forms.of(task, options)
                except InputError:
                    continue
                named = (replace(one, name=f"{one.name}_{laid_out.name}") for one in forms.programs)
                found.append(replace(forms, programs=tuple(named)))
        found.sort(key=lambda one: -one.task.calls * (one.programs[0].flops or 0))
        timed = [one for one in found[:COMPARED] if one.programs[0].flops]
        return cls(timed, found[len(timed) :])

    def milliseconds(self, us: Mapping[str, float], peaks: Peaks | None) -> float:
        """What a run of the model takes for all of them, at a guess."""
        timed = sum(one.task.calls * us[one.task.key] for one in self.timed)
        limits = [(one.task.calls, *_limits_us(one.programs[0], peaks)) for one in self.timed]
        at_best = sum(calls * max(limit) for calls, *limit in limits)
        slower = timed / at_best if at_best else 1.0
        for one in self.others:
            computing, moving = _limits_us(one.programs[0], peaks)
            timed += one.task.calls * (computing * slower if computing > moving else moving)
        return timed / 1e3


def _limits_us(program: Program, peaks: Peaks | None) -> tuple[float, float]:
    """The least microseconds that a program takes for computing, and for its data; nothing where no peak is known."""
    if peaks is None or peaks.fma_gflops_all_threads is None or peaks.bandwidth_gbs is None:
        return 0.0, 0.0
    return (program.flops or 0) / peaks.fma_gflops_all_threads / 1e3, program.min_bytes / peaks.bandwidth_gbs / 1e3
