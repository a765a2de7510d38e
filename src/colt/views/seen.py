"""What is seen of a run, thing by thing: nodes, trials, calls, course alterations, members, and each new best.

Plain data, filled in by :mod:`colt.views.fold` as events come.
"""

from __future__ import annotations

from dataclasses import dataclass

from colt.knobs import Schedule, Transformation

ROOT = 0
"""The node of the untuned program."""


@dataclass(slots=True)
class SeenNode:
    """A node of the shared tree. ``by`` is empty for the root."""

    id: int
    parent: int
    by: str
    next_member: str = ""
    transformation: Transformation = ()
    schedule: Schedule | None = None
    predicted_us: float | None = None
    value: float | None = None
    outcome: str = ""
    alias: bool = False
    opening: bool = False
    alteration: bool = False
    """Whether it was made by a course alteration."""
    pruned: bool = False
    closed: bool = False


@dataclass(slots=True)
class SeenTrial:
    """A schedule that went to the hardware. ``fate`` is empty until it is back."""

    id: int
    node: int
    by: str
    predicted_us: float
    asked_s: float
    timed_s: float | None = None
    number: int = 0
    """How many trials were back from the hardware when it was, itself included."""
    usd: float = 0.0
    """What had been paid by then."""
    fate: str = ""
    latency_us: float | None = None
    seconds_building: float = 0.0
    seconds_timing: float = 0.0
    slowdown: float = 1.0
    message: str = ""
    told: bool = False
    """Whether the tree has taken the result in; it may have become ``wrong`` by then."""


@dataclass(slots=True)
class SeenCall:
    """A question to a member, from ``start_s`` to ``end_s``; ``usd`` is 0 for a built-in expert."""

    ticket: int
    by: str
    start_s: float
    end_s: float
    paid: bool
    error: str = ""
    usd: float = 0.0


@dataclass(slots=True)
class SeenAlteration:
    """A step that the largest member took over at ``node``; ``pruned`` is -1 if it had nothing better to offer."""

    node: int
    by: str
    kept: int
    pruned: int
    at_s: float


@dataclass(slots=True)
class SeenMember:
    """What one member of the pool did, and what its calls cost."""

    calls: int = 0
    """Turns that it answered. What follows is counted beside them."""
    alterations: int = 0
    """Steps of others that it took over, or tried to."""
    free: int = 0
    """What a built-in expert proposed while language models were thinking, which is nobody's turn."""
    errors: int = 0
    """Transformations, and names of who is to be asked next, that are not usable."""
    fallbacks: int = 0
    nodes: int = 0
    trials: int = 0
    """Those that are back from the hardware."""
    hits: int = 0
    regressions: int = 0
    structures: int = 0
    """Structures that it brought into the tree."""
    led: int = 0
    """Trials of its own that became the fastest of the run."""
    led_below: int = 0
    """Trials of others that did, in structures that it brought."""
    requests: int = 0
    tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0
    """Spent answering; several calls of a language model may be under way at a time."""


@dataclass(frozen=True, slots=True)
class Improvement:
    """A new best: which trial, how many were back with it, after how many seconds and dollars."""

    trial: int
    number: int
    at_s: float
    usd: float
    latency_us: float


@dataclass(slots=True)
class Asking:
    """A ticket that was handed out."""

    node: int
    acting: str
    alteration: bool
    at_s: float
    free: bool
    """Whether it was nobody's turn: an expert proposed while language models were thinking."""
    withdrawn: bool = False
