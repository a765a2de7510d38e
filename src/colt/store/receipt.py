"""The receipt: what a run found, spent and verified. ``docs/receipt.md`` documents the fields; they are stable."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from colt.errors import InputError
from colt.measure.base import LEAST_US, MOST_US
from colt.store.bounds import excesses
from colt.store.directory import RECEIPT, RECORDING
from colt.util.files import read_file
from colt.util.text import shown, why

SCHEMA = 1
LARGEST = 1 << 24
"""Bytes of a receipt; a larger one is not read."""
_FAR = 3.0
"""A speed-up without an interval is at most so many times the ratio of the latencies. One that has an interval is the
median of ratios, round by round, which may be anywhere if other loads come and go: it only has to be in there."""


class Verdict(StrEnum):
    """How the winner, or the fastest schedule if none won, compares with the untuned program."""

    FASTER = "faster"
    NO_DIFFERENCE = "no significant difference"
    SLOWER = "slower"
    UNDECIDED = "undecided"  # there was only one round, which gives no interval
    NOT_COMPARED = "not compared"  # no schedule was correct


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the receipt's parts: immutable; types are checked on reading."""


class TensorShape(_Record, frozen=True):
    """An argument of the program."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: str


class WorkloadPart(_Record, frozen=True):
    """What was tuned. ``flops`` is ``None`` if not known."""

    name: str
    size: str | None
    arguments: tuple[TensorShape, ...]
    flops: int | None
    min_bytes: int


class HardwarePart(_Record, frozen=True):
    """Where the kernels ran, and its measured peaks; ``fma_gflops`` and ``bandwidth_gbs`` are of ``peak_threads``.

    With a ``board`` (tracker and key), cpu and cores are the target's, and no peak is known."""

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
    """The most that the program can reach here, the peak (``fma`` or ``bandwidth``) that bounds it, and the share of it
    that the run's result reaches."""

    gflops: float
    bound: str
    share: float


class PricesPart(_Record, frozen=True):
    """The prices that the run counted by, in US dollars per million tokens, and their source. ``cached_input`` is for
    input that the provider reads from its cache."""

    input: float
    output: float
    cached_input: float | None
    source: str


class FoundPart(_Record, frozen=True):
    """What ``colt pool check`` found about a model's endpoint, and when: whether it enforces a JSON ``schema``, reports
    usage and keeps ``reasoning`` apart, the name under which the model answered, and how long it took."""

    checked: str
    usable: bool
    problem: str
    schema: str
    usage_reported: bool | None
    reasoning: str
    served_model: str
    seconds: float | None


class PoolMember(_Record, frozen=True):
    """A member of the pool. A ``nominal`` size is a guess, or that of a built-in expert, which has no parameters.

    A language model also has the endpoint's name for it, the endpoint's address, and its prices if known."""

    name: str
    size_b: float
    nominal: bool
    model: str | None = None
    base_url: str | None = None
    prices: PricesPart | None = None
    found: FoundPart | None = None
    """``None`` if the model was never checked from this machine."""


class TrialsPart(_Record, frozen=True):
    """How many distinct schedules went to the hardware, and how many had each fate."""

    total: int
    fates: dict[str, int]


class NoisePart(_Record, frozen=True):
    """Other loads on the machine: timings watched, timings disturbed in spite of waiting (their latencies are
    corrected), the largest slowdown of one, and the seconds spent waiting."""

    timings: int
    disturbed: int
    worst_slowdown: float
    seconds_waiting: float


class BuildPart(_Record, frozen=True):
    """Seconds of building, counted per trial although several are built at a time: all trials, their prediction from
    the size of the code, the slowest trial, and the winner."""

    total: float
    predicted_total: float
    slowest: float
    winner: float | None


class LatencyPart(_Record, frozen=True):
    """A latency in microseconds (median and its 95 % interval), and what follows from it."""

    latency_us: float
    gflops: float | None
    roofline_share: float | None
    interval_us: tuple[float, float] | None = None


