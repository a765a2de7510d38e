"""The contract of measuring: what goes in, what comes out, and all limits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from colt.errors import ColtError, InputError
from colt.measure.muster import Muster
from colt.util.stats import Interval, median_interval

LEAST_US, MOST_US = 1e-6, 1e15
"""The shortest and the longest time of a kernel in microseconds: none is faster than a picosecond."""
IRModule = Any
"""A TVM module; nothing here looks into it."""


class Fate(StrEnum):
    """What became of a trial on the hardware."""

    OK = "ok"
    DROPPED = "dropped"  # ran, but far slower than the best: not timed thoroughly
    SKIPPED = "skipped"  # not built: its code is so large that building would take too long
    BUILD_ERROR = "build-error"
    BUILD_TIMEOUT = "build-timeout"
    RUN_ERROR = "run-error"
    RUN_TIMEOUT = "run-timeout"
    CRASH = "crash"
    WRONG = "wrong"  # ran, but computed something else than the untuned program

    @property
    def timed(self) -> bool:
        """Whether there is a latency."""
        return self in (Fate.OK, Fate.DROPPED)


INPUTS_TO_BLAME = (
    "no schedule is to blame, but the inputs may be, drawn or given: COLT draws indices, divisors and the arguments of "
    "logarithms and roots from where the program needs them, as far as it can tell; where it cannot, give inputs of "
    "your own: --inputs FILE.npz, inputs= in Python, or colt_inputs(rng) beside the program in its file"
)
"""What to say of an untuned program that crashes, or computes nothing finite, on the inputs that were drawn."""


class ExportError(ColtError):
    """A kernel could not be written as a shared library: no compiler, or it did not build."""


class NoLinker(ExportError):
    """Nothing can be linked here for the target: that is no fault of the kernel's, and the run's result stands."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a program and its schedules are called with: random contents, from where the program needs them, but for
    what the user gave."""

    untuned: IRModule
    """The program, from whose code it follows what it needs: a schedule may hide that."""
    seed: int = 0
    given: Any = None
    """The user's (:class:`colt.tvm.programs.inputs.UserInputs`); nothing here looks into it."""


@dataclass(frozen=True, slots=True)
class Job:
    """One candidate, built and timed as it is given. ``module`` is post-processed and has one PrimFunc ``main`` over
    buffers of fixed shape."""

    id: int
    module: IRModule
    inputs: Inputs | None = None
    """What it is called with; what its own code tells if left out."""
    fingerprint: str | None = None
    """Tells the module from others, if that is known. Where the answer is recorded the module may be ``None`` then."""
    library: bytes | None = None
    """The program as another machine has built it for the same target, a shared library; built here if left out."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A candidate, and what it is to be compared with: the arguments of :meth:`Measurer.verify`."""

    reference: IRModule
    candidate: IRModule
    seed: int = 0
    given: Any = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What became of a trial. ``latency_us`` is the median of ``runs_us`` divided by ``slowdown``; ``None`` unless the
    schedule was timed (``fate`` OK or DROPPED)."""

    trial: int
    """The job's id; -1 for the untuned program."""
    fate: Fate
    latency_us: float | None = None
    seconds_timing: float = 0.0
    message: str = ""
    runs_us: tuple[float, ...] = ()
    """Latency of each repeat, not corrected for ``slowdown``; a single figure: the kernel was not repeated."""
    seconds_building: float = 0.0
    """For this schedule; others may have been built at the same time."""
    slowdown: float = 1.0
    """How much longer the kernel took than on a quiet machine, as far as that is certain."""
    disturbed: bool = False
    """Whether another load was there in spite of waiting. Then ``latency_us`` may be too large, hardly too small."""
    seconds_waiting: float = 0.0
    """Spent waiting for the machine to be quiet."""
    predicted_build_seconds: float | None = None
    """What building was expected to take, from the code's size."""
    host: str = ""
    """Which of several hosts or boards timed it. Its latencies are then those of the first of them, see
    :mod:`colt.measure.relative`."""
    reference_us: float | None = None
    """What the reference kernel took on the same host, just before or after; corrected for ``slowdown`` as well."""

    @property
    def interval_us(self) -> Interval | None:
        """The 95 % interval of ``latency_us``; ``None`` if the kernel was timed once."""
        found = median_interval(self.runs_us) if len(self.runs_us) > 1 else None
        return Interval(found.low / self.slowdown, found.high / self.slowdown) if found else None


