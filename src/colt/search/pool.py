"""The pool as the search sees it: sizes, records, and whom to ask when an answer names nobody."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from colt.search.types import MemberSpec


@dataclass(slots=True)
class MemberRecord:
    """What one member has done. Measured figures are derived anew from all results, the others count up."""

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
    structures: int = 0
    """Structures that it brought into the tree."""
    improvements: int = 0
    """How often a trial of its own became the fastest of the run."""
    improvements_below: int = 0
    """How often a trial of somebody else did, in a structure that it brought."""
    passed: int = 0
    """Turns that went to another member: this one was benched, or the node was no work for it."""

    @property
    def scored_calls(self) -> int:
        """Children with a measured verdict, evens left out."""
        return self.measured_hits + self.measured_regressions

    @property
    def measured_hit_rate(self) -> float:
        """Share of hits among measured verdicts; 0 without any."""
        return self.measured_hits / self.scored_calls if self.scored_calls else 0.0


class Pool:
    """The members of one search in the order given; ``largest`` is the biggest (ties: the first listed).

    Raises :class:`ValueError` if there is no member, or if two have the same name.
    """

    def __init__(self, members: Sequence[MemberSpec]) -> None:
        if not members:
            raise ValueError("a pool needs at least one member")
        if len({member.name for member in members}) != len(members):
            raise ValueError("two members of the pool have the same name")
        self.specs = {member.name: member for member in members}
        self.records = {member.name: MemberRecord(member) for member in members}
        self.largest = max(members, key=lambda member: member.size_b).name
        self.phi = small_member_bonus(members)

    def fallback(self, acting: str, benched: Collection[str] = ()) -> str:
        """Who is asked next when ``acting`` named nobody valid or is benched: the best measured hit rate.

        Ties: more scored calls, then the smaller. While nothing is scored: ``acting`` itself, or the smallest if
        ``acting`` is benched. Raises :class:`ValueError` if all members are benched.
        """
        there = [record for name, record in self.records.items() if name not in benched]
        scored = [record for record in there if record.scored_calls]
        if scored:
            best = max(scored, key=lambda r: (r.measured_hit_rate, r.scored_calls, -r.spec.size_b))
            return best.spec.name
        return acting if acting not in benched else min(there, key=lambda r: r.spec.size_b).spec.name


def small_member_bonus(members: Sequence[MemberSpec]) -> dict[str, float]:
    """φ of each member: ``(ln S_max - ln S) / (ln S_max - ln S_min)``, 1 for the smallest and 0 for the largest.

    0 for all if the sizes are equal or there is only one member (paper, equation of the LLM-aware tree policy).
    """
    logs = {member.name: math.log(member.size_b) for member in members}
    low, high = min(logs.values()), max(logs.values())
    if high == low:
        return dict.fromkeys(logs, 0.0)
    return {name: (high - size) / (high - low) for name, size in logs.items()}
