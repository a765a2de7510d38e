"""Where the time of a schedule goes, in one line: ``O 61% 940 us (FMA), QK 36% 560 us (loads), the rest 3%``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from colt.analysis.bounds import BlockTime, Bottleneck
from colt.util.text import to_three_digits

LEAST = 0.02
"""Blocks with a smaller share of the time are summed up."""


def shares_in_words(
    times: Sequence[BlockTime], measured_us: float | None, corrected: Sequence[BlockTime] | None = None
) -> str:
    """Each block with its share, its microseconds and what bounds it, the slowest first. The shares are the analytical
    model's, or ``corrected`` by measurements; the microseconds are scaled so that they add up to ``measured_us``, if
    that is known."""
    model_us = sum(one.us for one in times)
    if not model_us:
        return "not known"
    known = measured_us is not None and math.isfinite(measured_us)
    off = f"{measured_us / model_us:.2g}x the model's" if known and measured_us is not None else "by the model"
    if corrected is not None:
        times, off = corrected, f"blocks timed apart; {off}"
    predicted_us = sum(one.us for one in times)
    factor = measured_us / predicted_us if known and measured_us is not None else 1.0
    ordered = sorted(times, key=lambda one: -one.us)
    told = [one for one in ordered if one.us >= LEAST * predicted_us]
    rest = sum(one.us for one in ordered if one.us < LEAST * predicted_us)
    parts = [_part(one, factor, predicted_us) for one in told]
    if rest >= LEAST * predicted_us:
        parts.append(f"the rest {rest / predicted_us:.0%}")
    return f"{', '.join(parts)} ({off})"


def _part(one: BlockTime, factor: float, predicted_us: float) -> str:
    figures = f"{one.us / predicted_us:.0%} {to_three_digits(factor * one.us)} us"
    if one.bound is Bottleneck.LAUNCH:
        return f"launch {figures}"
    spilled = f", {one.spilled} sums spill" if one.spilled else ""
    return f"{one.block} {figures} ({one.bound}{spilled})"
