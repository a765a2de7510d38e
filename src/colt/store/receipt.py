"""The receipt: what a run found, spent and verified. ``docs/receipt.md`` documents the fields; they are stable."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from colt.errors import InputError
from colt.store.directory import RECEIPT
from colt.util.files import read_file

SCHEMA = 1


class Verdict(StrEnum):
    """What may be said of the winner, or of the fastest schedule if none won, against the untuned program."""

    FASTER = "faster"
    NO_DIFFERENCE = "no significant difference"
    SLOWER = "slower"
    UNDECIDED = "undecided"  # one round has no interval
    NOT_COMPARED = "not compared"  # no correct schedule was there to be compared


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the receipt's parts: immutable, checked for types when read."""


class TensorShape(_Record, frozen=True):
    """An argument of the program."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: str


class WorkloadPart(_Record, frozen=True):
    """What was tuned. ``flops`` is ``None`` if it is not known."""

    name: str
    size: str | None
    arguments: tuple[TensorShape, ...]
    flops: int | None
    min_bytes: int


class HardwarePart(_Record, frozen=True):
    """Where it ran; peaks as measured on this machine, ``fma_gflops`` and ``bandwidth_gbs`` with ``peak_threads``.

    For a ``board`` (tracker and key) cpu and cores are those of the target, and no peak is known."""

    cpu: str
    cores: int
    simd: str
    fma_gflops: float | None
    bandwidth_gbs: float | None
    fma_gflops_1_thread: float | None = None
    peak_threads: int | None = None
    fma_pattern: str | None = None
    bandwidth_pattern: str | None = None
    board: str | None = None


class RooflinePart(_Record, frozen=True):
    """What the program can reach at most here, which peak (``fma`` or ``bandwidth``) limits it to that, and the share
    of it that the program of the run's result reaches."""

    gflops: float
    bound: str
    share: float


class PricesPart(_Record, frozen=True):
    """US dollars per million tokens at which the run counted, and where they are from; ``cached_input`` of input that
    the provider reads from its cache."""

    input: float
    output: float
    cached_input: float | None
    source: str


class FoundPart(_Record, frozen=True):
    """What ``colt pool check`` found about a model's endpoint, and when: whether a JSON ``schema`` is enforced, usage
    reported, ``reasoning`` kept apart, under which name the model answered, and how long that took."""

    checked: str
    usable: bool
    problem: str
    schema: str
    usage_reported: bool | None
    reasoning: str
    served_model: str
    seconds: float | None


class PoolMember(_Record, frozen=True):
    """A proposer of the pool; a ``nominal`` size is a guess, or that of a built-in expert, which has no parameters.

    Of a language model also what its endpoint calls it, where that is, and its prices if they are known."""

    name: str
    size_b: float
    nominal: bool
    model: str | None = None
    base_url: str | None = None
    prices: PricesPart | None = None
    found: FoundPart | None = None
    """``None`` if the model was never probed from this machine."""


class TrialsPart(_Record, frozen=True):
    """How many distinct schedules went to the hardware, and what became of them (fate → count)."""

    total: int
    fates: dict[str, int]


class NoisePart(_Record, frozen=True):
    """Other loads on the machine: how many timings were watched, how many of them were disturbed in spite of waiting
    (their figures are corrected), the most that one was slowed down, and the seconds spent waiting."""

    timings: int
    disturbed: int
    worst_slowdown: float
    seconds_waiting: float


class BuildPart(_Record, frozen=True):
    """Building the trials, in seconds, each for itself although several are built at a time: all of them, what was
    predicted for these from the size of their code, the slowest, and the winner."""

    total: float
    predicted_total: float
    slowest: float
    winner: float | None


class LatencyPart(_Record, frozen=True):
    """A latency in microseconds (median, and its 95 % interval) with what follows from it."""

    latency_us: float
    gflops: float | None
    roofline_share: float | None
    interval_us: tuple[float, float] | None = None


class BestPart(LatencyPart, frozen=True, kw_only=True):
    """The winner. ``transformation`` leads to it in words, knob by knob."""

    trial: int
    proposed_by: str
    sketch: str
    sketch_summary: str
    transformation: str
    values: dict[str, int | str | list[int]]


class VerifiedPart(_Record, frozen=True):
    """Whether the winner computes what the untuned program computes, on random inputs.

    ``leaders`` counts the schedules that were compared so, ``wrong`` those of them that compute something else.
    """

    ok: bool
    max_abs_error: float | None
    max_rel_error: float | None
    tolerance: float | None
    message: str
    leaders: int | None = None
    wrong: int | None = None


class FunctionPart(_Record, frozen=True):
    """A transcendental function in the result: how many calls of it were replaced, and the bound of the error."""

    calls: int
    max_ulp: float


