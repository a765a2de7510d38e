"""Who found what: each member's calls, hits, errors, cost and share of the path to the winner."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from colt.views.report.chart import Chart, Series, figures
from colt.views.report.source import SeenRun
from colt.views.seen import ROOT, SeenMember


@dataclass(frozen=True)
class Table:
    """A table in words; figures are set to the right."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    figures: bool = True
    """Whether all columns but the first hold figures."""
    most: int = 200
    """Rows that a page shows; of more it says how many there are."""


def members_table(run: SeenRun) -> Table:
    """A row for each member of the pool, and for whatever else proposed."""
    path = Counter(run.task.nodes[node].by for node in run.best_path if node != ROOT)
    steps = max(1, sum(path.values()))
    head = ("member", "calls", "nodes", "trials", "hits", "regressions", "errors", "tokens", "$", "seconds", "path")
    rows = [
        _row(name, run.state.members.get(name, SeenMember()), f"{path[name] / steps:.0%}" if path else "-")
        for name in run.members
    ]
    return Table(head, tuple(rows))


def _row(name: str, did: SeenMember, share: str) -> tuple[str, ...]:
    paid = (f"{did.tokens:,}", f"{did.usd:.4f}") if did.requests else ("-", "-")
    counts = (did.calls, did.nodes, did.trials, did.hits, did.regressions, did.errors)
    return (name, *(f"{count:,}" for count in counts), *paid, f"{did.seconds:.1f}", share)


def members_chart(run: SeenRun) -> Chart:
    """The measured latencies of each member's trials."""
    series = []
    for place, member in enumerate(run.members):
        trials = [one for one in run.task.trials.values() if one.by == member and one.latency_us]
        if trials:
            texts = [f"trial {one.id}: {figures(one.latency_us or 0)} µs" for one in trials]
            series.append(
                Series(member, [one.latency_us for one in trials], [member] * len(trials), "points", place, texts)
            )
    return Chart(
        "members",
        "What each member's trials took",
        "latency in µs",
        "",
        series,
        log_x=True,
        empty="no trial has a latency",
        height=100 + 40 * max(3, len(series)),
        legend=False,
    )
