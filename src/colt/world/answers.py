"""What a run is told from outside, a type for each kind of answer: the hardware, what became of candidates, when to
stop, where time went.

A run is a function of its plan and of these answers. They are the lines of its recording, which is data from outside
when it is read again, so the types say all that an answer may hold. Latencies are in microseconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from colt.machine import Hardware
from colt.measure.base import Fate
from colt.proposers.language.calls import Call
from colt.store.receipt import FoundPart

Latency = Annotated[float, Meta(gt=0, le=1e15)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
NonNegative = Annotated[float, Meta(ge=0)]
Factor = Annotated[float, Meta(gt=0, le=1e9)]
Count = Annotated[int, Meta(ge=0, le=10**12)]
_MOST = 10**18


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of all answers."""


class Looked(Answer, frozen=True, kw_only=True, tag="hardware"):
    """The machine with its peaks as they stand, and what there is to say about them."""

    hardware: Hardware
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise :class:`ValueError` for a machine that there cannot be."""
        machine, peaks = self.hardware, self.hardware.peaks
        caches = [cache for cache in (machine.l1d, machine.l2, machine.l3) if cache is not None]
        numbers = [machine.cores, machine.simd.vector_bits // 64, machine.simd.registers]
        numbers += [number for cache in caches for number in (cache.bytes, cache.shared_by)]
        figures = [peaks.fma_gflops_1_thread, peaks.fma_gflops_all_threads, peaks.bandwidth_gbs]
        if not all(0 < number < _MOST for number in [*numbers, *(f for f in figures if f is not None)]):
            raise ValueError("cores, vectors, caches and peaks are described by numbers above 0")


class Totals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A measurer's accounts as they stand after an answer: wall seconds, and other loads on the machine."""

    building: Seconds
    timing: Seconds
    probes: Count
    disturbed: Count
    worst_slowdown: Factor
    waiting: Seconds


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

    def __post_init__(self) -> None:
        """Raise :class:`ValueError` unless there are as many rounds, and one at least, for each program."""
        rounds = {len(latencies) for latencies in self.latencies_us}
        if len(rounds) != 1 or 0 in rounds:
            raise ValueError("programs that are timed in turn have as many latencies each")


class ExportedAnswer(Answer, frozen=True, kw_only=True, tag="exported"):
    """``error`` says why a kernel was not written."""

    error: str | None
    totals: Totals


class Remarks(Answer, frozen=True, kw_only=True, tag="remarks"):
    """What the user is told about the board."""

    texts: tuple[str, ...] = ()


class StableText(Answer, frozen=True, kw_only=True, tag="stable text"):
    """What every prompt of the run begins with."""

    text: str


class Endpoints(Answer, frozen=True, kw_only=True, tag="endpoints"):
    """What was known of the endpoints of language models, by model."""

    found: dict[str, FoundPart]


class Returned(Answer, frozen=True, kw_only=True, tag="calls"):
    """Calls of language models that have come back, and the models that are benched since then, each with the reason;
    ``None`` if that has not changed. On disk the field is ``out``."""

    calls: tuple[Call, ...] = ()
    benched: dict[str, str] | None = msgspec.field(default=None, name="out")


class Stop(Answer, frozen=True, kw_only=True, tag="stop"):
    """Whether the user or the clock ends the run, or it broke off here and is only finished."""

    reason: Literal["interrupted", "seconds", "broken off"] | None = None


class Spent(Answer, frozen=True, kw_only=True, tag="spent"):
    """Where the wall time went: all of it, by activity, and by proposer. The last answer of a run."""

    total: Seconds
    activities: dict[str, Seconds]
    proposers: dict[str, Seconds]


AnyAnswer = (
    Looked
    | MeasuredAnswer
    | VerifiedAnswer
    | TimedInTurn
    | ExportedAnswer
    | Remarks
    | StableText
    | Endpoints
    | Returned
    | Stop
    | Spent
)
