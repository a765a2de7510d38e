"""The contract of measuring: what goes in, what comes out, and every limit on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from colt.errors import ColtError, InputError
from colt.search.types import Fate

if TYPE_CHECKING:
    from tvm import IRModule


class ExportError(ColtError):
    """A kernel could not be written as a shared library: no compiler, or it did not build."""


@dataclass(frozen=True, slots=True)
class Job:
    """One candidate. ``module`` is post-processed and ready to build, with one PrimFunc ``main`` over buffers of
    fixed shape; it is built and timed exactly as it is given."""

    id: int
    module: IRModule


@dataclass(frozen=True, slots=True)
class Measurement:
    """What became of a job. ``latency_us`` is the median of ``runs_us``, and ``None`` unless ``fate`` is OK."""

    job: int
    fate: Fate
    latency_us: float | None
    runs_us: tuple[float, ...]
    """Latency of each repeat; a single figure means that the candidate was slow and was not repeated."""
    seconds_building: float
    seconds_timing: float
    message: str = ""

    @property
    def spread_us(self) -> float:
        """Slowest minus fastest repeat; 0 for a single one."""
        return max(self.runs_us) - min(self.runs_us) if self.runs_us else 0.0


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a candidate computes what the reference computes.

    The figures are those of the output that comes closest to its tolerance or exceeds it by most. ``max_rel_error``
    is relative to the largest magnitude in that output of the reference. Both are ``inf`` when there is no figure.
    """

    ok: bool
    max_abs_error: float
    max_rel_error: float
    tolerance: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """Every time-out and timing constant; :func:`dataclasses.replace` makes those of a call that needs others.

    What concerns the worker as such (start, cache, memory) is taken from the measurer's own limits, not a call's.
    """

    build_seconds: float = 10.0
    """Building one candidate, LLVM's work on first use included."""
    prepare_seconds: float = 120.0
    """Filling the argument arrays, or comparing outputs."""
    run_seconds: float = 10.0
    """A candidate's first run while no best latency is known."""
    run_floor_seconds: float = 2.0
    """The least that a first run is given once a best latency is known."""
    run_factor: float = 10.0
    """A first run is given this many times the best latency, within the two limits above."""
    timing_seconds: float = 30.0
    """All repeated runs of one candidate."""
    reference_seconds: float = 300.0
    """One run where slowness is no fault: of any program in ``verify`` and ``interleave``."""
    export_seconds: float = 120.0
    """Building and linking a shared library."""
    start_seconds: float = 90.0
    """From the start of a worker to its ready message."""
    start_attempts: int = 3
    """How many workers in a row may fail to become ready."""
    drop_factor: float = 3.0
    """A candidate that is this many times slower than the best is not repeated: its first figure stands."""
    cold_ms: float = 20.0
    """A very first run shorter than this is dominated by cold caches and never the figure."""
    single_run_ms: float = 1000.0
    """A very first run at least this long is the figure."""
    min_repeat_ms: float = 20.0
    """One repeat averages over runs that take at least this long together."""
    total_ms: float = 150.0
    """Repeats go on for about this long."""
    min_repeats: int = 3
    """At least so many repeats, however long they take."""
    max_repeats: int = 10
    """At most so many repeats."""
    cache_mb: int = 2048
    """Argument arrays kept in the worker for later jobs; those in use are kept however large."""
    memory_mb: int | None = None
    """Private memory that the worker may allocate; four fifths of the machine's if ``None``."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise InputError(f"limit {field.name} is {value}; it takes a positive number")

    def first_run_seconds(self, best_us: float | None) -> float:
        """What a candidate's first run is given: :attr:`run_factor` times the best, but no less than
        :attr:`run_floor_seconds`, and no more than :attr:`run_seconds` unless even being dropped takes longer."""
        if best_us is None:
            return self.run_seconds
        best = best_us / 1e6
        wanted = max(min(self.run_factor * best, self.run_seconds), self.drop_factor * best)
        return max(wanted, self.run_floor_seconds)


class Measurer(Protocol):
    """Whoever measures. For one thread at a time; usable as a context manager."""

    restarts: int
    """Workers started beyond the first."""
    seconds_building: float
    """Spent building, in all calls."""
    seconds_timing: float
    """Spent running kernels, in all calls."""

    def measure(
        self, jobs: Iterable[Job], best_us: float | None = None, limits: Limits | None = None
    ) -> Iterator[Measurement]:
        """Build and time each job; yield each result when it is there, in order.

        ``best_us`` is the best latency known; better ones among the jobs replace it. ``limits`` hold for this call.

        Raises
        ------
        MeasureError
            No worker starts.
        """
        ...

    def verify(
        self, reference: IRModule, candidate: IRModule, seed: int = 0, limits: Limits | None = None
    ) -> Verification:
        """Run both on the same random inputs and compare everything that they leave in their parameters.

        A candidate that fails to build or run is not ok.

        Raises
        ------
        MeasureError
            The reference does not build or run, or no worker starts.
        """
        ...

    def interleave(self, modules: Sequence[IRModule], rounds: int, limits: Limits | None = None) -> list[list[float]]:
        """Time the modules in turn, ``rounds`` times over; latencies in microseconds per module.

        Raises
        ------
        MeasureError
            One of them does not build or run, or no worker starts.
        """
        ...

    def export(self, module: IRModule, path: Path, limits: Limits | None = None) -> None:
        """Write a shared library that ``tvm.runtime.load_module`` loads; ``path`` is complete or untouched.

        Raises
        ------
        ExportError
            No C compiler is found, or building or linking fails.
        """
        ...

    def close(self) -> None:
        """End the worker. May be repeated."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
