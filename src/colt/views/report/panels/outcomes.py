"""What became of trials and of expansions."""

from __future__ import annotations

from collections import Counter

from colt.measure.base import Fate
from colt.views.report.chart import Chart, Series
from colt.views.report.panels.members import Table
from colt.views.report.source import SeenRun

MEANING = {
    Fate.DROPPED.value: "Dropped trials ran, but far slower than the best: they were not timed thoroughly.",
    Fate.SKIPPED.value: "Skipped trials were not built: their code is too large to be built in time.",
    Fate.WRONG.value: "Wrong trials ran, but computed something else than the untuned program.",
}
MOST_REASONS = 40
"""Rows of reasons on a page."""


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
        height=100 + 36 * max(3, len(names)),
        legend=False,
    )


def fates_notes(run: SeenRun) -> list[str]:
    """What those fates mean that do not say it."""
    seen = {trial.fate for trial in run.task.trials.values()}
    return [note for fate, note in MEANING.items() if fate in seen]


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
    rows = [(what, reason, f"{count:,}") for (what, reason), count in found.most_common()]
    return Table(("what", "reason", "times"), tuple(rows), figures=False, most=MOST_REASONS)
