"""Course alteration: when small models keep regressing, the largest takes over that step (paper, section 3)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Course:
    """One streak over the whole tree. ``period`` is K; 0 turns course alteration off."""

    period: int
    streak: int = 0

    def note(self, regressed: bool) -> bool:
        """Record the outcome of a small model's proposal; true if the course is to be altered now."""
        if not regressed:
            self.streak = 0
            return False
        self.streak += 1
        return self.period > 0 and self.streak % self.period == 0
