"""Course alterations: who took over whose step, what both offered, and what that brought."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from colt.views.report.chart import figures
from colt.views.report.panels.members import Table
from colt.views.report.source import SeenRun
from colt.views.seen import SeenAlteration, SeenNode

HEAD = ("at node", "taken over by", "in place of", "it offered", "against", "faster by", "kept")
MOST_ROWS = 100
"""Rows on a page."""


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A course alteration: the largest member's node, and that of the member whose step it took over."""

    seen: SeenAlteration
    offered: SeenNode | None
    contested: SeenNode | None
    factor: float | None
    """How many times faster the offer is: both measured, or both predicted."""
    measured: bool

    @property
    def won(self) -> bool:
        """Whether the largest member's node was kept."""
        return self.offered is not None and self.offered.id == self.seen.kept


def taken_over(run: SeenRun) -> list[TakenOver]:
    """All course alterations of the run."""
    nodes, found = run.task.nodes, []
    for seen in run.task.alterations:
        kept, pruned = nodes.get(seen.kept), nodes.get(seen.pruned)
        offered, contested = (kept, pruned) if kept is not None and kept.alteration else (pruned, kept)
        found.append(TakenOver(seen, offered, contested, *_factor(run, offered, contested)))
    return found


def _factor(run: SeenRun, offered: SeenNode | None, contested: SeenNode | None) -> tuple[float | None, bool]:
    """How many times faster, and whether that is measured."""
    if offered is None or contested is None:
        return None, False
    before, after = run.task.latency_of(contested), run.task.latency_of(offered)
    measured = bool(before and after)
    if not measured:
        before, after = contested.predicted_us, offered.predicted_us
    return before / after if before and after else None, measured


def alterations_table(run: SeenRun, found: Sequence[TakenOver]) -> Table:
    """A row for each; if a page cannot show all, those that brought most come first."""
    if len(found) > MOST_ROWS:
        found = sorted(found, key=lambda one: -(one.factor or 0.0))
    return Table(HEAD, tuple(_row(run, one) for one in found), figures=False, most=MOST_ROWS)


def _row(run: SeenRun, one: TakenOver) -> tuple[str, ...]:
    by = one.contested.by if one.contested is not None else "?"
    factor = "-" if one.factor is None else f"{one.factor:.2f}x, {'measured' if one.measured else 'predicted'}"
    offers = (_latency(run, one.offered), _latency(run, one.contested), factor)
    return (str(one.seen.node), one.seen.by, by, *offers, f"the step of {one.seen.by if one.won else by}")


def _latency(run: SeenRun, node: SeenNode | None) -> str:
    if node is None:
        return "nothing"
    known = ((run.task.latency_of(node), "measured"), (node.predicted_us, "predicted"))
    return ", ".join(f"{figures(us)} µs {how}" for us, how in known if us is not None) or "not known"


def alterations_note(run: SeenRun, found: Sequence[TakenOver]) -> str:
    """What they brought in all, in a sentence."""
    if not found:
        return "No step was taken over by the largest member."
    won, path = [one for one in found if one.won], set(run.best_path)
    factors = [one.factor for one in won if one.factor is not None]
    faster = f", {statistics.median(factors):.2f}x as fast in the median" if factors else ""
    lasting = sum(one.seen.kept in path for one in won)
    on_path = f"; {lasting:,} of those are on the path to the winner" if path else ""
    taken = f"{len(found):,} steps were" if len(found) > 1 else "One step was"
    kept = f"Its own step was kept in {len(won):,} of {len(found):,}{faster}{on_path}."
    return f"{taken} taken over by the largest member. {kept}"
