"""Keeps one worker at hand: starts it, hands requests over, and replaces it when a candidate breaks it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from time import monotonic

from tvm.target import Target

from colt.errors import MeasureError
from colt.measure.base import Limits
from colt.tvm.workers.board import BoardLost
from colt.tvm.workers.conversation import Exchange, converse
from colt.tvm.workers.messages import Away, Ready, Request, Stage
from colt.tvm.workers.process import WorkerDied, WorkerLate, WorkerProcess
from colt.tvm.workers.wire import WireError

_HANDOVERS = 2  # a worker that is gone before it takes a request up did not die of that request


class Supervisor:
    """For one thread at a time, except for :meth:`interrupt`. The constructor does not wait for the worker."""

    def __init__(self, target: Target, threads: int, limits: Limits, away: Away | None = None) -> None:
        self.restarts = 0
        """Workers started beyond the first."""
        self._target = target
        self._threads = threads
        self._limits = limits
        self._away = away
        self._closed = False
        self._start()

    @property
    def pid(self) -> int:
        """The present worker's process id."""
        return self._worker.pid

    def request(self, request: Request, allowed: Mapping[Stage, float]) -> Exchange:
        """Have the worker answer, each stage within ``allowed`` seconds; replace it if it died, hung, or talked
        nonsense, or if we are interrupted.

        Raises
        ------
        MeasureError
            No worker starts.
        BoardLost
            There is no board to run on.
        """
        payload = pickle.dumps((request, dict(allowed)))
        for _ in range(_HANDOVERS):
            self.await_ready()
            try:
                outcome = converse(self._worker, request, payload, allowed)
            except BaseException:  # the answer to this request would be taken for that to the next
                self.restart()
                raise
            if not outcome.worker_usable:
                self.restart()
            if outcome.board_lost:
                raise BoardLost(outcome.message, outcome.begun)
            if outcome.stage is not None:
                break
        return outcome

    def await_ready(self) -> None:
        """Have a worker that is ready. Raises :class:`MeasureError` when several in a row do not get there."""
        self._require_open()
        failures = 0
        while not self._ready:
            trouble = self._greeting()
            if trouble:
                failures += 1
                self.restart()
            if failures >= self._limits.start_attempts:
                raise MeasureError(f"the measuring worker does not start, tried {failures} times: {trouble}")

    def restart(self) -> None:
        """Replace the worker, whatever it is at. Raises :class:`MeasureError` if that is over for good."""
        self._worker.kill()
        self._require_open()
        self.restarts += 1
        self._start()

    def interrupt(self, for_good: bool = False) -> None:
        """End what another thread has the worker do: its request ends as if the worker had crashed.

        ``for_good``: no other worker is started, and the request raises :class:`MeasureError`.
        """
        self._closed = self._closed or for_good
        self._worker.stop()

    def close(self) -> None:
        """End the worker at once, since it holds nothing worth saving. May be repeated."""
        self._closed = True
        self._worker.kill()

    def _require_open(self) -> None:
        if self._closed:
            raise MeasureError("the measurer is closed")

    def _start(self) -> None:
        self._worker = WorkerProcess(self._target, self._threads, self._limits, self._away)
        self._started = monotonic()
        self._ready = False

    def _greeting(self) -> str:
        """Wait for the ready message; what went wrong instead, or nothing."""
        try:
            reply = self._worker.receive(self._started + self._limits.start_seconds)
        except WorkerLate:
            return f"not ready after {self._limits.start_seconds:g} s\n{self._worker.last_words()}".strip()
        except (WorkerDied, WireError) as error:
            return str(error)
        self._ready = isinstance(reply, Ready)
        return "" if self._ready else f"its first message is {reply}"
