"""The pool as the search sees it: sizes, records, and whom to ask when an answer names nobody."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from colt.search.types import MemberSpec, MemberView


@dataclass(slots=True)
class MemberRecord:
    """What one model has done. Measured figures are derived anew from all results, the others count up."""

    spec: MemberSpec
    calls: int = 0
    errors: int = 0
    fallbacks: int = 0
    predicted_hits: int = 0
    predicted_regressions: int = 0
    measured_hits: int = 0
    measured_regressions: int = 0
    alterations: int = 0
    alterations_kept: int = 0
    passed: int = 0
    """Turns that went to another model, since this one could not be asked."""

    @property
    def scored_calls(self) -> int:
        """Children with a measured verdict, evens left out."""
        return self.measured_hits + self.measured_regressions

    @property
    def measured_hit_rate(self) -> float:
        """Share of hits among measured verdicts; 0 without any."""
        return self.measured_hits / self.scored_calls if self.scored_calls else 0.0

    def view(self) -> MemberView:
        """The part that is shown to proposers."""
        return MemberView(
            self.spec,
            self.calls,
            self.errors,
            self.predicted_hits,
            self.predicted_regressions,
            self.measured_hits,
            self.measured_regressions,
            self.alterations,
        )


class Pool:
    """The models of one run in the order given; ``largest`` is the biggest (ties: the first listed)."""

    def __init__(self, models: Sequence[MemberSpec]) -> None:
        if not models:
            raise ValueError("a pool needs at least one model")
        if len({model.name for model in models}) != len(models):
            raise ValueError("two models of the pool have the same name")
        self.specs = {model.name: model for model in models}
        self.records = {model.name: MemberRecord(model) for model in models}
        self.largest = max(models, key=lambda model: model.size_b).name
        self.phi = small_model_bonus(models)

    def is_small(self, name: str) -> bool:
        """Whether that model's regressions may lead to a course alteration."""
        return name != self.largest

    def fallback(self, acting: str, out: Collection[str] = ()) -> str:
        """Who is asked next when ``acting`` named nobody valid, or is ``out``: the best measured hit rate in the pool.

        Ties: more scored calls, then the smaller; while nothing is scored, ``acting`` itself, or else the smallest.
        """
        there = [record for name, record in self.records.items() if name not in out]
        scored = [record for record in there if record.scored_calls]
        if scored:
            best = max(scored, key=lambda r: (r.measured_hit_rate, r.scored_calls, -r.spec.size_b))
            return best.spec.name
        return acting if acting not in out else min(there, key=lambda r: r.spec.size_b).spec.name


def small_model_bonus(models: Sequence[MemberSpec]) -> dict[str, float]:
    """φ of each model: ``(ln S_max - ln S) / (ln S_max - ln S_min)``, 1 for the smallest and 0 for the largest.

    0 for all if the sizes are equal or there is one model only (paper, equation of the LLM-aware tree policy).
    """
    logs = {model.name: math.log(model.size_b) for model in models}
    low, high = min(logs.values()), max(logs.values())
    if high == low:
        return dict.fromkeys(logs, 0.0)
    return {name: (high - size) / (high - low) for name, size in logs.items()}
