"""One request to a worker, from sending it to whatever ends it: an answer, an exception, a death, a deadline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic

from colt.measure.base import Fate
from colt.tvm.workers.messages import Crashed, Entered, FailedReply, LostReply, Remark, Reply, Request, Stage
from colt.tvm.workers.process import WorkerDied, WorkerLate, WorkerProcess
from colt.tvm.workers.wire import WireError
from colt.util.text import why

_TAKE_UP_SECONDS = 60.0
_TRIES = 2  # a request whose connection to a board breaks is begun again


@dataclass(slots=True)
class Exchange:
    """How a request ended: with ``reply``, or with a ``fate`` other than OK and a ``message`` that says why."""

    reply: Reply | None = None
    fate: Fate = Fate.OK
    message: str = ""
    stage: Stage | None = None
    """The last stage entered; ``None`` if the worker never took the request up."""
    module: int = 0
    worker_usable: bool = True
    board_lost: bool = False
    """The board on which kernels run is not to be had; ``message`` says why, and there is no fate."""
    remarks: list[str] = field(default_factory=list)
    """What the user should know."""
    seconds: dict[Stage, float] = field(default_factory=lambda: dict.fromkeys(Stage, 0.0))

    @property
    def seconds_building(self) -> float:
        """Spent compiling and linking."""
        return self.seconds[Stage.BUILDING] + self.seconds[Stage.LINKING]

    @property
    def seconds_timing(self) -> float:
        """Spent running kernels."""
        return self.seconds[Stage.RUNNING] + self.seconds[Stage.TIMING]

    @property
    def begun(self) -> bool:
        """Whether a kernel ran, for however long."""
        return self.seconds_timing > 0

    def describe(self) -> str:
        """Fate, stage and message of a failure, for an error's text."""
        return f"{self.fate} while {self.stage or 'being handed over'}: {self.message}"

    def fail(self, fate: Fate, message: str, worker_usable: bool) -> None:
        """Note a failure."""
        self.fate, self.message, self.worker_usable = fate, message, worker_usable

    def lose_board(self, message: str, worker_usable: bool) -> None:
        """Note that there is no board."""
        self.board_lost, self.message, self.worker_usable = True, message, worker_usable


def converse(worker: WorkerProcess, request: Request, payload: bytes, allowed: Mapping[Stage, float]) -> Exchange:
    """Send ``payload``, the pickled ``request``, and listen. ``allowed`` is how many seconds each stage may take.

    Exceptions other than the worker's leave the worker in the midst of it: replace it then.
    """
    outcome = Exchange()
    entered = monotonic()
    deadline = entered + _TAKE_UP_SECONDS
    try:
        worker.send(payload, deadline)
        for _ in range(_TRIES * request.most_stages + 1):
            reply = worker.receive(deadline)
            if isinstance(reply, Remark):
                outcome.remarks.append(reply.message)
                continue
            now = monotonic()
            _account(outcome, now - entered)
            if not isinstance(reply, Entered):
                _conclude(outcome, request, reply)
                return outcome
            outcome.stage, outcome.module = reply.stage, reply.module
            entered, deadline = now, now + allowed[reply.stage]
        raise WireError(f"more than {_TRIES * request.most_stages} stages")
    except WorkerLate:
        _account(outcome, monotonic() - entered)
        late = f"not done {outcome.stage} after {deadline - entered:g} s"
        if outcome.stage is Stage.CONNECTING:
            outcome.lose_board(f"the board is {late}", worker_usable=False)
            return outcome
        fate = Fate.BUILD_TIMEOUT if outcome.stage in (Stage.BUILDING, Stage.LINKING) else Fate.RUN_TIMEOUT
        outcome.fail(fate, late, worker_usable=False)
    except WorkerDied as death:
        _account(outcome, monotonic() - entered)
        # LLVM ends the process where it can build nothing for a target: no kernel has crashed then
        building = outcome.stage in (Stage.BUILDING, Stage.LINKING) and not death.killed
        fate = Fate.BUILD_ERROR if building else Fate.CRASH
        outcome.fail(fate, f"{death}", worker_usable=False)
    except WireError as error:
        outcome.fail(Fate.CRASH, f"the worker answered nonsense: {why(error)}", worker_usable=False)
    return outcome


def _account(outcome: Exchange, seconds: float) -> None:
    if outcome.stage is not None:
        outcome.seconds[outcome.stage] += seconds


def _conclude(outcome: Exchange, request: Request, reply: Reply) -> None:
    if isinstance(reply, FailedReply):
        fate = Fate.BUILD_ERROR if outcome.stage in (Stage.BUILDING, Stage.LINKING) else Fate.RUN_ERROR
        outcome.fail(fate, reply.message, worker_usable=True)
    elif isinstance(reply, Crashed):
        outcome.fail(Fate.CRASH, reply.message, worker_usable=True)
    elif isinstance(reply, LostReply):
        outcome.lose_board(reply.message, worker_usable=True)
    elif request.answered_by(reply):
        outcome.reply = reply
    else:
        raise WireError(f"{type(reply).__name__} is no answer to this request")
