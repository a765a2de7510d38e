"""Runs side by side: what each came to, whether they may be compared at all, and how fast each got there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from colt.store.receipt import Receipt
from colt.util.grid import Grid
from colt.util.text import shown
from colt.views.report.chart import Chart, Series, figures
from colt.views.report.content import Panel
from colt.views.report.panels.members import Table
from colt.views.report.panels.progress import best_so_far
from colt.views.report.source import SeenRun

NEAR = 1.05
"""The best counts as nearly reached from this many times the final one on."""
HEAD = (
    "run",
    "program",
    "best",
    "95 %",
    "speed-up",
    "verdict",
    "roofline",
    "trials",
    "to 5 %",
    "$",
    "seconds",
    "stopped",
)

ASPECTS: tuple[tuple[str, Callable[[Receipt], Any]], ...] = (
    ("programs", lambda receipt: (receipt.workload.name, receipt.workload.size, receipt.workload.arguments)),
    ("machines", lambda receipt: (receipt.hardware.cpu, receipt.hardware.cores, receipt.hardware.board)),
    ("threads", lambda receipt: receipt.threads),
    ("targets", lambda receipt: receipt.target),
    ("ways to compute transcendental functions", lambda receipt: receipt.math and receipt.math.exact),
    ("TVM versions", lambda receipt: receipt.versions.get("apache-tvm")),
)
"""What has to be the same for latencies to be compared."""


def unlike(runs: Sequence[SeenRun]) -> list[str]:
    """Why the latencies of these runs may not be compared, in words; empty if they may."""
    found = []
    receipts = [run.receipt for run in runs if run.receipt is not None]
    for name, aspect in ASPECTS:
        values = [msgspec.json.encode(aspect(one)) for one in receipts]
        if len(set(values)) > 1:
            found.append(f"the {name} differ")
    unfinished = [run for run in runs if run.receipt is None]
    if unfinished and len({run.program for run in runs}) > 1 and "the programs differ" not in found:
        found.append("the programs differ")
    return found


def unfinished(runs: Sequence[SeenRun]) -> list[str]:
    """Runs of which machine and versions are not known, in words."""
    return [
        f"{run.label} is not finished: its machine is not known, and its best is not verified"
        for run in runs
        if run.receipt is None
    ]


def comparison(runs: Sequence[SeenRun]) -> Table:
    """A row for each run."""
    return Table(HEAD, tuple(_row(run) for run in runs), left=(0, 1, 5, 11))


def _row(run: SeenRun) -> tuple[str, ...]:
    receipt, task = run.receipt, run.task
    best, interval, speedup, verdict, share, stopped = "-", "-", "-", "not finished", "-", run.state.phase
    if receipt is None and task.best_us is not None:
        best = f"{figures(task.best_us)} µs"
    if receipt is not None:
        verdict, stopped = str(receipt.verdict or "-"), receipt.stop_reason
    if receipt is not None and receipt.best is not None:
        best, speedup = f"{figures(receipt.best.latency_us)} µs", f"{figures(receipt.speedup)}x"
        if receipt.best.interval_us is not None:
            interval = " to ".join(figures(end) for end in receipt.best.interval_us)
        if receipt.best.roofline_share is not None:
            share = f"{receipt.best.roofline_share:.0%}"
    near = trials_until_near(run)
    seconds = receipt.seconds.get("total", run.state.seconds) if receipt is not None else run.state.seconds
    spent = (f"{task.told:,}", "-" if near is None else f"{near:,}", f"{run.state.usd:.4f}", f"{seconds:,.1f}")
    return (run.label, run.program, best, interval, speedup, verdict, share, *spent, stopped)


def trials_until_near(run: SeenRun) -> int | None:
    """After how many trials the best was within 5 % of the best at the end; ``None`` without any."""
    final = run.task.best_us
    return next((one.number for one in run.task.improvements if final and one.latency_us <= NEAR * final), None)


def terminal_table(table: Table, notes: Sequence[str]) -> Grid:
    """The table for a terminal, with what speaks against comparing below it."""
    rows = [[shown(cell) for cell in row] for row in table.rows]
    return Grid(table.head, rows, left=table.left, note=shown("\n".join(notes), lines=True))


def overlay(runs: Sequence[SeenRun]) -> Panel:
    """All runs in the same charts. Unlike ones as speed-ups over their own untuned programs, and that is said."""
    against = unlike(runs)
    charts = []
    if any(run.task.improvements for run in runs):
        charts.append(
            _chart("trials", runs, lambda run: best_so_far(run, lambda one: one.number, run.task.told), against)
        )
        charts.append(
            _chart("seconds", runs, lambda run: best_so_far(run, lambda one: one.at_s, run.state.seconds), against)
        )
    if any(run.state.usd for run in runs):
        charts.append(
            _chart("dollars", runs, lambda run: best_so_far(run, lambda one: one.usd, run.state.usd), against)
        )
    return Panel("compare", "Best so far", charts, [comparison(runs)], notes_of(runs), columns=2, text_first=True)


def notes_of(runs: Sequence[SeenRun]) -> list[str]:
    """What a reader has to know before comparing."""
    against = unlike(runs)
    notes = [f"Latencies are not compared: {', '.join(against)}."] if against else []
    notes += [f"{one}." for one in unfinished(runs)]
    return notes + list(dict.fromkeys(f"{run.folder}: {problem}." for run in runs for problem in run.problems))


def _chart(name: str, runs: Sequence[SeenRun], series_of: Callable[[SeenRun], Series], against: list[str]) -> Chart:
    series = []
    for place, run in enumerate(runs):
        one = replace(series_of(run), name=run.label, place=place, dashed=place >= 8)
        untuned = run.task.baseline_us
        if against and untuned:
            one = replace(one, y=[untuned / float(value) for value in one.y if value])
        if one.x and (untuned or not against):
            series.append(one)
    y_title = "speed-up over untuned" if against else "latency in µs"
    return Chart(f"over-{name}", f"Against {name}", name, y_title, series, log_y=True, empty="no trial has a latency")
