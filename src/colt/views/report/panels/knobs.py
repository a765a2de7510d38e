"""The knobs of a sketch against latency, and what the knobs are called.

A journal's schedules hold values without names. The receipt names the winner's; the edits of the tree name the others:
an edit says which knob took a value, and the schedules before and after say at which place.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from colt.knobs import Edit, Schedule, Value, show_value
from colt.views.report.chart import Dimension, Parallel, figures
from colt.views.report.source import SeenRun
from colt.views.state import TaskState

MOST_SKETCHES = 3
"""Sketches that get a chart: those with the most trials."""
MOST_LINES = 1000
"""Lines of one chart: those of the fastest trials."""
MOST_TICKS = 12

SketchKey = tuple[str, str]


def knob_names(run: SeenRun) -> dict[SketchKey, list[str]]:
    """The names of each sketch's knobs in their order; ``knob 3`` where nothing tells."""
    votes: dict[tuple[SketchKey, int], Counter[str]] = defaultdict(Counter)
    sizes: dict[SketchKey, int] = {}
    for node in run.task.nodes.values():
        if node.schedule is None:
            continue
        key = (node.schedule.variant, node.schedule.sketch)
        sizes[key] = len(node.schedule.values)
        for place, name in _told(run.task, node.parent, node.schedule, node.transformation):
            votes[key, place][name] += 1
    names = {key: [_winner(votes[key, place], place) for place in range(size)] for key, size in sizes.items()}
    best = run.receipt.best if run.receipt is not None else None
    if best is not None:
        variant, _, sketch = best.sketch.partition("/")
        if len(best.values) == sizes.get((variant, sketch)):
            names[variant, sketch] = list(best.values)
    return names


def _winner(votes: Counter[str], place: int) -> str:
    return votes.most_common(1)[0][0] if votes else f"knob {place + 1}"


def _told(task: TaskState, parent: int, schedule: Schedule, steps: Sequence[Any]) -> list[tuple[int, str]]:
    """The places of the knobs that the edits name: where the new value stands, and another stood before."""
    before = task.nodes[parent].schedule if parent in task.nodes else None
    if before is None or (before.variant, before.sketch) != (schedule.variant, schedule.sketch):
        return []
    changed = [at for at, pair in enumerate(zip(before.values, schedule.values, strict=False)) if pair[0] != pair[1]]
    found = []
    for step in steps:
        places = [at for at in changed if isinstance(step, Edit) and schedule.values[at] == step.value]
        if len(places) == 1:
            found.append((places[0], step.knob))
    return found


def knob_charts(run: SeenRun) -> list[Parallel]:
    """A chart for each of the sketches with the most measured trials."""
    names = knob_names(run)
    by_sketch: dict[SketchKey, list[tuple[float, Schedule]]] = defaultdict(list)
    for trial in run.task.trials.values():
        node = run.task.nodes.get(trial.node)
        if node is not None and node.schedule is not None and trial.latency_us:
            by_sketch[node.schedule.variant, node.schedule.sketch].append((trial.latency_us, node.schedule))
    most = sorted(by_sketch, key=lambda key: -len(by_sketch[key]))[:MOST_SKETCHES]
    charts = [_chart(key, names[key], by_sketch[key], number) for number, key in enumerate(most, 1)]
    kept = [chart for chart in charts if not chart.is_empty]
    return kept or [Parallel("knobs-1", "Knobs against latency", [], [], empty="no sketch has two measured trials")]


def _chart(key: SketchKey, names: list[str], timed: list[tuple[float, Schedule]], number: int) -> Parallel:
    shown = sorted(timed, key=lambda one: one[0])[:MOST_LINES]
    left = f", the fastest {MOST_LINES:,} of {len(timed):,}" if len(timed) > len(shown) else f", {len(shown):,} trials"
    latencies = [latency for latency, _ in shown]
    rows = [[show_value(value) for value in schedule.values[: len(names)]] for _, schedule in shown]
    dimensions = [
        _dimension(name, [schedule.values[at] for _, schedule in shown])
        for at, name in enumerate(names)
        if all(len(schedule.values) > at for _, schedule in shown)
    ]
    low, high = math.log10(min(latencies)), math.log10(max(latencies))
    ticks = [(at, figures(10**at)) for at in (low + (high - low) * step / 4 for step in range(5 if high > low else 1))]
    dimensions.append(Dimension("latency, µs", [math.log10(latency) for latency in latencies], ticks))
    return Parallel(f"knobs-{number}", f"{key[0]}/{key[1]}{left}", dimensions, latencies, rows)


def _dimension(name: str, values: Sequence[Value]) -> Dimension:
    distinct = sorted(set(values), key=lambda value: (str(type(value)), value))
    place = {value: float(at) for at, value in enumerate(distinct)}
    ticks = [(place[value], show_value(value)) for value in _spread(distinct)]
    return Dimension(name, [place[value] for value in values], ticks)


def _spread(values: Sequence[Any]) -> list[Any]:
    """At most so many of the values that their words have room, the first and the last among them."""
    if len(values) <= MOST_TICKS:
        return list(values)
    step = (len(values) - 1) / (MOST_TICKS - 1)
    return [values[round(at * step)] for at in range(MOST_TICKS)]
