"""What a host says to the driver: JSON of a few kinds, each field with its type and range.

A host belongs to whoever owns the cluster, and kernels under test run there: nothing that it says is trusted, or ever
unpickled here.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta

from colt.machine import Hardware
from colt.measure.base import LEAST_US, MOST_US, Fate, Measurement, Noise, Verification

MOST_BYTES = 1 << 22
"""The longest message that is read."""
MOST_TEXT = 4000
Latency = Annotated[float, Meta(ge=LEAST_US, le=MOST_US)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
NonNegative = Annotated[float, Meta(ge=0, le=1e300)]
Prediction = Annotated[float, Meta(ge=0, le=1e15)]
"""Seconds: predictions of a run add up to a number that a receipt holds."""
Slowdown = Annotated[float, Meta(ge=1, le=1e9)]
Count = Annotated[int, Meta(ge=0, le=10**9)]
Text = Annotated[str, Meta(max_length=MOST_TEXT)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Names = Annotated[tuple[Annotated[str, Meta(max_length=200)], ...], Meta(max_length=2000)]


class HostError(Exception):
    """Bytes from a host that are no valid message."""


class _Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of all messages."""


class HostReport(_Said, frozen=True, kw_only=True, tag="report"):
    """What the host is. ``features`` are its vector instructions; ``mcpu`` and ``mattr`` are for a target."""

    cpu: Name
    architecture: Name
    features: Names
    cores: Annotated[int, Meta(ge=1, le=10**5)]
    """That a process there may run on."""
    mcpu: Name
    mattr: Names = ()
    versions: Annotated[dict[Name, Name], Meta(max_length=50)]


class HostHeld(_Said, frozen=True, kw_only=True, tag="held"):
    """Whether the host's lock is ours; if not, who holds it."""

    by: Text = ""


class HostHardware(_Said, frozen=True, kw_only=True, tag="hardware"):
    """The host with its measured peaks, and what there is to say about them."""

    hardware: Hardware
    notes: Annotated[tuple[Text, ...], Meta(max_length=100)] = ()

    def __post_init__(self) -> None:
        """Raise :class:`ValueError` for a machine that there cannot be."""
        self.hardware.require_possible()


class HostReady(_Said, frozen=True, kw_only=True, tag="ready"):
    """The workers have started, and the reference kernel took so long."""

    reference_us: Latency
    disturbed: bool


class HostAccounts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The accounts of the host's measurer since it was made."""

    building: Seconds
    timing: Seconds
    probes: Count
    disturbed: Count
    worst_slowdown: Slowdown
    waiting: Seconds

    @property
    def noise(self) -> Noise:
        """As a measurer keeps it."""
        return Noise(self.probes, self.disturbed, self.worst_slowdown, self.waiting)


class _Answer(_Said, frozen=True, kw_only=True):
    """The answer to item ``index`` of request ``request``."""

    request: Count
    index: Count
    accounts: HostAccounts
    remarks: Annotated[tuple[Text, ...], Meta(max_length=100)] = ()


class HostMeasured(_Answer, frozen=True, kw_only=True, tag="measured"):
    """What became of a candidate there."""

    fate: Fate
    latency_us: Latency | None = None
    runs_us: Annotated[tuple[Latency, ...], Meta(max_length=10_000)] = ()
    seconds_building: Seconds = 0.0
    seconds_timing: Seconds = 0.0
    message: Text = ""
    slowdown: Slowdown = 1.0
    disturbed: bool = False
    seconds_waiting: Seconds = 0.0
    predicted_build_seconds: Prediction | None = None
    reference_us: Latency | None = None

    def __post_init__(self) -> None:
        """Raise :class:`ValueError` if the latency does not go with the fate."""
        if (self.latency_us is None) == self.fate.timed:
            raise ValueError(f"a candidate that is {self.fate} has latency {self.latency_us}")

    def measurement(self, trial: int) -> Measurement:
        """As the host's measurer made it."""
        fields = {name: getattr(self, name) for name in HostMeasured.__struct_fields__ if name not in _BESIDE}
        return Measurement(trial=trial, **fields)


_BESIDE = _Answer.__struct_fields__
"""What a message has beside the fields of what it tells."""


class HostVerified(_Answer, frozen=True, kw_only=True, tag="verified"):
    """Whether a candidate is correct; ``None`` stands for an infinite error, in ``untuned_error`` for none."""

    ok: bool
    max_abs_error: NonNegative | None
    max_rel_error: NonNegative | None
    tolerance: NonNegative
    message: Text
    untuned_error: NonNegative | None = None

    def verification(self) -> Verification:
        """As the host's measurer made it."""
        return Verification(
            ok=self.ok,
            max_abs_error=float("inf") if self.max_abs_error is None else self.max_abs_error,
            max_rel_error=float("inf") if self.max_rel_error is None else self.max_rel_error,
            tolerance=self.tolerance,
            message=self.message,
            untuned_error=self.untuned_error,
        )


Series = Annotated[tuple[Latency, ...], Meta(min_length=1, max_length=10_000)]


class HostTimed(_Answer, frozen=True, kw_only=True, tag="timed"):
    """Latencies of programs that were timed in turn, for each a figure a round."""

    latencies_us: Annotated[tuple[Series, ...], Meta(min_length=1, max_length=1000)]
    reference_us: Latency | None = None
    """What the reference kernel took beside them."""


class HostBuilt(_Answer, frozen=True, kw_only=True, tag="built"):
    """How building a candidate went for another host, and whether there is a library of it to be had."""

    fate: Fate
    seconds: Seconds
    predicted_seconds: Prediction
    message: Text = ""
    linked: bool = False

    def failure(self) -> HostMeasured | None:
        """What became of the candidate, if that is decided here."""
        if self.fate is Fate.OK or self.fate.timed:
            return None
        return HostMeasured(
            request=self.request,
            index=self.index,
            accounts=self.accounts,
            fate=self.fate,
            message=self.message,
            seconds_building=self.seconds,
            predicted_build_seconds=self.predicted_seconds,
        )


class HostFailed(_Answer, frozen=True, kw_only=True, tag="failed"):
    """The item could not be done. ``fault``: by no program's fault, but the host's own."""

    message: Text
    fault: bool


class HostDone(_Said, frozen=True, kw_only=True, tag="done"):
    """Nothing more follows of the request."""

    request: Count


Item = HostMeasured | HostVerified | HostTimed | HostBuilt | HostFailed
Said = Item | HostDone
M = TypeVar("M", bound=_Said)


def encode(said: _Said) -> bytes:
    """A message as bytes."""
    return msgspec.json.encode(said)


def decode(content: object, kind: type[M]) -> M:
    """Read and check a message of that kind. Raises :class:`HostError`; never runs anything that it holds."""
    return cast(M, _decoded(content, kind))


def decode_said(content: object) -> Said:
    """Read and check what comes of a request, see :func:`decode`."""
    return cast(Said, _decoded(content, Said))


def _decoded(content: object, kind: Any) -> object:
    if not isinstance(content, bytes) or len(content) > MOST_BYTES:
        raise HostError(f"it is no message of at most {MOST_BYTES} bytes")
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise HostError(str(error)[:MOST_TEXT]) from None


def cut(text: str) -> str:
    """A text as far as a message holds it."""
    return text[:MOST_TEXT]
