"""What the supervisor asks of the worker, and what the worker can say: plain values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from colt.measure.base import Limits
from colt.tvm.workers.arguments import Drawing
from colt.tvm.workers.board import Board

if TYPE_CHECKING:
    from tvm import IRModule


@dataclass(frozen=True, slots=True)
class Away:
    """Kernels run on a board. Workers put what they have built into ``folder``, at most ``files`` kernels."""

    board: Board
    folder: str
    files: int


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker is started with, as JSON on its command line."""

    requests_fd: int
    replies_fd: int
    """Inherited file descriptors."""
    target: str
    """JSON."""
    threads: int
    memory_mb: int
    """The most private memory that it may allocate."""
    cache_mb: int
    """Argument arrays kept."""
    kernels: int
    """Built kernels kept."""
    tied: bool
    """Whether it is started from its parent's main thread, which lives as long as the parent."""
    away: Away | None = None
    """Where kernels run, if not in the worker."""

    @classmethod
    def from_json(cls, text: str) -> WorkerSettings:
        """What :func:`json.dumps` made of these settings as a dictionary."""
        fields = json.loads(text)
        away = fields.pop("away", None)
        return cls(**fields, away=None if away is None else Away(Board(**away.pop("board")), **away))


class Stage(StrEnum):
    """What the worker is at; each has its own time limit."""

    CONNECTING = "connecting"  # to a board
    PREPARING = "preparing"
    BUILDING = "building"
    RUNNING = "running"  # for the first time
    TIMING = "timing"  # repeated runs
    WAITING = "waiting"  # for a quiet machine
    COMPARING = "comparing"
    LINKING = "linking"


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has started."""


@dataclass(frozen=True, slots=True)
class Entered:
    """The worker begins a stage with the request's module number ``module`` (verify: reference, candidate)."""

    stage: Stage
    module: int = 0


@dataclass(frozen=True, slots=True)
class Built:
    """The module is built and kept."""


@dataclass(frozen=True, slots=True)
class TimedReply:
    """Latencies in microseconds.

    For one module: a single tuple of its repeats, with one slowdown. For several in turn: a tuple for each round, with
    one latency for each module, which is corrected already; its slowdown is the largest of theirs.
    """

    runs_us: tuple[tuple[float, ...], ...]
    slowdowns: tuple[float, ...]
    """How much longer than on the quiet machine, as far as that is certain; at least 1."""
    disturbed: int
    """Timings that another load disturbed, in spite of waiting."""
    seconds_waiting: float
    quiet_us: float
    """What the reference kernel takes on the quiet machine as far as the worker knows."""
    references_us: tuple[float, ...]
    """What it took beside each timing, see :attr:`~colt.tvm.workers.timing.Timing.reference_us`."""
    dropped: bool = False
    """A single module that was not repeated, since it is far slower than the best."""
    host: str = ""
    """The address of the board that ran the modules."""


@dataclass(frozen=True, slots=True)
class Gauged:
    """What the reference kernel takes in a moment of quiet, and where that is: the address of a board."""

    reference_us: float
    host: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """Whether an untuned program computes anything finite, and whether its floats have to be positive for that."""

    finite: bool
    positive: bool


@dataclass(frozen=True, slots=True)
class ClockedReply:
    """What the clocks of a program have counted in one run, on average: cycles, by part."""

    cycles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class VerifiedReply:
    """A :class:`~colt.measure.base.Verification` on the wire; an error that is ``None`` stands for infinite, but
    ``untuned_error`` for none."""

    ok: bool
    max_abs_error: float | None
    max_rel_error: float | None
    tolerance: float
    message: str
    untuned_error: float | None = None


@dataclass(frozen=True, slots=True)
class ExportedReply:
    """The library is written."""


@dataclass(frozen=True, slots=True)
class FailedReply:
    """An exception ended the request, in the stage entered last."""

    message: str


@dataclass(frozen=True, slots=True)
class Crashed:
    """The module has ended the process on the board that ran it, twice."""

    message: str


