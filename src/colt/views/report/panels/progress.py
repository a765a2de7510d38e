"""How the best latency fell with trials, seconds and dollars."""

from __future__ import annotations

from collections.abc import Callable

from colt.views.report.chart import Chart, Series, Told, figures
from colt.views.report.source import SeenRun
from colt.views.seen import Improvement, SeenTrial

Measure = Callable[[Improvement], float]


def progress_charts(run: SeenRun) -> list[Chart]:
    """Best so far: over trials with all trials as points, over seconds, and over dollars if models were paid."""
    shown: list[tuple[str, str, Measure, float]] = [
        ("trials", "trials", lambda one: one.number, float(run.task.told)),
        ("seconds", "seconds", lambda one: one.at_s, run.state.seconds),
    ]
    if run.state.usd:
        shown.append(("dollars", "US dollars spent on calls", lambda one: one.usd, run.state.usd))
    charts = []
    for name, title, measure, end in shown:
        points = trial_points(run) if name == "trials" else []
        best = best_so_far(run, measure, end)
        charts.append(
            Chart(
                f"best-{name}",
                f"Best so far against {name}",
                title,
                "latency in µs",
                [*points, *([best] if best.x else [])],
                log_y=True,
                empty="no trial has a latency",
                legend=name == "trials",
            )
        )
    return charts


def winner_notes(run: SeenRun) -> list[str]:
    """Why the winner need not be the fastest trial, in a finished run that has one."""
    best = run.receipt.best if run.receipt is not None else None
    trial = run.task.trials.get(best.trial) if best is not None else None
    if best is None or trial is None or not trial.latency_us:
        return []
    return [
        f"The winner is trial {trial.id}, {figures(trial.latency_us)} µs here. At the end the fastest are verified, "
        f"and the best of them is timed in turn with the untuned program: {figures(best.latency_us)} µs."
    ]


def best_so_far(run: SeenRun, measure: Measure, end: float, name: str = "best so far", place: int = -1) -> Series:
    """The steps of the best latency, up to where the run is now."""
    improvements = run.task.improvements
    x: list[float] = [measure(one) for one in improvements]
    y: list[float] = [one.latency_us for one in improvements]
    if x:
        x, y = [*x, max(end, x[-1])], [*y, y[-1]]
    return Series(name, x, y, "steps", place)


def trial_points(run: SeenRun) -> list[Series]:
    """All trials with a latency, a series for each member."""
    back, series = run.task.back, []
    for place, member in enumerate(run.members):
        found = [one for one in back if one.by == member and one.latency_us]
        if found:
            numbers, latencies = [one.number for one in found], [one.latency_us for one in found]
            series.append(Series(member, numbers, latencies, "points", place, Told(found, _text)))
    return series


def _text(one: SeenTrial) -> str:
    """What hovering over a trial says."""
    measured, predicted = figures(one.latency_us or 0), figures(one.predicted_us)
    return f"trial {one.id} by {one.by}: {measured} µs, predicted {predicted} µs, {one.fate}"
