"""The end of a run: leaders timed in turn, the winner verified and exported, the receipt written (``accounts.py``)."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colt import events
from colt.accounts import make_receipt
from colt.runs.directory import KERNEL, RECEIPT, WINNER
from colt.runs.receipt import BestPart, Receipt
from colt.search.types import Fate, Trial, TrialResult
from colt.tvm.export import export_module, save_module
from colt.tvm.measure import ExportError, Limits, Verification

if TYPE_CHECKING:
    from colt.session import Session

LEADERS = 5
"""Schedules that are timed in turn at the end."""
ROUNDS_OF_LEADERS = 3
"""How often the next leaders get a chance when none of the first is correct."""
FINAL_LIMITS = Limits(min_repeat_ms=20.0)
"""Of the final timing."""
FINAL_SECONDS = 2.0
"""About how long the final timing takes."""
SLOW_BASELINE_US = 1e5
"""An untuned program that is slower is not timed again."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run found. ``module`` is the tuned program, or the untuned one if nothing was faster."""

    receipt: Receipt
    module: Any
    target: Any
    threads: int
    run_dir: Path | None

    @property
    def best(self) -> BestPart | None:
        """The winner; ``None`` if nothing verified was faster than the untuned program."""
        return self.receipt.best

    @property
    def speedup(self) -> float:
        """Over the untuned program; 1 if nothing was faster."""
        return self.receipt.speedup

    def export(self, path: str | Path) -> Path:
        """Write the tuned kernel as a shared library.

        Raises
        ------
        ExportError
            No C compiler is found, or building or linking fails.
        """
        return export_module(self.module, self.target, self.threads, Path(path))


@dataclass(frozen=True, slots=True)
class Winner:
    """The fastest leader that computes the right thing, with its final latency."""

    trial: Trial
    latency_us: float
    verification: Verification


def finish(session: Session, baseline_us: float, stop_reason: str) -> Result:
    """Decide, verify, export, and write the receipt."""
    session.emit(events.Began("timing the leaders in turn and verifying the winner"))
    with session.watch("verifying"):
        winner, baseline_us = find_winner(session, baseline_us)
    faster = winner is not None and winner.latency_us < baseline_us
    module = session.space.module(winner.trial.schedule) if winner and faster else session.plan.program.module
    if winner is not None and not faster:
        session.note("no schedule was faster than the untuned program, which is kept")
    if session.directory is not None:
        session.directory.write(WINNER, save_module(module))
        with session.watch("exporting"):
            _export(session, module, session.directory.path / KERNEL)
    receipt = make_receipt(session, winner if faster else None, baseline_us, stop_reason)
    if session.directory is not None:
        session.directory.write(RECEIPT, receipt.to_json())
    run_dir = session.directory.path if session.directory else None
    return Result(receipt, module, session.plan.target, session.plan.threads, run_dir)


def find_winner(session: Session, baseline_us: float) -> tuple[Winner | None, float]:
    """Time leaders and untuned program in turn; the fastest that is verified, and the untuned program's latency.

    A leader that computes something else is marked as wrong, and the next one gets its chance.
    """
    for _ in range(ROUNDS_OF_LEADERS):
        ranked = session.search.trials.ranked()[:LEADERS]
        if not ranked:
            break
        timed, baseline_us = time_in_turn(session, ranked, baseline_us)
        for latency_us, trial in timed:
            module = session.space.module(trial.schedule)
            verification = session.measurer.verify(session.plan.program.module, module, seed=session.plan.seed)
            if verification.ok:
                return Winner(trial, latency_us, verification), baseline_us
            session.note(f"trial {trial.id} by {trial.proposed_by} computes something else: {verification.message}")
            session.search.tell([TrialResult(trial.id, Fate.WRONG, None, math.inf, verification.message)])
    return None, baseline_us


def time_in_turn(
    session: Session, leaders: list[tuple[float, Trial]], baseline_us: float
) -> tuple[list[tuple[float, Trial]], float]:
    """The leaders with their medians, fastest first, and the untuned program's (as it was, if that is slow)."""
    modules = [session.space.module(trial.schedule) for _, trial in leaders]
    with_baseline = baseline_us < SLOW_BASELINE_US
    if with_baseline:
        modules.append(session.plan.program.module)
    shortest_us = FINAL_LIMITS.min_repeat_ms * 1e3
    round_us = sum(max(us, shortest_us) for us, _ in leaders) + (baseline_us if with_baseline else 0.0)
    rounds = max(3, min(10, int(FINAL_SECONDS * 1e6 / round_us)))
    medians = [statistics.median(times) for times in session.measurer.interleave(modules, rounds, FINAL_LIMITS)]
    if with_baseline:
        baseline_us = medians.pop()
    trials = [trial for _, trial in leaders]
    return sorted(zip(medians, trials, strict=True), key=lambda pair: (pair[0], pair[1].id)), baseline_us


def _export(session: Session, module: Any, path: Path) -> None:
    try:
        session.measurer.export(module, path)
    except ExportError as error:
        session.note(f"no {KERNEL}: {error}")
