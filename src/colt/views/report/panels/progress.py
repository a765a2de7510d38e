"""How the best latency fell with trials, seconds and dollars."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from colt.views.report.chart import Chart, Series, figures
from colt.views.report.source import SeenRun
from colt.views.seen import Improvement, SeenTrial

Measure = Callable[[Improvement], float]


def progress_charts(run: SeenRun) -> list[Chart]:
    """Best so far: over trials with all trials as points, over seconds, and over dollars if models were paid."""
    shown: list[tuple[str, str, Measure, float]] = [
        ("trials", "trials", lambda one: one.told, float(run.task.told)),
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
    members = run.members
    back = [trial for trial in run.task.trials.values() if trial.timed_s is not None]
    series = []
    for place, member in enumerate(members):
        found = [(number, one) for number, one in enumerate(back, 1) if one.by == member and one.latency_us]
        if found:
            series.append(
                Series(
                    member,
                    [number for number, _ in found],
                    [one.latency_us for _, one in found],
                    "points",
                    place,
                    texts_of(run, [one for _, one in found]),
                )
            )
    return series


def texts_of(run: SeenRun, trials: Sequence[SeenTrial]) -> list[str]:
    """What hovering over a trial says."""
    return [
        f"trial {one.id} by {one.by}: {figures(one.latency_us or 0)} µs, "
        f"predicted {figures(one.predicted_us)} µs, {one.fate}"
        for one in trials
    ]
