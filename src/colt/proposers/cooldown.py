"""Cooldowns of models whose answers are of no use: calls that are answered, paid for, and change nothing.

The circuit breaker (:mod:`colt.proposers.language.breaker`) does the same for calls that fail, in seconds. Here time is
counted in trials, so that it follows from the answers and a run can be replayed.
"""

from __future__ import annotations

IN_A_ROW = 4
"""Useless answers in a row after which a model is benched."""
FIRST = 16
"""Trials that a first cooldown lasts. Each further one in a row lasts twice as long as the one before."""


class Cooldown:
    """The cooldowns of one model. A useful answer ends the row; the next cooldown is a first one again."""

    def __init__(self) -> None:
        self.taken = 0
        """How many there were."""
        self._row = 0
        self._until = 0
        self._next = FIRST

    def active(self, trials: int) -> bool:
        """Whether the model cools down after so many trials of the run."""
        return trials < self._until

    @property
    def on_trial(self) -> bool:
        """Whether the next answer decides, so that only one call should be under way."""
        return self._row >= IN_A_ROW

    def useful(self) -> None:
        """Take note of a useful answer."""
        self._row, self._until, self._next = 0, 0, FIRST

    def useless(self, trials: int) -> bool:
        """Take note of a useless answer; returns whether a cooldown begins. Answers during a cooldown do not count."""
        if self.active(trials):
            return False
        self._row += 1
        if self._row < IN_A_ROW:
            return False
        self.taken += 1
        self._until = trials + self._next
        self._next *= 2
        return True
