"""Where the time goes: exclusive seconds per activity, nested activities counted once."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Stopwatch:
    """Adds up wall time by activity. Inside ``with watch("scoring")`` outer activities of this watch stand still."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = time.perf_counter()
        self._started = self._since

    @contextmanager
    def __call__(self, activity: str) -> Iterator[None]:
        """Count what happens inside as ``activity``; what ran before is interrupted."""
        self._lap()
        self._running.append(activity)
        try:
            yield
        finally:
            self._lap()
            self._running.pop()

    @property
    def total(self) -> float:
        """Seconds since the watch was made."""
        return time.perf_counter() - self._started

    def leave_out(self, seconds: float) -> None:
        """Have the last ``seconds`` belong to no activity, and not to the total."""
        self._lap()
        if self._running:
            self.seconds[self._running[-1]] -= seconds
        self._started += seconds

    def go_on(self, total: float, seconds: Mapping[str, float]) -> None:
        """Have so many seconds behind, in all and by activity, in place of those since the watch was made."""
        self.seconds.clear()
        self.seconds.update(seconds)
        self._since = time.perf_counter()
        self._started = self._since - total

    def _lap(self) -> None:
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now
