"""The knobs of a sketch against latency, and what the knobs are called.

A journal names the knobs of each sketch before its first schedule. Those of earlier versions did not. There the receipt
names the winner's, and the edits of the tree name the others: an edit says which knob took a value, and the schedules
before and after say at which place.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from colt.knobs import Edit, Schedule, Value, show_value
from colt.views.report.chart import MOST_LINES, Dimension, Parallel, figures
from colt.views.report.source import SeenRun

MOST_SKETCHES = 3
"""Sketches that get a chart: those with the most trials."""
MOST_TICKS = 12
ENOUGH = 50
"""Edits of a knob that are looked at to find its place; trees have very many."""

SketchKey = tuple[str, str]


def knob_names(run: SeenRun) -> dict[SketchKey, list[str]]:
    """The names of each sketch's knobs in their order; ``knob 3`` where nothing tells."""
    nodes = run.task.nodes
    votes: dict[SketchKey, dict[str, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    sizes: dict[SketchKey, int] = {}
    for node in nodes.values():
        if node.schedule is None:
            continue
        key = (node.schedule.variant, node.schedule.sketch)
        sizes[key] = len(node.schedule.values)
        before = nodes[node.parent].schedule if node.parent in nodes else None
        if before is None or (before.variant, before.sketch) != key:
            continue
        told = votes[key]
        edits = [one for one in node.transformation if isinstance(one, Edit) and told[one.knob].total() < ENOUGH]
        places = _places(before, node.schedule) if edits else {}
        for edit in edits:
            if len(found := places.get(edit.value, ())) == 1:
                told[edit.knob].update(found)
    names = {key: _named(votes[key], size) for key, size in sizes.items()}
    best = run.receipt.best if run.receipt is not None else None
    if best is not None:
        variant, _, sketch = best.sketch.partition("/")
        if len(best.values) == sizes.get((variant, sketch)):
            names[variant, sketch] = list(best.values)
    return names | {key: list(knobs) for key, knobs in run.task.knobs.items() if len(knobs) == sizes.get(key)}


def _places(before: Schedule, after: Schedule) -> dict[Value | None, list[int]]:
    """The places where each value stands, and another stood before. If it is only one, it is that of an edit's knob."""
    found: dict[Value | None, list[int]] = defaultdict(list)
    for at, (old, new) in enumerate(zip(before.values, after.values, strict=False)):
        if old != new:
            found[new].append(at)
    return found


def _named(told: Mapping[str, Counter[int]], size: int) -> list[str]:
    """For each place the name with the most votes."""
    votes = [Counter[str]() for _ in range(size)]
    for name, places in told.items():
        for at, count in places.items():
            if at < size:
                votes[at][name] = count
    return [one.most_common(1)[0][0] if one else f"knob {at}" for at, one in enumerate(votes, 1)]


def knob_charts(run: SeenRun, names: Mapping[SketchKey, list[str]]) -> list[Parallel]:
    """A chart for each of the sketches with the most measured trials; ``names`` are those of :func:`knob_names`."""
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
    shown = sorted(timed, key=lambda one: one[0])
    left = f", {len(shown):,} trials"
    if len(shown) > MOST_LINES:
        left += f"; {MOST_LINES:,} are drawn: the fastest {MOST_LINES // 2:,}, and slower ones evenly"
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
