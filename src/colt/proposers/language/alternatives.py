"""How many alternative transformations one call of a language model is asked for."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from colt.proposers.members import ModelMember

TYPICAL_PROMPT = 1600
"""Input tokens of a call."""
TYPICAL_PROPOSAL = 90
"""Output tokens of one alternative."""
FEWEST, MOST = 3, 6
"""Fewer alternatives are hardly worth the wait, more hardly differ from each other."""


def alternatives_per_call(models: Sequence[ModelMember]) -> int:
    """As many alternatives as cost about what the prompt costs that they share.

    With fewer, the prompt is most of the price; with more, each costs no less, and is made knowing less. Without known
    prices, time decides: a token is read far faster than written.
    """
    ratios = [
        float(member.prices.input / member.prices.output)
        for member in models
        if member.prices is not None and member.prices.input and member.prices.output
    ]
    if not ratios:
        return FEWEST
    typical = statistics.geometric_mean(ratios) * TYPICAL_PROMPT / TYPICAL_PROPOSAL
    return max(FEWEST, min(MOST, round(typical)))
