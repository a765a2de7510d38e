"""What a run is told from outside, a type for each kind of answer: the hardware, what became of candidates, when to
stop, where time went.

A run is a function of its plan and of these answers. They are the lines of its recording, which is data from outside
when it is read again, so the types say all that an answer may hold. Latencies are in microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec
from msgspec import Meta

from colt.machine import Hardware
from colt.measure.base import Fate
from colt.measure.muster import Muster
from colt.options import TuneOptions
from colt.proposers.language.calls import Call, Charge
from colt.records.elsewhere import Won
from colt.records.record import Words
from colt.store.receipt import FoundPart
from colt.util.declared import OptionError, options_of

Latency = Annotated[float, Meta(gt=0, le=1e15)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
NonNegative = Annotated[float, Meta(ge=0)]
Factor = Annotated[float, Meta(gt=0, le=1e9)]
Count = Annotated[int, Meta(ge=0, le=10**12)]
_MOST = 10**18
_Ended = Literal["trials", "records", "roofline", "exhausted"]
Reason = Literal["interrupted", "seconds", "broken off", "storage", "pool"] | _Ended
"""Why a run stops."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of all answers."""

    dear: ClassVar[bool] = True
    """Whether it cost money or machine time, so that it has to be on the disk before anything else is done."""


class Looked(Answer, frozen=True, kw_only=True, tag="hardware"):
    """The machine with its peaks as they stand, and what there is to say about them."""

    hardware: Hardware
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise :class:`ValueError` for a machine that there cannot be."""
        self.hardware.require_possible()


class Clock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a run's wall time has gone so far: all of it, and by activity."""

    total: Seconds
    activities: dict[str, Seconds]


class Totals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run's accounts as they stand after an answer: the measurer's wall seconds, other loads on the machine, and
    where time went (``None`` in recordings of before)."""

    building: Seconds
    timing: Seconds
    probes: Count
    disturbed: Count
    worst_slowdown: Factor
    waiting: Seconds
    clock: Clock | None = None


class MeasuredAnswer(Answer, frozen=True, kw_only=True, tag="measured"):
    """What became of a candidate."""

    fate: Fate
    latency_us: Latency | None
    runs_us: tuple[Latency, ...]
    seconds_building: Seconds
    seconds_timing: Seconds
    message: str
    slowdown: Factor
    disturbed: bool
    seconds_waiting: Seconds
    predicted_build_seconds: NonNegative | None
    totals: Totals
    host: str = ""
    reference_us: Latency | None = None

    def __post_init__(self) -> None:
        """Raise :class:`ValueError` if the latency does not go with the fate."""
        if (self.latency_us is None) == self.fate.timed:
            raise ValueError(f"a candidate that is {self.fate} has latency {self.latency_us}")


class VerifiedAnswer(Answer, frozen=True, kw_only=True, tag="verified"):
    """Whether a candidate is correct; ``None`` stands for an infinite error, in ``untuned_error`` for none."""

    ok: bool
    max_abs_error: NonNegative | None
    max_rel_error: NonNegative | None
    tolerance: NonNegative
    message: str
    totals: Totals
    untuned_error: NonNegative | None = None


class TimedInTurn(Answer, frozen=True, kw_only=True, tag="timed in turn"):
    """For each program its latencies, round by round."""

    latencies_us: tuple[tuple[Latency, ...], ...]
    totals: Totals
    host: str = ""
    """Where they were timed, if that is a host of a fleet."""

    def __post_init__(self) -> None:
        """Raise :class:`ValueError` unless there are as many rounds, and one at least, for each program."""
        rounds = {len(latencies) for latencies in self.latencies_us}
        if len(rounds) != 1 or 0 in rounds:
            raise ValueError("programs that are timed in turn have as many latencies each")


class ExportedAnswer(Answer, frozen=True, kw_only=True, tag="exported"):
    """``error`` says why a kernel was not written, ``failed`` whether that is a fault: it could have been linked."""

    error: str | None
    failed: bool = False
    totals: Totals


class Disassembled(Answer, frozen=True, kw_only=True, tag="inner loop"):
    """The kinds of instructions in a kernel's inner loop, with how many there are of each; or why that is not known."""

    mix: tuple[tuple[str, Count], ...] = ()
    problem: str = ""


class ClockedAnswer(Answer, frozen=True, kw_only=True, tag="clocked"):
    """The cycles of each part of a program; none if that is not known, with the ``problem`` if there was one."""

    cycles: tuple[NonNegative, ...] = ()
    problem: str = ""
    totals: Totals


class Remarks(Answer, frozen=True, kw_only=True, tag="remarks"):
    """What the user is told about the board."""

    dear: ClassVar[bool] = False
    texts: tuple[str, ...] = ()


