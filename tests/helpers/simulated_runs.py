"""Whole runs in which everything is real but the hardware: the measurer is handed in.

This is the one place that knows how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

import colt
from colt.measure.base import Limits, Measurer, Verification
from colt.measure.simulated import SimulatedMeasurer
from colt.proposers import openings
from colt.proposers.experts import architect
from colt.run import context
from colt.run.finish import Result
from colt.tvm.programs.program import fingerprint

WRONG = Verification(False, 1.0, 1.0, 1e-4, "it differs")


def simulated(**options: Any) -> SimulatedMeasurer:
    """A measurer that makes latencies up, always the same for the same program; the untuned one is slowest by far."""
    return SimulatedMeasurer(fingerprint, **options)


@contextmanager
def measured_by(measurer: Measurer) -> Iterator[None]:
    """Runs of this process ask that measurer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "LocalMeasurer", lambda *_, **__: measurer)
        yield


def think_less(patch: pytest.MonkeyPatch) -> None:
    """Have the architect, who feeds every run with language models, be content with what it finds soon.

    Its thinking would take most of the time of runs that are not about it. A replay must think as its run did.
    """
    patch.setattr(architect, "OPENING_PREDICTIONS", 60)
    patch.setattr(architect, "PROPOSAL_PREDICTIONS", 20)
    patch.setattr(openings, "CONSTRUCTED", 1)
    patch.setattr(openings, "SAMPLED", 12)


def tune_simulated(program: Any, measurer: Measurer | None = None, **options: Any) -> Result:
    """``colt.tune`` with that measurer, or one that makes latencies up.

    A few trials by the quicker experts, unless ``options`` say something else.
    """
    settings = {"trials": 6, "pool": ["scout", "tuner"], "config": colt.SearchConfig(batch_size=3)}
    with measured_by(measurer or simulated()):
        return colt.tune(program, **settings | options)


class Watched(SimulatedMeasurer):
    """Notes what is verified and timed in turn, in order; says which candidates are wrong.

    ``right`` is told how many candidates were judged before, and says whether the next is right. ``in_turn`` are the
    latencies of the final comparison: of the tuned program, and of the untuned one.
    """

    def __init__(
        self,
        right: Callable[[int], bool] = lambda index: True,
        in_turn: tuple[Sequence[float], Sequence[float]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(fingerprint, **options)
        self.calls: list[str] = []
        self.right: list[Any] = []
        self.wrong: list[Any] = []
        self.timed: list[Any] = []
        self._is_right = right
        self._in_turn = in_turn

    def verify(self, reference: Any, candidate: Any, seed: int = 0, limits: Limits | None = None) -> Verification:
        self.calls.append("verify")
        right = self._is_right(len(self.right) + len(self.wrong))
        (self.right if right else self.wrong).append(candidate)
        return super().verify(reference, candidate, seed, limits) if right else WRONG

    def interleave(self, modules: Sequence[Any], rounds: int, limits: Limits | None = None) -> list[list[float]]:
        self.calls.append("interleave")
        self.timed.extend(modules)
        if self._in_turn is not None and len(modules) == 3 and fingerprint(modules[0]) == fingerprint(modules[2]):
            tuned, untuned = self._in_turn
            return [list(tuned), list(untuned), list(tuned)]
        return super().interleave(modules, rounds, limits)