class MathPart(_Record, frozen=True):
    """How the run's schedules compute transcendental functions, and those of the run's result, by name."""

    exact: bool
    replaced: dict[str, FunctionPart]


class ProposerPart(_Record, frozen=True):
    """What one proposer did. Trials of ``random`` came from fallbacks, of ``sampled`` from the openings."""

    calls: int = 0
    trials: int = 0
    predicted_hits: int = 0
    predicted_regressions: int = 0
    measured_hits: int = 0
    measured_regressions: int = 0
    errors: int = 0
    fallbacks: int = 0
    alterations: int = 0
    alterations_kept: int = 0
    seconds: float = 0.0


class ModelPart(_Record, frozen=True):
    """What calling one language model took.

    ``answered`` calls gave a text, others are in ``failed`` by what went wrong. ``requests`` counts retries as well;
    ``retried`` says what went wrong before those. Of the answers ``in_reasoning`` came in the reasoning channel, and
    ``served_as`` from models of other names, as the endpoint says. ``unusable`` are parts of answers that could not be
    taken, ``passed`` turns that went to another model while this one was out, ``benched`` how often it was, after
    failures or answers of no use. Of tokens ``cached`` is the part of ``input`` that came from the provider's cache;
    ``unreported`` requests were charged in full, since nobody said what they used."""

    answered: int = 0
    failed: dict[str, int] = {}
    requests: int = 0
    retried: dict[str, int] = {}
    in_reasoning: int = 0
    served_as: dict[str, int] = {}
    unusable: int = 0
    passed: int = 0
    benched: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    unreported: int = 0
    usd: float = 0.0
    median_seconds: float | None = None


class SpendingPart(_Record, frozen=True):
    """What language models cost, all together, the ceilings it was held to, and why no more calls were made, if the run
    ended them itself."""

    usd: float
    requests: int
    tokens: int
    max_usd: float | None
    max_calls: int | None
    max_tokens: int | None
    max_seconds: float | None
    ended: str | None


class ScorerPart(_Record, frozen=True):
    """Which scorer was in charge at the end, and the held-out rank correlations that decided it (if tried)."""

    version: str
    analytical_rank: float | None
    cost_model_rank: float | None
    cost_model_samples: int


class SpacePart(_Record, frozen=True):
    """The space that was searched."""

    sketches: int
    nodes: int
    distinct_schedules: int


class Receipt(_Record, frozen=True, kw_only=True):
    """Everything about a run that its reader may want to hold against it."""

    schema: int
    workload: WorkloadPart
    target: dict[str, Any]
    threads: int
    versions: dict[str, str]
    hardware: HardwarePart
    seed: int
    pool: tuple[PoolMember, ...]
    config: dict[str, int | float | str]
    trials: TrialsPart
    baseline: LatencyPart
    best: BestPart | None
    """``None`` if no candidate ran, was verified, and had a better median than the untuned program."""
    speedup: float
    noise: NoisePart | None = None
    build: BuildPart | None = None
    speedup_interval: tuple[float, float] | None = None
    """95 %; of the result, like ``speedup``."""
    verdict: Verdict | None = None
    rounds: int | None = None
    """How often the untuned program and the winner were timed in turn."""
    roofline: RooflinePart | None = None
    math: MathPart | None = None
    verified: VerifiedPart
    proposers: dict[str, ProposerPart]
    course_alterations: int
    models: dict[str, ModelPart] | None = None
    """Of the language models in the pool; ``None`` if there are none. ``spending`` likewise."""
    spending: SpendingPart | None = None
    scorer: ScorerPart
    space: SpacePart
    seconds: dict[str, float]
    stop_reason: str
    messages: tuple[str, ...]

    def to_json(self) -> bytes:
        """Indented JSON with a final newline."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


_CONTROL = re.compile(rb"\\u00(0[0-8bcef]|1[0-9a-f])|\x7f|\xc2[\x80-\x9f]")
"""Characters that steer a terminal, as JSON has them."""


def printable(receipt: Receipt) -> Receipt:
    """The receipt for a terminal: a file from elsewhere may hold what would steer it."""
    return msgspec.json.decode(_CONTROL.sub(b"?", msgspec.json.encode(receipt)), type=Receipt)


def load_receipt(run: Path) -> Receipt:
    """The receipt of a run directory (or of the file itself).

    Raises
    ------
    InputError
        There is none, or it is not a receipt that this version reads.
    """
    path = run if run.is_file() else run / RECEIPT
    try:
        receipt = msgspec.json.decode(read_file(path), type=Receipt)
    except FileNotFoundError:
        raise InputError(f"{run} holds no finished run: there is no {RECEIPT}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except msgspec.MsgspecError as error:
        raise InputError(f"{path} is not a receipt: {error}") from None
    if receipt.schema != SCHEMA:
        raise InputError(f"{path} has schema {receipt.schema}; this version of COLT reads {SCHEMA}")
    return receipt
