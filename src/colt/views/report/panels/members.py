"""Who found what: each member's calls, hits, errors, cost, share of the path to the winner, and of its structures.

A trial that becomes the fastest of the run is to the credit of whoever proposed it (*led*), and of whoever brought its
structure into the tree (*led below*): models find structures, experts tune them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from colt.store.receipt import ProposerPart
from colt.views.report.chart import Chart, Series, Told, figures
from colt.views.report.source import SeenRun
from colt.views.seen import ROOT, SeenMember, SeenTrial

HEAD = (
    *("member", "calls", "taken over", "nodes", "trials", "hits", "regressions", "errors"),
    *("structures", "led", "led below", "tokens", "$", "$ per lead", "seconds", "path"),
)


@dataclass(frozen=True)
class Table:
    """A table in words; figures are set to the right."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    figures: bool = True
    """Whether columns hold figures: all but those that are ``left``."""
    left: tuple[int, ...] = (0,)
    """Places of columns with words."""
    most: int = 200
    """Rows that a page shows; of more it says how many there are."""


def members_table(run: SeenRun) -> Table:
    """A row for each member of the pool, and for whatever else proposed."""
    path = Counter(run.task.nodes[node].by for node in run.best_path if node != ROOT)
    steps = max(1, sum(path.values()))
    rows = [_row(name, counted_of(run, name), f"{path[name] / steps:.0%}" if path else "-") for name in run.members]
    return Table(HEAD, tuple(rows))


def counted_of(run: SeenRun, name: str) -> SeenMember:
    """What a member did. Of a finished run the receipt has counted: from events alone, a turn of an expert cannot
    always be told from what it proposed in the time of language models."""
    did = run.state.members.get(name, SeenMember())
    if run.receipt is None:
        return did
    part = run.receipt.proposers.get(name, ProposerPart())
    return replace(did, calls=part.calls, alterations=part.alterations, trials=part.trials, errors=part.errors)


def _row(name: str, did: SeenMember, share: str) -> tuple[str, ...]:
    leads = did.led + did.led_below
    per_lead = f"{did.usd / leads:.4f}" if leads else "-"
    paid = (f"{did.tokens:,}", f"{did.usd:.4f}", per_lead) if did.requests else ("-", "-", "-")
    counts = (did.calls, did.alterations, did.nodes, did.trials, did.hits, did.regressions, did.errors)
    credit = (did.structures, did.led, did.led_below)
    return (name, *(f"{count:,}" for count in (*counts, *credit)), *paid, f"{did.seconds:.1f}", share)


def members_chart(run: SeenRun) -> Chart:
    """The measured latencies of each member's trials."""
    series = []
    for place, member in enumerate(run.members):
        trials = [one for one in run.task.trials.values() if one.by == member and one.latency_us]
        if trials:
            latencies, texts = [one.latency_us for one in trials], Told(trials, _text)
            series.append(Series(member, latencies, [member] * len(trials), "points", place, texts))
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


def _text(one: SeenTrial) -> str:
    """What hovering over a trial says."""
    return f"trial {one.id}: {figures(one.latency_us or 0)} µs"