class BestPart(LatencyPart, frozen=True, kw_only=True):
    """The winner. ``transformation`` says in words how it is made from the untuned program."""

    trial: int
    proposed_by: str
    sketch: str
    sketch_summary: str
    transformation: str
    values: dict[str, int | str | list[int]]


class VerifiedPart(_Record, frozen=True):
    """Whether the winner computes what the untuned program computes, on random inputs.

    ``leaders`` counts the schedules that were compared, ``wrong`` those of them that compute something else. With an
    ``untuned_error`` the winner was compared with the same computation in float64, from which the untuned program is so
    far off; ``tolerance`` follows from that.
    """

    ok: bool
    max_abs_error: float | None
    max_rel_error: float | None
    tolerance: float | None
    message: str
    leaders: int | None = None
    wrong: int | None = None
    untuned_error: float | None = None
    given: tuple[str, ...] = ()
    """Arguments whose contents, or their range, the user gave."""


class FunctionPart(_Record, frozen=True):
    """A transcendental function in the result: how many of its calls were replaced, and the bound of the error."""

    calls: int
    max_ulp: float


class MathPart(_Record, frozen=True):
    """How the run's schedules compute transcendental functions; ``replaced`` has those of the result, by name."""

    exact: bool
    replaced: dict[str, FunctionPart]


class ProposerPart(_Record, frozen=True):
    """What one proposer did. Trials of ``random`` came from fallbacks, those of ``sampled`` from the openings.

    With ``structure_after``: the ``structures`` that a member of the pool brought, its trials that became the fastest
    of the run (``improvements``), and those of others in these structures (``improvements_below``); else ``None``."""

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
    structures: int | None = None
    improvements: int | None = None
    improvements_below: int | None = None


class ModelPart(_Record, frozen=True):
    """The calls of one language model.

    ``answered`` calls gave a text; ``failed`` counts the others by kind of failure. ``requests`` includes retries;
    ``retried`` counts the failures before them by kind. ``in_reasoning`` answers came in the reasoning channel;
    ``served_as`` counts answers under another model's name. ``unusable`` counts parts of answers that were dropped.
    ``passed`` turns went to another member: this one was benched, or the node
    was no work for it; ``benched`` counts how often it was, after
    failures or useless answers. ``cached`` is the part of ``input`` tokens that came from the provider's cache.
    ``unreported`` requests were charged in full because the endpoint reported no usage."""

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
    """What all language models together cost, the ceilings, and why the run ended the calls, if it did."""

    usd: float
    requests: int
    tokens: int
    max_usd: float | None
    max_calls: int | None
    max_tokens: int | None
    max_seconds: float | None
    ended: str | None


class ScorerPart(_Record, frozen=True):
    """The scorer in use at the end, and the held-out rank correlations that decided it, if any."""

    version: str
    analytical_rank: float | None
    cost_model_rank: float | None
    cost_model_samples: int


class SpacePart(_Record, frozen=True):
    """The space that was searched."""

    sketches: int
    nodes: int
    distinct_schedules: int


class RecordsPart(_Record, frozen=True):
    """What the run began from, and added to the records.

    Schedules of this very program (``known``) and of ``relatives`` were measured first; other records were ``unusable``
    here. ``failure`` says why nothing could be ``added``."""

    known: int
    relatives: int
    unusable: int
    added: int
    failure: str | None = None


class FleetHostPart(_Record, frozen=True):
    """A host of the fleet: what its reference kernel took when it joined, and whether it was ``disturbed`` then; the
    ``trials`` of this program that it timed; and why it ``left``, if it did."""

    name: str
    cpu: str
    threads: int
    reference_us: float
    disturbed: bool
    trials: tuple[int, ...]
    left: str = ""


class FleetPart(_Record, frozen=True):
    """Who measured what.

    Latencies are told in the microseconds of ``base``, and ``decided_on`` is the host that timed the leaders in turn;
    ``None`` if that was none. ``refused`` has hosts that did not measure, each with the reason. Hosts were ``lost`` so
    often, and so many trials ``measured_again`` for that; no trial counts twice. ``built_elsewhere`` counts those that
    other nodes have built."""

    hosts: tuple[FleetHostPart, ...]
    base: str
    decided_on: str | None
    refused: dict[str, str]
    lost: int
    measured_again: int
    built_elsewhere: int


