"""Everything that happens in a run, as one append-only stream of typed events.

The search and the main loop emit them; the progress display and the journal subscribe. Events are plain data:
:func:`to_record` turns any of them into JSON.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from colt.knobs import Edit, Jump, Schedule, Transformation
from colt.moves import Move, show_move


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Began(Event):
    """A phase of the run, in words for people."""

    phase: str


ENDING = "verifying the leaders and timing the fastest in turn with the untuned program"
"""The last phase of a run: nothing more is searched."""


@dataclass(frozen=True, slots=True)
class Turn(Event):
    """In a run of several tasks: what follows is about the one of this name."""

    task: str


@dataclass(frozen=True, slots=True)
class OfModel(Event):
    """The tasks are the programs of one model: how often a run of it calls each, by the task's name, and which compute
    others' programs in another form. A run needs one of them."""

    calls: tuple[tuple[str, int], ...]
    form_of: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Baseline(Event):
    """The untuned program was measured."""

    latency_us: float


@dataclass(frozen=True, slots=True)
class Named(Event):
    """What the knobs of a sketch are called, in the order of its schedules' values. Comes before its first schedule."""

    variant: str
    sketch: str
    knobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opened(Event):
    """A child of the root was made before the search began."""

    node: int
    schedule: Schedule
    by: str
    next_member: str
    predicted_us: float


@dataclass(frozen=True, slots=True)
class Selected(Event):
    """The tree policy chose a node, and ``acting`` is asked; ``alteration``: the largest, instead of a small member.

    ``places`` are kept free at the node for the answer's alternatives."""

    ticket: int
    node: int
    acting: str
    alteration: bool
    places: int


@dataclass(frozen=True, slots=True)
class Proposed(Event):
    """A ticket was answered, with alternatives or with an ``error``."""

    ticket: int
    by: str
    transformations: tuple[Transformation, ...]
    next_member: str
    why: str
    error: str


@dataclass(frozen=True, slots=True)
class Called(Event):
    """A call of a language model came back, with an answer or with an ``error``; ``usd`` is what it cost."""

    ticket: int
    model: str
    error: str
    message: str
    seconds: float
    requests: int
    input: int
    cached: int
    output: int
    usd: float


@dataclass(frozen=True, slots=True)
class FellBack(Event):
    """Something of ``by`` was replaced. ``what``: an unusable ``next-model`` or ``transformation``, or ``model`` for
    itself, if it is benched."""

    ticket: int
    by: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Withdrawn(Event):
    """A ticket was given back: its member could not be asked."""

    ticket: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Applied(Event):
    """A child was made. ``alias``: its schedule is known from elsewhere in the tree."""

    ticket: int
    node: int
    parent: int
    by: str
    next_member: str
    transformation: Transformation
    schedule: Schedule
    notes: tuple[str, ...]
    alias: bool


@dataclass(frozen=True, slots=True)
class Scored(Event):
    """A child was judged against its parent: ``outcome`` is ``hit``, ``regression`` or ``even``.

    ``measured``: both were measured; else their predictions were compared."""

    node: int
    predicted_us: float
    scorer: str
    value: float
    outcome: str
    measured: bool


@dataclass(frozen=True, slots=True)
class Altered(Event):
    """A course alteration was settled. ``kept`` and ``pruned`` are nodes, the latter -1 if the largest gave none."""

    ticket: int
    kept: int
    pruned: int


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """An expansion gave no child."""

    ticket: int
    node: int
    reason: str


@dataclass(frozen=True, slots=True)
class Closed(Event):
    """A node will not be expanded any more."""

    node: int


@dataclass(frozen=True, slots=True)
class Asked(Event):
    """A schedule goes to the hardware."""

    trial: int
    node: int
    proposed_by: str
    predicted_us: float


@dataclass(frozen=True, slots=True)
class Timed(Event):
    """A trial came back from the hardware. The tree learns of it with the rest of its batch (:class:`Measured`)."""

    trial: int
    fate: str
    latency_us: float | None
    seconds_building: float
    seconds_timing: float
    slowdown: float = 1.0
    """Above 1 if another load disturbed the timing; the latency is corrected for it."""
    host: str = ""
    """Which of several hosts or boards timed it."""


@dataclass(frozen=True, slots=True)
class Measured(Event):
    """The tree took a result in."""

    trial: int
    fate: str
    latency_us: float | None
    message: str


@dataclass(frozen=True, slots=True)
class WentOn(Event):
    """The run had broken off or ended, and goes on here in another process; ``trials`` are its budget from here on."""

    trials: int


@dataclass(frozen=True, slots=True)
class Revalued(Event):
    """The tree was valued anew by all results."""

    best_us: float | None
    nodes: int
    scorer: str


@dataclass(frozen=True, slots=True)
class Noted(Event):
    """A message for the user: a rule was left out, a worker restarted, a fallback taken."""

    message: str


def fan_out(subscribers: Iterable[Emit]) -> Emit:
    """A subscriber that passes every event on to all of these, in their order."""
    listeners = tuple(subscribers)

    def emit(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return emit


_FIELDS: dict[type[Event], tuple[str, ...]] = {}
"""The fields of each kind of event, once they were looked up."""


UNSAID = {"host": ""}
"""Fields that a record leaves out if they have this value: those of earlier versions had no such field."""


def to_record(event: Event) -> dict[str, Any]:
    """The event as a mapping ready for JSON: its name under ``event``, then its fields."""
    kind = type(event)
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(spec.name for spec in dataclasses.fields(event))
    fields = {name: _plain(getattr(event, name)) for name in _FIELDS[kind]}
    for name, unsaid in UNSAID.items():
        if fields.get(name) == unsaid:
            del fields[name]
    return {"event": kind.__name__.lower(), **fields}


def _plain(value: Any) -> Any:
    if isinstance(value, Schedule):
        return {"variant": value.variant, "sketch": value.sketch, "values": _plain(value.values)}
    if isinstance(value, Edit):
        return {"knob": value.knob, "value": _plain(value.value)}
    if isinstance(value, Jump):
        return {"jump": [value.variant, value.sketch]}
    if isinstance(value, Move):
        return {"move": show_move(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


WORDS = {
    "began": ("phase",),
    "proposed": ("why", "error"),
    "called": ("message",),
    "fellback": ("reason",),
    "withdrawn": ("reason",),
    "applied": ("notes",),
    "failed": ("reason",),
    "measured": ("message",),
    "noted": ("message",),
}
"""Fields that are texts for people, by the event's name in a record."""


def without_words(record: dict[str, Any]) -> dict[str, Any]:
    """The record of an event without its texts for people, which versions of COLT word differently."""
    words = WORDS.get(str(record.get("event")), ())
    return {name: value for name, value in record.items() if name not in words}
