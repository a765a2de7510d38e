"""Whole runs in which everything is real but the hardware: the measurer is handed in.

This is the one place that knows how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import colt
from colt.machine import Hardware, Peaks, detect
from colt.measure.base import Inputs, Limits, Measurer, Verification
from colt.measure.simulated import SimulatedMeasurer
from colt.plan import plan
from colt.run.finish import Result
from colt.run.loop import run
from colt.tvm.devices.cpu import CpuDevice
from colt.tvm.programs.program import fingerprint
from colt.world.parts import current, using

WRONG = Verification(False, 1.0, 1.0, 1e-4, "it differs")


def simulated(**options: Any) -> SimulatedMeasurer:
    """A measurer that makes latencies up, always the same for the same program; the untuned one is slowest by far."""
    return SimulatedMeasurer(fingerprint, **options)


@contextmanager
def measured_by(measurer: Measurer) -> Iterator[None]:
    """Runs of this process ask that measurer."""
    with using(replace(current(), measurer=lambda limits, peak_gflops: measurer)):
        yield


THINK_LESS = {"constructed": 1, "sampled": 12}
"""Settings of runs that are not about openings, which take most of their time."""


@dataclass(frozen=True)
class StatedCpu(CpuDevice):
    """This machine with stated peaks: they are not measured, ``again`` is what measuring again gives, none are kept."""

    peaks: Peaks = field(default_factory=Peaks)
    again: Peaks | None = None

    def look(self) -> tuple[Hardware, tuple[str, ...]]:
        return replace(detect(), peaks=self.peaks), ()

    def look_again(self, hardware: Hardware) -> tuple[Hardware, tuple[str, ...]]:
        return replace(hardware, peaks=self.again or hardware.peaks), ()

    def keep_peaks(self, hardware: Hardware, peaks: Peaks) -> None:
        pass


def tune_simulated(
    program: Any,
    measurer: Measurer | None = None,
    peaks: Peaks | None = None,
    again: Peaks | None = None,
    **options: Any,
) -> Result:
    """``colt.tune`` with that measurer, or one that makes latencies up, and with stated ``peaks``, if they are given.

    A few trials by the quicker experts, unless ``options`` say something else.
    """
    settings = {"trials": 6, "pool": ["scout", "tuner"], "config": colt.SearchConfig(batch_size=3, **THINK_LESS)}
    made = plan(program, **settings | options)
    if peaks is not None:
        made = replace(made, device=StatedCpu(made.target, made.threads, peaks, again))
    with measured_by(measurer or simulated()):
        (result,) = run(made, made.options.on_event)
    return result


def whole_run(folder: Path, trials: int) -> Path:
    """The directory of a run that came to its end, on a program of its own beside it."""
    from tests.conftest import OWN_PROGRAM

    (folder / "own.py").write_text(OWN_PROGRAM)
    tune_simulated(f"{folder}/own.py:layer", trials=trials, run_dir=folder / "run")
    return folder / "run"


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

    def verify(
        self, reference: Any, candidate: Any, seed: int = 0, limits: Limits | None = None, given: Any = None
    ) -> Verification:
        self.calls.append("verify")
        right = self._is_right(len(self.right) + len(self.wrong))
        (self.right if right else self.wrong).append(candidate)
        return super().verify(reference, candidate, seed, limits, given) if right else WRONG

    def interleave(
        self, modules: Sequence[Any], rounds: int, limits: Limits | None = None, inputs: Inputs | None = None
    ) -> list[list[float]]:
        self.calls.append("interleave")
        self.timed.extend(modules)
        if self._in_turn is not None and len(modules) == 3 and fingerprint(modules[0]) == fingerprint(modules[2]):
            tuned, untuned = self._in_turn
            return [list(tuned), list(untuned), list(tuned)]
        return super().interleave(modules, rounds, limits, inputs)
