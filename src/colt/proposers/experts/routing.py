"""Whom to ask next: the smallest model that is likely to give a hit."""

from __future__ import annotations

import random

from colt.search.types import MemberView, Observation

CLOSE = 0.8
"""A smaller model is preferred while its hit rate is at least this share of the best one's."""
EXPLORE = 0.1
"""How often a model is drawn at random instead, so that every record stays fresh."""


def next_member(observation: Observation, rng: random.Random) -> str:
    """A member of the pool, by the records so far."""
    members = observation.members
    if rng.random() < EXPLORE:
        return rng.choice(members).spec.name
    best = max(hit_rate(member) for member in members)
    likely = [member for member in members if hit_rate(member) >= CLOSE * best]
    return min(likely, key=lambda member: member.spec.size_b).spec.name


def hit_rate(member: MemberView) -> float:
    """Hits over verdicts with one of each added; a prediction weighs half of a measurement."""
    hits = member.measured_hits + 0.5 * member.predicted_hits
    verdicts = hits + member.measured_regressions + 0.5 * member.predicted_regressions
    return (hits + 1.0) / (verdicts + 2.0)
