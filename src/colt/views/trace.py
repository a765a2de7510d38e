"""A run's timeline in Chrome's trace form, which Perfetto and ``chrome://tracing`` open.

Who was asked, and what waited, was built and was timed: a process each, with as many lanes as things happened at a
time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from colt.util.text import shown
from colt.views.report.panels.machine import ASKING, BUILDING, TIMING, WAITING, spans
from colt.views.report.source import SeenRun

PARTS = (WAITING, BUILDING, TIMING)

Happening = tuple[float, float, str, dict[str, Any]]
"""Start and end in seconds, a name, and details."""


def trace_json(runs: Sequence[SeenRun]) -> bytes:
    """The whole file."""
    return msgspec.json.encode({"traceEvents": list(trace_events(runs)), "displayTimeUnit": "ms"})


def trace_events(runs: Sequence[SeenRun]) -> Iterator[dict[str, Any]]:
    """All events; times are in microseconds."""
    process = 0
    for run in runs:
        for name, happened in _rows(run):
            process += 1
            yield {"ph": "M", "pid": process, "name": "process_name", "args": {"name": shown(f"{run.label}: {name}")}}
            yield {"ph": "M", "pid": process, "name": "process_sort_index", "args": {"sort_index": process}}
            yield from _events(process, happened)
        process += 1
        yield {"ph": "M", "pid": process, "name": "process_name", "args": {"name": shown(f"{run.label}: best so far")}}
        for one in run.task.improvements:
            yield {
                "ph": "C",
                "pid": process,
                "tid": 0,
                "ts": one.at_s * 1e6,
                "name": "µs",
                "args": {"µs": one.latency_us},
            }


def _rows(run: SeenRun) -> Iterator[tuple[str, list[Happening]]]:
    ends = [at_s for at_s, _ in run.state.phases[1:]] + [run.state.seconds]
    yield "phases", [(at_s, end, phase, {}) for (at_s, phase), end in zip(run.state.phases, ends, strict=False)]
    for member in run.members:
        calls = [call for call in run.state.calls if call.by == member]
        if calls:
            yield (
                f"{ASKING} {member}",
                [
                    (one.start_s, one.end_s, one.error or member, {"ticket": one.ticket, "usd": one.usd})
                    for one in calls
                ],
            )
    back = run.task.back
    for part, name in enumerate(PARTS):
        yield (
            name,
            [
                (*spans(one)[part], f"trial {one.id}", {"by": one.by, "fate": one.fate, "latency_us": one.latency_us})
                for one in back
            ],
        )


def _events(process: int, happened: Iterable[Happening]) -> Iterator[dict[str, Any]]:
    """Things that overlap go into different lanes: in one, only what lies inside another may."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    for start, end, name, details in sorted(happened, key=lambda one: (one[0], one[1])):
        while busy and busy[0][0] <= start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy) + len(free)
        heapq.heappush(busy, (end, lane))
        duration = max(0.0, end - start) * 1e6
        yield {
            "ph": "X",
            "pid": process,
            "tid": lane,
            "ts": start * 1e6,
            "dur": duration,
            "name": shown(name),
            "args": details,
        }
