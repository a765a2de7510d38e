"""Candidates are compared with the untuned program, in turn or, where many are waiting, by all workers at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue

import tvm_ffi

from colt.errors import MeasureError
from colt.measure.base import INPUTS_TO_BLAME, Inputs, Limits, Pair, Verification
from colt.tvm.workers.builds import Builds
from colt.tvm.workers.conversation import Exchange
from colt.tvm.workers.drawings import Drawings
from colt.tvm.workers.messages import Request, Stage, VerifiedReply, VerifyRequest
from colt.tvm.workers.pool import WorkerPool, allowed, taken_from

_REFERENCE = 0
"""The place of the untuned program among those of a request."""


class Comparisons:
    """How comparing went of pairs that were not asked for yet: an answer is given once."""

    def __init__(self, pool: WorkerPool, builds: Builds, drawings: Drawings) -> None:
        self._pool = pool
        self._builds = builds
        self._drawings = drawings
        self._foreseen: dict[tuple[int, int, int, int], Exchange] = {}

    def verified(self, pair: Pair, ask: Callable[[VerifyRequest], Exchange]) -> Verification:
        """Whether the pair computes the same, by whomever ``ask`` asks unless it was foreseen. Raises
        :class:`MeasureError` if the untuned program gives nothing to compare with."""
        outcome = self._foreseen.pop(_key(pair), None) or ask(self._request(pair))
        if isinstance(outcome.reply, VerifiedReply):
            found = outcome.reply
            return Verification(
                ok=found.ok,
                max_abs_error=math.inf if found.max_abs_error is None else found.max_abs_error,
                max_rel_error=math.inf if found.max_rel_error is None else found.max_rel_error,
                tolerance=found.tolerance,
                message=found.message,
                untuned_error=found.untuned_error,
            )
        if outcome.stage is None or outcome.module == _REFERENCE:
            blamed = f"; {INPUTS_TO_BLAME}" if outcome.stage is Stage.RUNNING else ""
            raise MeasureError(f"the untuned program gives nothing to verify with: {outcome.describe()}{blamed}")
        return Verification(False, math.inf, math.inf, 0.0, outcome.describe())

    def foresee(self, pairs: Iterable[Pair], limits: Limits) -> list[Exchange]:
        """Compare by all workers: all candidates of a reference by one, which keeps what that computes, and the kernels
        for when they are timed. Returns what they were asked, for the accounts."""
        of_reference: dict[int, list[Pair]] = {}
        for pair in pairs:
            if _key(pair) not in self._foreseen:
                of_reference.setdefault(int(tvm_ffi.structural_hash(pair.reference)), []).append(pair)
        waiting: SimpleQueue[Sequence[Pair]] = SimpleQueue()
        for group in of_reference.values():
            waiting.put(group)
        asked: list[Exchange] = []
        self._pool.share(partial(self._foresee_waiting, limits=limits, asked=asked), waiting)
        return asked

    def _foresee_waiting(
        self, number: int, waiting: SimpleQueue[Sequence[Pair]], limits: Limits, asked: list[Exchange]
    ) -> None:
        """One worker's share of comparing; in a thread."""
        seconds = allowed(limits, first_run=limits.reference_seconds)

        def ask(request: Request) -> Exchange:
            asked.append(self._pool.ask(number, request, seconds))
            return asked[-1]

        for group in taken_from(waiting):
            for pair in group:
                with suppress(MeasureError):  # the same will be said when it is asked for
                    self._drawings.settled(Inputs(pair.reference, pair.seed, pair.given), ask)
                self._foreseen[_key(pair)] = ask(self._request(pair))
                for module in (pair.reference, pair.candidate):
                    self._builds.note(module, number)

    def _request(self, pair: Pair) -> VerifyRequest:
        drawing = self._drawings.unsettled(Inputs(pair.reference, pair.seed, pair.given))
        return VerifyRequest(pair.reference, pair.candidate, drawing)


def _key(pair: Pair) -> tuple[int, int, int, int]:
    reference, candidate = (int(tvm_ffi.structural_hash(module)) for module in (pair.reference, pair.candidate))
    return reference, candidate, pair.seed, id(pair.given)
