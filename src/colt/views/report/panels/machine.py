"""How near the trials came to what the machine can do, and where the time went."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from colt.store.receipt import Receipt
from colt.views.report.chart import Chart, Series, Told, figures
from colt.views.report.source import SeenRun
from colt.views.seen import SeenCall, SeenTrial

Thing = TypeVar("Thing")


def roofline_chart(run: SeenRun) -> Chart:
    """All trials under the machine's peaks. A program has one intensity, so that its trials stand above each other."""
    receipt, series = run.receipt, list[Series]()
    why = "the run has no receipt yet, which has the peaks and the operations of the program"
    if receipt is not None:
        why = "operations, bytes or peaks are not known"
        if receipt.workload.flops and receipt.hardware.fma_gflops and receipt.workload.min_bytes:
            series = _roofline(run, receipt)
    return Chart(
        "roofline",
        "Roofline",
        "operations per byte",
        "GFLOPS",
        series,
        log_x=True,
        log_y=True,
        empty=f"no roofline: {why}",
    )


def _roofline(run: SeenRun, receipt: Receipt) -> list[Series]:
    work, machine = receipt.workload, receipt.hardware
    flops, peak, bandwidth = work.flops or 0, machine.fma_gflops or 0.0, machine.bandwidth_gbs
    intensity = flops / work.min_bytes
    ridge = peak / bandwidth if bandwidth else intensity
    low, high = min(intensity, ridge) / 8, max(intensity, ridge) * 8
    series = [Series(f"FMA peak, {machine.peak_threads} threads", [ridge, high], [peak, peak], "line", 0)]
    if bandwidth:
        series.append(Series("memory bandwidth", [low, ridge], [low * bandwidth, peak], "line", 4))
    untuned = flops / receipt.baseline.latency_us / 1e3
    series.append(Series("untuned", [intensity], [untuned], "points", -1, [f"untuned: {figures(untuned)} GFLOPS"]))
    for place, member in enumerate(run.members):
        trials = [one for one in run.task.trials.values() if one.by == member and one.latency_us]
        if trials:
            reached = [flops / (one.latency_us or 1.0) / 1e3 for one in trials]
            texts = Told(list(zip(trials, reached, strict=True)), _speed)
            series.append(Series(member, [intensity] * len(trials), reached, "points", place, texts))
    return series


def _speed(reached: tuple[SeenTrial, float]) -> str:
    """What hovering over a trial says."""
    trial, gflops = reached
    return f"trial {trial.id} by {trial.by}: {figures(gflops)} GFLOPS"


ASKING, BUILDING, TIMING, WAITING, VERIFYING = "asking", "building", "timing", "waiting", "verifying"


def spans(trial: SeenTrial) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """When a trial waited, was built and was timed: reckoned back from when it came back by how long each took."""
    end = trial.timed_s or trial.asked_s
    timing = max(0.0, end - trial.seconds_timing)
    building = max(0.0, timing - trial.seconds_building)
    return (min(trial.asked_s, building), building), (building, timing), (timing, end)


MOST_SPANS = 400
"""Spans of one row from which neighbours are drawn as one: those with less between them than the eye can see."""

Span = tuple[float, float, str]
"""From when to when, and what is said about it."""


def timeline_chart(run: SeenRun) -> Chart:
    """When whom was asked, and when what was built and timed."""
    end = run.state.seconds
    rows: list[Series] = []
    calls: dict[str, list[SeenCall]] = defaultdict(list)
    for call in run.state.calls:
        calls[call.by].append(call)
    for place, member in enumerate(run.members):
        rows.append(_row(f"{ASKING} {member}", place, merged(calls[member], _asked, _answer, end)))
    back = run.task.back
    for place, name, part in ((-1, WAITING, 0), (1, BUILDING, 1), (2, TIMING, 2)):
        between = partial(_part, part)
        lasting = [one for one in back if between(one)[1] > between(one)[0]]
        rows.append(_row(name, place, merged(lasting, between, partial(_trial, part), end)))
    rows.append(_row(VERIFYING, -1, _verifying(run)))
    series = [row for row in rows if row.x]
    return Chart(
        "timeline",
        "When whom was asked, and what was built and timed",
        "seconds",
        "",
        series,
        empty="nobody was asked and nothing was measured",
        height=120 + 30 * max(3, len(series)),
        legend=False,
    )


def _verifying(run: SeenRun) -> list[Span]:
    """The end of a finished run, of which only its beginning and its length are known."""
    seconds = run.receipt.seconds.get(VERIFYING, 0.0) if run.receipt is not None else 0.0
    start, phase = run.state.phases[-1] if run.state.phases else (0.0, "")
    if not seconds or not phase.startswith(VERIFYING):
        return []
    return [(start, start + seconds, f"{phase}: {seconds:.3g} s")]


def _asked(call: SeenCall) -> tuple[float, float]:
    return call.start_s, call.end_s


def _answer(call: SeenCall) -> str:
    return f"{call.end_s - call.start_s:.3g} s{f', {call.error}' if call.error else ''}"


def _part(part: int, trial: SeenTrial) -> tuple[float, float]:
    return spans(trial)[part]


def _trial(part: int, trial: SeenTrial) -> str:
    start, end = spans(trial)[part]
    return f"trial {trial.id}: {end - start:.3g} s"


def merged(
    things: Sequence[Thing],
    between: Callable[[Thing], tuple[float, float]],
    text: Callable[[Thing], str],
    seconds: float,
) -> list[Span]:
    """The span of each thing, with its text; at most about ``MOST_SPANS``: neighbours become one if there are more."""
    if len(things) <= MOST_SPANS:
        return [(*between(one), text(one)) for one in things]
    apart, kept = seconds / MOST_SPANS, list[Span]()
    ordered = sorted([(*between(one), at) for at, one in enumerate(things)])
    start, end, first = ordered[0]
    count = 0
    for begin, until, at in [*ordered, (math.inf, math.inf, 0)]:
        if begin - end < apart:
            end, count = max(end, until), count + 1
            continue
        kept.append((start, end, text(things[first]) if count == 1 else f"{count:,} together"))
        start, end, first, count = begin, until, at, 1
    return kept


def _row(name: str, place: int, found: Sequence[Span]) -> Series:
    starts, ends, texts = zip(*found, strict=True) if found else ((), (), ())
    return Series(name, starts, [name] * len(found), "spans", place, texts, ends)


def seconds_chart(run: SeenRun) -> Chart:
    """Wall seconds by activity, from the receipt; of an unfinished run, what its events tell of building and timing."""
    if run.receipt is not None:
        spent = {name: seconds for name, seconds in run.receipt.seconds.items() if name != "total" and seconds > 0}
    else:
        trials = list(run.task.trials.values())
        spent = {
            "building": sum(one.seconds_building for one in trials),
            "timing": sum(one.seconds_timing for one in trials),
        }
        spent = {name: seconds for name, seconds in spent.items() if seconds > 0}
    return Chart(
        "seconds",
        "Where the time went",
        "seconds",
        "",
        [Series("seconds", list(spent.values()), list(spent), "bars", 0)] if spent else [],
        empty="no trial has been built or timed yet",
        height=100 + 34 * max(3, len(spent)),
        legend=False,
    )
