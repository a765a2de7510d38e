"""What the supervisor asks of the worker, and what the worker can say: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from colt.tvm.measure.types import Limits

if TYPE_CHECKING:
    from tvm import IRModule


class Stage(StrEnum):
    """What the worker is at; each has its own time limit."""

    PREPARING = "preparing"
    BUILDING = "building"
    RUNNING = "running"  # for the first time
    TIMING = "timing"  # repeated runs
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
class Timed:
    """Latencies in microseconds: of each repeat, for each module of the request."""

    runs_us: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """A :class:`~colt.tvm.measure.types.Verification` on the wire; ``None`` stands for infinite."""

    ok: bool
    max_abs_error: float | None
    max_rel_error: float | None
    tolerance: float
    message: str


@dataclass(frozen=True, slots=True)
class Exported:
    """The library is written."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An exception ended the request, in the stage entered last."""

    message: str


Reply = Ready | Entered | Timed | Verified | Exported | Failed


class Request(Protocol):
    """A pickled dataclass; it knows what answers it and how many stages the worker may go through on the way."""

    @property
    def most_stages(self) -> int: ...

    def answered_by(self, reply: Reply) -> bool: ...


@dataclass(frozen=True, slots=True)
class MeasureRequest:
    """Build and time one module; answered by its repeats."""

    module: IRModule
    best_us: float | None
    limits: Limits

    @property
    def most_stages(self) -> int:
        return 8

    def answered_by(self, reply: Reply) -> bool:
        return isinstance(reply, Timed) and len(reply.runs_us) == 1


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """Run both on the same inputs and compare."""

    reference: IRModule
    candidate: IRModule
    seed: int

    @property
    def most_stages(self) -> int:
        return 16

    def answered_by(self, reply: Reply) -> bool:
        return isinstance(reply, Verified)


@dataclass(frozen=True, slots=True)
class InterleaveRequest:
    """Time the modules in turn; answered by ``rounds`` latencies for each."""

    modules: tuple[IRModule, ...]
    rounds: int
    limits: Limits

    @property
    def most_stages(self) -> int:
        return len(self.modules) * (self.rounds + 4) + 4

    def answered_by(self, reply: Reply) -> bool:
        return isinstance(reply, Timed) and [len(r) for r in reply.runs_us] == [self.rounds] * len(self.modules)


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Write a shared library to ``path``."""

    module: IRModule
    path: str

    @property
    def most_stages(self) -> int:
        return 4

    def answered_by(self, reply: Reply) -> bool:
        return isinstance(reply, Exported)