@dataclass(frozen=True, slots=True)
class Build:
    """What became of building a job; ``fate`` is OK if it was built."""

    job: int
    fate: Fate
    seconds: float
    predicted_seconds: float
    """What building was expected to take, from the code's size."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a candidate computes what the reference computes.

    The figures are of the output that comes closest to its tolerance or exceeds it most. ``max_rel_error`` is relative
    to the largest magnitude in the reference's output. Both are ``inf`` if there is no figure.

    With an ``untuned_error`` both errors are those from the same computation in float64, ``untuned_error`` being the
    reference's own relative error, and ``tolerance`` is what that error and the data type allow.
    """

    ok: bool
    max_abs_error: float
    max_rel_error: float
    tolerance: float
    message: str = ""
    untuned_error: float | None = None


@dataclass(slots=True)
class Noise:
    """Other loads that were seen on the machine while candidates were timed."""

    probes: int = 0
    """Timings that were watched."""
    disturbed: int = 0
    """Timings during which the machine was not quiet; their figures are corrected as far as possible."""
    worst_slowdown: float = 1.0
    """The largest factor by which a figure was corrected."""
    seconds_waiting: float = 0.0
    """Spent waiting for the machine to be quiet."""

    @classmethod
    def together(cls, parts: Iterable[Noise]) -> Noise:
        """The accounts of several measurers, added up."""
        total = cls()
        for part in parts:
            total.probes += part.probes
            total.disturbed += part.disturbed
            total.worst_slowdown = max(total.worst_slowdown, part.worst_slowdown)
            total.seconds_waiting += part.seconds_waiting
        return total


