"""What looks at a quiet machine see: a virtual machine is never as steady as the processor that it runs on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

_MARGIN = 1.1
_LEAST_SLOWDOWN, _LEAST_QUEUED = 1.1, 0.05
_MOST_SLOWDOWN, _MOST_QUEUED = 1.5, 0.2


@dataclass(frozen=True, slots=True)
class Quiet:
    """What looks at the quiet machine see at most, but for one in twenty (:class:`colt.tvm.workers.noise.Look`)."""

    slowdown: float
    """How many times longer the reference kernel takes than at the peak; at least 1."""
    queued: float
    """The share of the time, below 1, that a thread waits for a core while a kernel is timed."""

    @classmethod
    def of(cls, spells: Iterable[Iterable[tuple[float, float]]]) -> Quiet:
        """The quietest of several spells, each of them looks: slowdown and share queued. None may be empty. One look in
        twenty may have met something.

        Other loads come and go, those on the host of a virtual machine unseen; what a machine never does without is
        its own.
        """
        slowdown, queued = min(tuple(map(_usual, zip(*spell, strict=True))) for spell in spells)
        return cls(round(slowdown, 4), round(queued, 4))

    @property
    def credible(self) -> bool:
        """Whether that can be a quiet machine. If not, something else was running on it, or on its host."""
        return self.slowdown <= _MOST_SLOWDOWN and self.queued <= _MOST_QUEUED

    @property
    def slowdown_threshold(self) -> float:
        """A look that sees more of a slowdown sees another load."""
        return max(_LEAST_SLOWDOWN, _MARGIN * self.slowdown)

    @property
    def queued_threshold(self) -> float:
        """The same of the share of the time that a thread waits."""
        return max(_LEAST_QUEUED, _MARGIN * self.queued)

    @classmethod
    def from_record(cls, record: object) -> Quiet:
        """From JSON. Raises :class:`ValueError` if a field is missing, unknown, or not plausible."""
        names = [item.name for item in fields(cls)]
        if not isinstance(record, Mapping) or set(record) != set(names):
            raise ValueError(f"the quiet machine is not an object with the fields {', '.join(names)}")
        for name, least, most in (("slowdown", 1.0, _MOST_SLOWDOWN), ("queued", 0.0, _MOST_QUEUED)):
            value = record[name]
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise ValueError(f"{name} of the quiet machine is {value!r}, not a number from {least:g} to {most:g}")
        return cls(float(record["slowdown"]), float(record["queued"]))


def _usual(seen: Iterable[float]) -> float:
    """What 19 of 20 see at most."""
    ordered = sorted(seen)
    return ordered[math.ceil(0.95 * len(ordered)) - 1]
