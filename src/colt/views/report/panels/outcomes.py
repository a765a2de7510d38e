"""What became of trials, of expansions and of course alterations."""

from __future__ import annotations

from collections import Counter

from colt.measure.base import Fate
from colt.views.report.chart import Chart, Series, figures
from colt.views.report.panels.members import Table
from colt.views.report.source import SeenRun
from colt.views.state import SeenAlteration, SeenNode

MOST_REASONS = 40
"""Rows of reasons; further ones are counted."""


def fates_chart(run: SeenRun) -> Chart:
    """How many trials had each fate."""
    counts = Counter(trial.fate for trial in run.task.trials.values() if trial.fate)
    known = [fate.value for fate in Fate if counts[fate.value]]
    names = known + sorted(set(counts) - set(known))
    return Chart(
        "fates",
        "Trials by fate",
        "trials",
        "",
        [Series("trials", [counts[name] for name in names], names, "bars", 0)] if names else [],
        empty="there were no trials",
        height=80 + 36 * max(3, len(names)),
        legend=False,
    )


def reasons_table(run: SeenRun) -> Table:
    """Why trials failed, expansions gave no child, and answers were replaced, with how often."""
    found: Counter[tuple[str, str]] = Counter()
    for trial in run.task.trials.values():
        if trial.fate and trial.latency_us is None:
            found[f"trial: {trial.fate}", trial.message] += 1
    for reason, count in run.task.failures.items():
        found["expansion: no child", reason] += count
    for (member, what, reason), count in run.state.fallbacks.items():
        found[f"replaced: {what} of {member}", reason] += count
    most = found.most_common(MOST_REASONS)
    rows = [(what, reason, f"{count:,}") for (what, reason), count in most]
    if len(found) > MOST_REASONS:
        rows.append(
            ("others", f"{len(found) - MOST_REASONS:,} further reasons", f"{found.total() - sum(n for _, n in most):,}")
        )
    return Table(("what", "reason", "times"), tuple(rows), figures=False)


def alterations_table(run: SeenRun) -> Table:
    """Course alterations, and what each brought."""
    rows = [_alteration(run, one) for one in run.task.alterations]
    return Table(
        ("at node", "taken over by", "in place of", "it offered", "against", "kept"), tuple(rows), figures=False
    )


def _alteration(run: SeenRun, one: SeenAlteration) -> tuple[str, ...]:
    nodes = run.task.nodes
    kept, pruned = nodes.get(one.kept), nodes.get(one.pruned)
    offered, contested = (kept, pruned) if kept is not None and kept.alteration else (pruned, kept)
    won = offered is not None and offered is kept
    by = contested.by if contested is not None else "?"
    verdict = f"the step of {one.by}" if won else f"the step of {by}"
    return (str(one.node), one.by, by, _latency(run, offered), _latency(run, contested), verdict)


def _latency(run: SeenRun, node: SeenNode | None) -> str:
    if node is None:
        return "nothing"
    measured = run.task.latency_of(node)
    if measured is not None:
        return f"{figures(measured)} µs, measured"
    return "not known" if node.predicted_us is None else f"{figures(node.predicted_us)} µs, predicted"