@dataclass(frozen=True, slots=True)
class Limits:
    """Every time-out and timing constant. :func:`dataclasses.replace` makes the limits of a call that needs others.

    Those of the worker (start, cache, memory) are the measurer's own, not a call's.
    """

    build_seconds: float = 10.0
    """For building one candidate, LLVM's work on first use included. One predicted to take longer is skipped."""
    build_floor_seconds: float = 3.0
    """The least that a build is given."""
    build_factor: float = 6.0
    """A build is given this many times the time predicted from its code's size, within the two limits above."""
    prepare_seconds: float = 120.0
    """For filling the argument arrays, or comparing outputs."""
    run_seconds: float = 10.0
    """For a candidate's first run while no best latency is known."""
    run_floor_seconds: float = 2.0
    """The least that a first run is given once a best latency is known."""
    run_factor: float = 10.0
    """A first run is given this many times the best latency, within the two limits above."""
    timing_seconds: float = 30.0
    """For all repeated runs of one candidate."""
    reference_seconds: float = 300.0
    """For one run of any program in ``verify`` and ``interleave``, where slowness is no fault."""
    connect_seconds: float = 90.0
    """For getting a board that others may be using, and connecting to it."""
    export_seconds: float = 120.0
    """For building and linking a shared library."""
    start_seconds: float = 90.0
    """From the start of a worker to its ready message."""
    start_attempts: int = 3
    """How many workers in a row may fail to become ready."""
    drop_factor: float = 1.5
    """A candidate that takes this many times as long as the best is dropped: it is not repeated, and its first figures
    stand."""
    cold_ms: float = 100.0
    """A first run shorter than this is never the figure: cold caches and memory used for the first time lengthen it."""
    warm_up_ms: float = 20.0
    """A repeat of a shorter run follows one that is not counted."""
    short_ms: float = 5.0
    """A single run shorter than this may be disturbed by anything."""
    single_run_ms: float = 1000.0
    """A first run at least this long is the figure."""
    min_repeat_ms: float = 2.0
    """One repeat averages over runs that take at least this long together."""
    apart_bytes: int | None = None
    """What a model reads of other weights between two calls of a program, at a guess: calls take turns with copies of
    the program's own weights, so many bytes together: as cold then as there. ``None``: calls follow at once."""
    precision: float = 0.02
    """Repeats go on until the 95 % interval of the median is within this share of it, or lies beyond the best."""
    total_ms: float = 100.0
    """Repeats end after about this long, however wide the interval is."""
    min_repeats: int = 6
    """At least this many repeats, however long they take; from 6 on the interval assumes nothing about the noise."""
    max_repeats: int = 30
    """At most this many repeats."""
    noise_threshold: float = 1.25
    """The machine counts as disturbed if the reference kernel takes this many times its least time ..."""
    noise_queued: float = 0.05
    """... or if its threads, or the timed kernel's, wait for a core for more than this share of the time."""
    noise_wait_seconds: float = 1.0
    """How long one candidate waits for a disturbed machine to become quiet. Then it is timed all the same, and its
    figure is corrected and marked."""
    ahead: int = 8
    """How many candidates a worker builds before the first of them is timed."""
    kernels: int = 64
    """Built kernels that a worker keeps: a candidate that is timed, verified and timed in turn is built once."""
    cache_mb: int = 2048
    """Argument arrays that the workers keep for later jobs; those in use are kept however large."""
    memory_mb: int | None = None
    """Private memory that a worker may allocate; four fifths of the machine's if ``None``."""

    def __post_init__(self) -> None:
        for spec in fields(self):
            value = getattr(self, spec.name)
            if value is not None and not value > 0:
                raise InputError(f"limit {spec.name} is {value}; it takes a positive number")

    def allowed_build_seconds(self, predicted: float) -> float:
        """How long a build may take that is predicted to take ``predicted`` seconds."""
        return min(self.build_seconds, max(self.build_floor_seconds, self.build_factor * predicted))

    def first_run_seconds(self, best_us: float | None) -> float:
        """How long a candidate's first run may take: :attr:`run_factor` times the best, at least
        :attr:`run_floor_seconds`, and at most :attr:`run_seconds` unless even being dropped takes longer."""
        if best_us is None:
            return self.run_seconds
        best = best_us / 1e6
        wanted = max(min(self.run_factor * best, self.run_seconds), self.drop_factor * best)
        return max(wanted, self.run_floor_seconds)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a run takes over its final figures, and how long it waits for a quiet machine.

    The defaults are the pace of runs whose configuration names none; runs begin with :meth:`usual`.
    """

    turn_seconds: float = 1.5
    """Timing the fastest schedule in turn with the untuned program takes about so long if both are fast."""
    ranking_seconds: float = 1.5
    """Timing the leaders in turn with each other takes about so long at most."""
    patience_seconds: float = 5.0
    """A measurer may wait for a quiet machine for so long in all, and for a share of its life more."""
    patience_share: float = 0.2
    """That share."""
    race_rounds: int = 0
    """After so many rounds of timing in turn leaders that are slower for certain leave, and the rest go on; 0 keeps
    all of them to the end."""
    plain_ratio: float = math.inf
    """A schedule that seems to be so many times faster than the untuned program is plainly faster: the two are timed in
    turn for half as long, and for four rounds at least instead of six."""

    leaders: int = 5
    """How many correct schedules may win at the end."""
    compares: bool = True
    """Whether the fastest is timed in turn with the untuned program: not for one of many programs of a model, which is
    compared as a whole."""
    ranks: bool = True
    """Whether the leaders are timed in turn with each other: not where they are timed in a model afterwards."""

    @classmethod
    def usual(cls) -> Pace:
        """The pace of a run that begins now."""
        return cls(race_rounds=8, plain_ratio=2.0)

    def brief(self) -> Pace:
        """The pace of one of many programs of a model."""
        return replace(self, leaders=3, compares=False, ranks=False)

    @classmethod
    def hasty(cls) -> Pace:
        """The pace of tests that look at no figure: leaders are timed for a moment, and nothing waits."""
        return cls(turn_seconds=0.05, ranking_seconds=0.05, patience_seconds=0.0, patience_share=0.0)


class Measurer(Protocol):
    """Whoever measures. For one thread at a time; usable as a context manager."""

    seconds_building: float
    """Wall time of building, in all calls."""
    seconds_timing: float
    """Wall time of running kernels, in all calls."""
    noise: Noise
    """How quiet the machine was while kernels were timed."""

    def measure(
        self, jobs: Iterable[Job], best_us: float | None = None, limits: Limits | None = None
    ) -> Iterator[Measurement]:
        """Build and time each job; yield each result as soon as it is there, in order.

        Jobs may be built ahead, several at a time; nothing is built while a kernel is timed. ``best_us`` is the best
        latency known; a better one among the jobs replaces it. ``limits`` hold for this call.

        Raises
        ------
        MeasureError
            No worker starts.
        """
        ...

    def expect(self, jobs: Iterable[Job], limits: Limits | None = None) -> None:
        """Be told which jobs :meth:`measure` will be asked for next, in another call. Whoever has several hosts begins
        with them when one is free; nothing else follows from it."""
        return

    def verify(
        self,
        reference: IRModule,
        candidate: IRModule,
        seed: int = 0,
        limits: Limits | None = None,
        given: Any = None,
    ) -> Verification:
        """Run both on the same inputs and compare everything that they leave in their parameters.

        The inputs are random, but for what the user has ``given`` (see :class:`Inputs`).

        A candidate that fails to build or run is not ok.

        Raises
        ------
        MeasureError
            The reference does not build or run, or no worker starts.
        """
        ...

    def foresee(self, pairs: Iterable[Pair], limits: Limits | None = None) -> None:
        """Be told which pairs :meth:`verify` will be asked for. Whoever has several workers compares several at a time
        now, and has the answers at once then; nothing else follows from it.

        Raises
        ------
        MeasureError
            No worker starts.
        """

    def interleave(
        self, modules: Sequence[IRModule], rounds: int, limits: Limits | None = None, inputs: Inputs | None = None
    ) -> list[list[float]]:
        """Time the modules in turn, ``rounds`` times over; latencies in microseconds per module.

        All are called with the same ``inputs``; with what the code of the first one tells if left out.

        Raises
        ------
        MeasureError
            One of them does not build or run, or no worker starts.
        """
        ...

    def clock(self, module: IRModule, parts: int, inputs: Inputs, limits: Limits | None = None) -> list[float] | None:
        """What the clocks of a program (:mod:`colt.tvm.workers.clocks`) count in a run, on average: the processor's
        cycles in each of its ``parts``, of all threads together. ``None`` where nobody can tell.

        Raises
        ------
        MeasureError
            It does not build or run, or no worker starts.
        """
        return None

    def export(self, module: IRModule, path: Path, limits: Limits | None = None) -> None:
        """Write a library that ``tvm.runtime.load_module`` loads; ``path`` is complete or untouched. Into a path
        that ends in ``.tar`` go objects, which are linked where they are loaded; others are linked here.

        Raises
        ------
        ExportError
            There is no C compiler, nothing is linked here for the target, or building or linking fails.
        """
        ...

    def take_remarks(self) -> list[str]:
        """What the user should know about where kernels run and was not told yet; each remark comes once."""
        ...

    def muster(self) -> Muster | None:
        """Who measures and who has left, where several hosts do; ``None`` where this is no question."""
        return None

    def follow(self, before: Muster) -> None:
        """Go on where a run broke off that had these hosts: latencies are told in the microseconds of the same one."""
        return

    def close(self) -> None:
        """End the workers. May be repeated."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
