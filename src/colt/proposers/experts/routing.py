"""Chooses the next member: the smallest one that is likely to score a hit."""

from __future__ import annotations

import random

from colt.search.types import MemberView, Observation

CLOSE = 0.8
"""A smaller member is preferred if its hit rate is at least this share of the best member's."""
EXPLORE = 0.1
"""How often a member is drawn at random instead, to keep every record fresh."""


def next_member(observation: Observation, rng: random.Random) -> str:
    """The name of the member to ask next, chosen by the records so far."""
    members = observation.members
    if rng.random() < EXPLORE:
        return rng.choice(members).spec.name
    best = max(hit_rate(member) for member in members)
    likely = [member for member in members if hit_rate(member) >= CLOSE * best]
    return min(likely, key=lambda member: member.spec.size_b).spec.name


def hit_rate(member: MemberView) -> float:
    """Hits as a share of hits and regressions, with one of each added; a prediction weighs half a measurement."""
    hits = member.measured_hits + 0.5 * member.predicted_hits
    verdicts = hits + member.measured_regressions + 0.5 * member.predicted_regressions
    return (hits + 1.0) / (verdicts + 2.0)
