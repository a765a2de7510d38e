"""How near the trials came to what the machine can do, and where the time went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from colt.store.receipt import Receipt
from colt.views.report.chart import Chart, Series, figures
from colt.views.report.source import SeenRun
from colt.views.state import SeenTrial


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
        reached = [flops / (one.latency_us or 1.0) / 1e3 for one in trials]
        texts = [
            f"trial {one.id} by {member}: {figures(gflops)} GFLOPS" for one, gflops in zip(trials, reached, strict=True)
        ]
        if trials:
            series.append(Series(member, [intensity] * len(trials), reached, "points", place, texts))
    return series


ASKING, BUILDING, TIMING, WAITING = "asking", "building", "timing", "waiting"


def spans(trial: SeenTrial) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """When a trial waited, was built and was timed: reckoned back from when it came back by how long each took."""
    end = trial.timed_s or trial.asked_s
    timing = max(0.0, end - trial.seconds_timing)
    building = max(0.0, timing - trial.seconds_building)
    return (min(trial.asked_s, building), building), (building, timing), (timing, end)


MOST_SPANS = 400
"""Spans of one row from which neighbours are drawn as one: those with less between them than the eye can see."""


@dataclass(frozen=True)
class Span:
    """A time from ``start`` to ``end``, and what is said about it; ``count`` things happened in it."""

    start: float
    end: float
    text: str
    count: int = 1


def timeline_chart(run: SeenRun) -> Chart:
    """When whom was asked, and when what was built and timed."""
    rows: list[tuple[str, int, list[Span]]] = []
    for place, member in enumerate(run.members):
        calls = [call for call in run.state.calls if call.by == member]
        texts = [f"{call.end_s - call.start_s:.3g} s{f', {call.error}' if call.error else ''}" for call in calls]
        asked = [Span(call.start_s, call.end_s, text) for call, text in zip(calls, texts, strict=True)]
        rows.append((f"{ASKING} {member}", place, asked))
    back = [trial for trial in run.task.trials.values() if trial.timed_s is not None]
    for place, name, part in ((-1, WAITING, 0), (1, BUILDING, 1), (2, TIMING, 2)):
        found = [(spans(trial)[part], trial) for trial in back]
        rows.append(
            (
                name,
                place,
                [Span(*span, f"trial {one.id}: {span[1] - span[0]:.3g} s") for span, one in found if span[1] > span[0]],
            )
        )
    series = [_row(name, place, merged(found, run.state.seconds)) for name, place, found in rows if found]
    return Chart(
        "timeline",
        "When whom was asked, and what was built and timed",
        "seconds",
        "",
        series,
        empty="nobody was asked and nothing was measured",
        height=100 + 30 * max(3, len(series)),
        legend=False,
    )


def merged(found: Sequence[Span], seconds: float) -> list[Span]:
    """At most about ``MOST_SPANS`` spans: neighbours become one if there are more."""
    if len(found) <= MOST_SPANS:
        return list(found)
    apart, kept = seconds / MOST_SPANS, list[Span]()
    for span in sorted(found, key=lambda one: one.start):
        last = kept[-1] if kept else None
        if last is not None and span.start - last.end < apart:
            count = last.count + span.count
            kept[-1] = Span(last.start, max(last.end, span.end), f"{count:,} together", count)
        else:
            kept.append(span)
    return kept


def _row(name: str, place: int, found: Sequence[Span]) -> Series:
    starts, ends, texts = [one.start for one in found], [one.end for one in found], [one.text for one in found]
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
        empty="no time was spent yet",
        height=80 + 34 * max(3, len(spent)),
        legend=False,
    )
