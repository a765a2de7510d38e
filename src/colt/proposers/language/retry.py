"""When to retry a failed request; no other module decides that."""

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

    Full jitter (a uniform draw from 0 to the whole backoff) keeps calls that failed together from being retried
    together.
    """

    attempts: int = 4
    """The most requests, including the first."""
    base_s: float = 1.0
    cap_s: float = 30.0
    """The longest backoff; a wait that the endpoint asks for may be longer."""
    total_s: float = 300.0
    """How long after the first request the last one may begin."""

    def wait_s(self, attempt: int, elapsed_s: float, retry_after_s: float | None, rng: random.Random) -> float | None:
        """Seconds to wait after the ``attempt``-th request (from 1) failed; ``None`` to give up.

        A wait that the endpoint asks for is kept in full, plus a little jitter that spreads waiting calls.
        """
        if attempt >= self.attempts:
            return None
        backoff = rng.uniform(0, min(self.cap_s, self.base_s * 2.0 ** (attempt - 1)))
        wait = backoff if retry_after_s is None else retry_after_s + min(backoff, self.base_s)
        return wait if elapsed_s + wait <= self.total_s else None


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds to wait that a reply asks for in ``retry-after-ms`` or ``Retry-After`` (seconds or a date).

    ``now`` is in seconds since 1970. ``None`` if there is no such header, or if it makes no sense."""
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
            when = when.replace(tzinfo=UTC)  # "-0000": not an HTTP date, but GMT is meant
        return max(0.0, when.timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None