class Receipt(_Record, frozen=True, kw_only=True):
    """Everything that a reader needs in order to judge a run."""

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
    """``None`` if no verified schedule had a better median than the untuned program."""
    speedup: float
    noise: NoisePart | None = None
    build: BuildPart | None = None
    speedup_interval: tuple[float, float] | None = None
    """The 95 % interval of ``speedup``."""
    verdict: Verdict | None = None
    rounds: int | None = None
    """How often the untuned program and the winner were timed in turn."""
    roofline: RooflinePart | None = None
    math: MathPart | None = None
    verified: VerifiedPart
    proposers: dict[str, ProposerPart]
    course_alterations: int
    models: dict[str, ModelPart] | None = None
    """By language model; this and ``spending`` are ``None`` if the pool has none."""
    spending: SpendingPart | None = None
    scorer: ScorerPart
    space: SpacePart
    records: RecordsPart | None = None
    """``None`` if the run neither began from records nor added to them."""
    fleet: FleetPart | None = None
    """``None`` if one machine or board measured everything."""
    seconds: dict[str, float]
    stop_reason: str
    messages: tuple[str, ...]

    def to_json(self) -> bytes:
        """Indented JSON with a final newline."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def printable(receipt: Receipt) -> Receipt:
    """The receipt with its texts as people are to see them: a file from elsewhere may hold anything."""
    return msgspec.convert(_shown(msgspec.to_builtins(receipt)), Receipt)


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {shown(name): _shown(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(part) for part in value]
    return shown(value, lines=True) if isinstance(value, str) else value


def load_receipt(run: Path, *, links: bool = True) -> Receipt:
    """The receipt of a run directory (or of the file itself). Without ``links``, one that is a symbolic link is not
    followed.

    Raises
    ------
    InputError
        There is no receipt, or this version cannot read it.
    """
    path = run if run.is_file() else run / RECEIPT
    try:
        receipt = msgspec.json.decode(read_file(path, LARGEST, links=links), type=Receipt)
    except FileNotFoundError:
        hint = ""
        if (run / RECORDING).is_file():
            hint = f"; colt resume {run} goes on with the run, colt finish {run} makes one of what was measured"
        raise InputError(f"{run} holds no finished run: there is no {RECEIPT}{hint}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not a receipt: {why(error)}") from None
    if receipt.schema != SCHEMA:
        raise InputError(f"{path} has schema {receipt.schema}; this version of COLT reads {SCHEMA}")
    for problem in _inconsistencies(receipt):
        raise InputError(f"{path} is not a receipt that a run writes: {problem}")
    return receipt


def _inconsistencies(receipt: Receipt) -> Iterator[str]:
    """What no run can have found, but an edited receipt may say."""
    for part in receipt.__struct_fields__:
        if part != "seed":  # any number will do
            yield from excesses(part, msgspec.to_builtins(getattr(receipt, part)))
    counted, fates = receipt.trials.total, receipt.trials.fates
    if min((counted, *fates.values())) < 0 or sum(fates.values()) - fates.get("skipped", 0) != counted:
        yield f"it counts {counted} trials, but fates of {sum(fates.values())}"
    latencies = [receipt.baseline.latency_us, (receipt.best or receipt.baseline).latency_us]
    for latency_us in latencies:
        if not LEAST_US <= latency_us <= MOST_US:
            yield f"a latency is {latency_us} µs"
            return
    ratio, interval = latencies[0] / latencies[1], receipt.speedup_interval if receipt.best else None
    if interval is None and not ratio / _FAR < receipt.speedup < ratio * _FAR:
        yield f"the speed-up is {receipt.speedup:.4g}, but the latencies are {ratio:.4g} apart"
    if interval is not None and not interval[0] <= receipt.speedup <= interval[1]:
        yield f"the speed-up is {receipt.speedup:.4g}, outside of its interval, {interval[0]:.4g} to {interval[1]:.4g}"
