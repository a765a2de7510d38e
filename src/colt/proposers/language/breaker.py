"""A circuit breaker: it benches a model that keeps failing for a while, so that no call waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """``failures`` in a row bench a model for ``first_s``; each failed trial call doubles that, up to ``most_s``."""

    failures: int = 3
    first_s: float = 30.0
    most_s: float = 600.0


class Breaker:
    """The breaker of one model. Safe to use from several threads.

    While closed, it lets all calls pass. While open, it lets none pass until the time is over; then one *trial call*
    decides. A call that was under way when the breaker opened closes it by succeeding; its failure doesn't count.
    """

    def __init__(self, policy: BreakerPolicy | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.policy = policy or BreakerPolicy()
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._bench_s = self.policy.first_s
        self._until: float | None = None
        """When a trial call may be made; ``None`` while closed."""
        self._trying = False
        self._benched = 0

    @property
    def benched(self) -> int:
        """How often the model was benched; a failed trial call benches it once more."""
        with self._lock:
            return self._benched

    def enter(self) -> bool | None:
        """Ask to make a call: ``None`` if the model is benched, else whether this is the trial call.

        Every call that is let in must end with :meth:`succeeded`, :meth:`failed` or :meth:`abandoned`.
        """
        with self._lock:
            if self._until is None:
                return False
            if self._trying or self._clock() < self._until:
                return None
            self._trying = True
            return True

    def wait_s(self) -> float:
        """Seconds until a trial call may be made."""
        with self._lock:
            return 0.0 if self._until is None else max(0.0, self._until - self._clock())

    def succeeded(self) -> None:
        """A call was answered."""
        with self._lock:
            self._failures = 0
            self._bench_s = self.policy.first_s
            self._until = None
            self._trying = False

    def failed(self, trial: bool, at_once: bool = False, at_least_s: float = 0.0) -> None:
        """A call failed. ``at_once`` benches at the first failure; ``at_least_s`` is the wait asked for."""
        with self._lock:
            if trial and self._trying:
                self._bench_s = min(self.policy.most_s, 2 * self._bench_s)
                self._bench(at_least_s)
            elif self._until is None:
                self._failures += 1
                if at_once or self._failures >= self.policy.failures:
                    self._bench(at_least_s)

    def abandoned(self, trial: bool) -> None:
        """A call was let in but not made, which says nothing about the model."""
        if trial:
            with self._lock:
                self._trying = False

    def _bench(self, at_least_s: float) -> None:
        self._until = self._clock() + max(self._bench_s, at_least_s)
        self._trying = False
        self._benched += 1