@dataclass(frozen=True, slots=True)
class LostReply:
    """There is no board to run the module on."""

    message: str


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that the user should know; the answer follows."""

    message: str


Reply = (
    Ready
    | Entered
    | Built
    | Gauged
    | Settled
    | TimedReply
    | ClockedReply
    | VerifiedReply
    | ExportedReply
    | FailedReply
    | Crashed
    | LostReply
    | Remark
)


class Request(Protocol):
    """A pickled dataclass; it knows what answers it and how many stages the worker may go through on the way."""

    @property
    def most_stages(self) -> int: ...

    def answered_by(self, reply: Reply) -> bool: ...


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """Build a module and keep it for later requests about it."""

    module: IRModule
    library: bytes | None = None
    """What another machine has built of it: it is loaded and kept."""

    @property
    def most_stages(self) -> int:
        return 4

    def answered_by(self, reply: Reply) -> bool:
        return isinstance(reply, Built)


@dataclass(frozen=True, slots=True)
class MeasureRequest:
    """Time one module, and build it before if it is not kept; answered by its repeats."""

    module: IRModule
    best_us: float | None
    quiet_us: float | None
    limits: Limits
    drawing: Drawing | None = None
    """How the untuned program's inputs come about; derived from the module itself if it is not known."""

    @property
    def most_stages(self) -> int:
        return 16

    def answered_by(self, reply: Reply) -> bool:
        return isinstance(reply, TimedReply) and _lengths(reply) == (1, 1, 1)


@dataclass(frozen=True, slots=True)
class GaugeRequest:
    """Connect, and find out what the reference kernel takes there."""

    @property
    def most_stages(self) -> int:
        return 4

    def answered_by(self, reply: Reply) -> bool:
        return isinstance(reply, Gauged)


@dataclass(frozen=True, slots=True)
class SettleRequest:
    """Run an untuned program and see whether it can do anything with the inputs."""

    reference: IRModule
    drawing: Drawing

    @property
    def most_stages(self) -> int:
        return 16

    def answered_by(self, reply: Reply) -> bool:
        return isinstance(reply, Settled)


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """Run both on the same inputs and compare."""

    reference: IRModule
    candidate: IRModule
    drawing: Drawing

    @property
    def most_stages(self) -> int:
        return 256

    def answered_by(self, reply: Reply) -> bool:
        return isinstance(reply, VerifiedReply)


@dataclass(frozen=True, slots=True)
class InterleaveRequest:
    """Time the modules in turn; answered by ``rounds`` rounds of a latency for each."""

    modules: tuple[IRModule, ...]
    rounds: int
    quiet_us: float | None
    limits: Limits
    drawing: Drawing | None = None
    """As those of a :class:`MeasureRequest`; if not known, derived from the first module."""

    @property
    def most_stages(self) -> int:
        return 2 * self.rounds * (len(self.modules) + 2) + 4 * len(self.modules) + 4

    def answered_by(self, reply: Reply) -> bool:
        return (
            isinstance(reply, TimedReply)
            and [len(latencies) for latencies in reply.runs_us] == [len(self.modules)] * self.rounds
            and _lengths(reply) == (self.rounds,) * 3
        )


@dataclass(frozen=True, slots=True)
class ClockRequest:
    """Run a program with clocks (:mod:`~colt.tvm.workers.clocks`); answered by what the first ``parts`` of them have
    counted."""

    module: IRModule
    parts: int
    drawing: Drawing
    apart_bytes: int | None = None

    @property
    def most_stages(self) -> int:
        return 8

    def answered_by(self, reply: Reply) -> bool:
        return isinstance(reply, ClockedReply) and len(reply.cycles) == self.parts


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Write a shared library to ``path``."""

    module: IRModule
    path: str
    timed: bool = False
    """Whether as it is timed, for :attr:`BuildRequest.library` on another machine."""

    @property
    def most_stages(self) -> int:
        return 4

    def answered_by(self, reply: Reply) -> bool:
        return isinstance(reply, ExportedReply)


def _lengths(reply: TimedReply) -> tuple[int, int, int]:
    return len(reply.runs_us), len(reply.slowdowns), len(reply.references_us)
