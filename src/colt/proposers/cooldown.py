"""Rests for models whose answers are of no use: calls that are answered, paid for, and change nothing.

The circuit breaker (:mod:`colt.proposers.language.breaker`) does the same for calls that fail, in seconds. Here time
is counted in
trials, so that what is decided follows from the answers and a run can be replayed.
"""

from __future__ import annotations

IN_A_ROW = 4
"""So many useless answers in a row send a model to rest."""
FIRST_REST = 16
"""Trials for which it is not asked; twice as many after each rest that one more useless answer follows."""


class Rests:
    """Those of one model. A useful answer ends the row, and the next rest is a first one again."""

    def __init__(self) -> None:
        self.taken = 0
        """How many there were."""
        self._row = 0
        self._until = 0
        self._next = FIRST_REST

    def resting(self, trials: int) -> bool:
        """Whether it rests, after so many trials of the run."""
        return trials < self._until

    @property
    def on_trial(self) -> bool:
        """Whether the next answer decides: there should be no more than one call under way."""
        return self._row >= IN_A_ROW

    def useful(self) -> None:
        """An answer was of use."""
        self._row, self._until, self._next = 0, 0, FIRST_REST

    def useless(self, trials: int) -> bool:
        """An answer was not; returns whether a rest begins. Answers that were under way when it began count no more."""
        if self.resting(trials):
            return False
        self._row += 1
        if self._row < IN_A_ROW:
            return False
        self.taken += 1
        self._until = trials + self._next
        self._next *= 2
        return True