class Mustered(Answer, frozen=True, kw_only=True, tag="fleet"):
    """Who measures, where several hosts do."""

    muster: Muster
    news: tuple[str, ...] = ()
    """What there is to say about hosts since that was asked last."""

    def __post_init__(self) -> None:
        """Raise :class:`ValueError` for a fleet that there cannot be."""
        seen = self.muster
        figures = [host.reference_us for host in seen.hosts] + ([seen.base_us] if seen.base else [])
        counts = [host.threads for host in seen.hosts]
        if not all(0 < figure <= 1e15 for figure in figures) or not all(0 < count < _MOST for count in counts):
            raise ValueError("hosts are described by numbers above 0")
        if not all(0 <= count < _MOST for count in (seen.lost, seen.again, seen.builders, seen.built_elsewhere)):
            raise ValueError("what was lost and measured again are counts")


class StableText(Answer, frozen=True, kw_only=True, tag="stable text"):
    """What every prompt of the run begins with."""

    dear: ClassVar[bool] = False
    text: str


class Endpoints(Answer, frozen=True, kw_only=True, tag="endpoints"):
    """What was known of the endpoints of language models, by model."""

    dear: ClassVar[bool] = False
    found: dict[str, FoundPart]


class Returned(Answer, frozen=True, kw_only=True, tag="calls"):
    """Calls of language models that have come back, and the models that are benched since then, each with the reason;
    ``None`` if that has not changed. On disk the field is ``out``."""

    calls: tuple[Call, ...] = ()
    benched: dict[str, str] | None = msgspec.field(default=None, name="out")


class SetAside(Answer, frozen=True, kw_only=True, tag="set aside"):
    """No answer, but what a call of a language model costs if nothing more is heard of it. It is written down before
    each of the call's requests leaves; the last one counts."""

    ticket: Count
    charge: Charge


class Allowance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a run may take: the options of its budget, by the names that they have in :mod:`colt.options`."""

    trials: int
    seconds: float | None = None
    until_roofline: float | None = None
    max_usd: Decimal | None = None
    max_calls: int | None = None
    max_tokens: int | None = None
    max_seconds: float | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """From the options of a run, by name; others are passed over. Raises :class:`ValueError`."""
        given = {name: options[name] for name in cls.__struct_fields__ if options.get(name) is not None}
        for name in ("seconds", "until_roofline", "max_seconds"):
            if type(given.get(name)) is int:
                given[name] = float(given[name])
        if "max_usd" in given:
            given["max_usd"] = Decimal(str(given["max_usd"]))
        return cls(**given)

    def __post_init__(self) -> None:
        """Raise :class:`ValueError` for what the options do not take."""
        declared = options_of(TuneOptions)
        for name in self.__struct_fields__:
            try:
                declared[name].check(getattr(self, name))
            except OptionError as error:
                raise ValueError(str(error)) from None


class Stop(Answer, frozen=True, kw_only=True, tag="stop"):
    """Whether the user, the clock or a full disk ends the run, or it broke off here and is only finished.

    ``went_on``: it had broken off or ended, and went on here in another process, with that allowance.
    """

    reason: Reason | None = None
    went_on: Allowance | None = None


class Spent(Answer, frozen=True, kw_only=True, tag="spent"):
    """Where the wall time went: all of it, by activity, and by proposer. The last answer of a run."""

    total: Seconds
    activities: dict[str, Seconds]
    proposers: dict[str, Seconds]


class Lead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule to begin from: of the same program (``known``) or of a relative, in words, as a trace, or both.

    ``same_machine``: its latency was measured on this very machine. ``predicted_us`` is what the analytical model said
    of it there, and ``structure`` tells relatives apart; both are absent from older records and recordings."""

    known: bool
    program: str
    by: str
    when: str
    run: str
    latency_us: Latency
    verified: bool
    same_machine: bool
    predicted_us: Latency | None = None
    structure: str = ""
    words: Words | None = None
    trace: str | None = None


class Recalled(Answer, frozen=True, kw_only=True, tag="recalled"):
    """What was found to begin from, in the order of measuring, what there is to say about it, and what has won on other
    programs, for language models."""

    leads: tuple[Lead, ...] = ()
    notes: tuple[str, ...] = ()
    elsewhere: tuple[Won, ...] = ()


class Remembered(Answer, frozen=True, kw_only=True, tag="recorded"):
    """How many schedules were added to the records; ``failure`` says why none could be."""

    count: Count
    failure: str | None = None


AnyAnswer = (
    Looked
    | MeasuredAnswer
    | VerifiedAnswer
    | TimedInTurn
    | ExportedAnswer
    | Disassembled
    | ClockedAnswer
    | Remarks
    | Mustered
    | StableText
    | Endpoints
    | Returned
    | SetAside
    | Stop
    | Recalled
    | Remembered
    | Spent
)
