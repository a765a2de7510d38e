"""When a failed request is made again: the one place that decides it."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter, bounded in number and in time.

    Full jitter (a uniform draw between nothing and the whole backoff) keeps calls that failed together from coming
    back together.
    """

    attempts: int = 4
    """Requests at most, the first among them."""
    base_s: float = 1.0
    cap_s: float = 30.0
    """Longest backoff of our own; what the endpoint asks for may be longer."""
    total_s: float = 300.0
    """No request begins later than this after the first."""

    def wait_s(self, attempt: int, elapsed_s: float, retry_after_s: float | None, rng: random.Random) -> float | None:
        """Seconds to wait after the ``attempt``-th request (from 1) failed; ``None`` to give up.

        What the endpoint asks for is waited in full, and a little longer, so that waiting calls spread.
        """
        if attempt >= self.attempts:
            return None
        backoff = rng.uniform(0, min(self.cap_s, self.base_s * 2.0 ** (attempt - 1)))
        wait = backoff if retry_after_s is None else retry_after_s + min(backoff, self.base_s)
        return wait if elapsed_s + wait <= self.total_s else None


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """What a reply asks to wait, from ``retry-after-ms`` or ``Retry-After`` in seconds or as a date; ``now`` is in
    seconds since 1970. ``None`` for no or no sensible request."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    stated = headers.get("retry-after")
    seconds = _number(stated)
    if seconds is not None or stated is None:
        return seconds
    try:
        when = parsedate_to_datetime(stated)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)  # "-0000", which HTTP dates do not use, but GMT is meant
        return max(0.0, when.timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None
