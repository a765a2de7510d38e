"""The end of a run.

verify     the leaders compute what the untuned program computes, or make room for the next          leaders.py
rank       the correct ones are timed in turn with each other
compare    the fastest is timed in turn with the untuned program, anew, so that it was not picked    comparison.py
           for the very figures that it is judged by
keep       the winner, if its median is better; whether it may be called faster is the verdict
export     the kernel, and the receipt                                                               accounts.py
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colt import events
from colt.measure.base import ExportError
from colt.run.compare import ONCE_SECONDS, Comparison, compare, rank_in_turn
from colt.run.receipt import make_receipt
from colt.run.verify import correct_leaders
from colt.search.types import Trial
from colt.store.directory import KERNEL, KERNEL_OBJECTS, RECEIPT, WINNER
from colt.store.receipt import BestPart, Receipt, Verdict
from colt.tvm.devices.host import architecture_of, is_foreign
from colt.tvm.programs.export import export_module, save_module
from colt.util.stats import Estimate
from colt.views.describe import speedup_text

if TYPE_CHECKING:
    from colt.run.context import Run


@dataclass(frozen=True, slots=True)
class Result:
    """What a run found. ``module`` is the tuned program, or the untuned one if that has the better median."""

    receipt: Receipt
    module: Any
    target: Any
    threads: int
    run_dir: Path | None

    @property
    def best(self) -> BestPart | None:
        """The winner; ``None`` if nothing verified had a better median than the untuned program."""
        return self.receipt.best

    @property
    def speedup(self) -> float:
        """Over the untuned program; 1 if that is kept. Only :attr:`verdict` says whether it is significant."""
        return self.receipt.speedup

    @property
    def speedup_interval(self) -> tuple[float, float] | None:
        """95 %; ``None`` if the untuned program is kept or was timed only once."""
        return self.receipt.speedup_interval

    @property
    def verdict(self) -> Verdict:
        """Whether the fastest schedule is significantly faster than the untuned program; a text."""
        return self.receipt.verdict or Verdict.NOT_COMPARED

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
    """The fastest correct leader, with a better median than the untuned program."""

    trial: Trial
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Decision:
    """What the end of a run finds; ``untuned`` in microseconds, ``comparison`` ``None`` if no trial was correct."""

    untuned: Estimate
    comparison: Comparison | None = None
    winner: Winner | None = None


def finish(session: Run, baseline_us: float, stop_reason: str) -> Result:
    """Verify, rank, compare, keep, export, and write the receipt."""
    session.emit(events.Began("verifying the leaders and timing the fastest in turn with the untuned program"))
    with session.watch("verifying"):
        outcome = decide(session, baseline_us)
    session.ceiling.admit(min(part.median for part in _latencies(outcome)))
    winner = outcome.winner
    module = session.plan.program.module if winner is None else session.space.module(winner.trial.schedule)
    if session.directory is not None:
        session.directory.write(WINNER, save_module(module))
        with session.watch("exporting"):
            _export(session, module, session.directory.path)
    if session.consulting is not None:
        session.consulting.hang_up()
    receipt = make_receipt(session, outcome, stop_reason)
    if session.directory is not None:
        session.directory.write(RECEIPT, receipt.to_json())
    run_dir = session.directory.path if session.directory else None
    return Result(receipt, module, session.plan.target, session.plan.threads, run_dir)


def decide(session: Run, baseline_us: float) -> Decision:
    """Who wins. ``baseline_us`` is the untuned program's latency as it was measured at the start."""
    leaders = correct_leaders(session)
    if not leaders:
        return Decision(Estimate(baseline_us, None, 1))
    tuned_us, trial = fastest(session, leaders)
    untuned, tuned = session.plan.program.module, session.space.module(trial.schedule)
    found = compare(session.measurer, untuned, tuned, baseline_us, tuned_us)
    winner = Winner(trial, found) if found.speedup.median > 1.0 else None
    _explain(session, found, winner)
    return Decision(found.untuned, found, winner)


def fastest(session: Run, leaders: list[tuple[float, Trial]]) -> tuple[float, Trial]:
    """Time the leaders in turn with each other; the one with the best median, and that, in microseconds."""
    modules = [session.space.module(trial.schedule) for _, trial in leaders]
    medians = rank_in_turn(session.measurer, modules, [us for us, _ in leaders])
    trials = [trial for _, trial in leaders]
    return min(zip(medians, trials, strict=True), key=lambda pair: (pair[0], pair[1].id))


def _explain(session: Run, found: Comparison, winner: Winner | None) -> None:
    """Say what a figure alone would not."""
    interval = found.speedup.interval
    text = speedup_text(found.speedup.median, None if interval is None else (interval.low, interval.high))
    if found.verdict is Verdict.UNDECIDED:
        session.note(
            f"the untuned program takes {found.untuned.median / 1e6:.0f} s, more than {ONCE_SECONDS:g}, "
            "and is timed in turn only once: the speed-up has no interval"
        )
    if winner is None:
        session.note(f"no schedule is faster than the untuned program, which is kept; the fastest reaches {text}")
    elif found.verdict is Verdict.NO_DIFFERENCE:
        session.note(f"the winner is kept, but is not significantly faster than the untuned program: {text}")


def _latencies(outcome: Decision) -> list[Estimate]:
    compared = outcome.comparison
    return [outcome.untuned] if compared is None else [compared.untuned, compared.tuned]


def _export(session: Run, module: Any, folder: Path) -> None:
    target = session.plan.target
    name = KERNEL_OBJECTS if is_foreign(target) else KERNEL
    try:
        session.measurer.export(module, folder / name)
    except ExportError as error:
        session.note(f"no {name}: {error}")
        return
    if name == KERNEL_OBJECTS:
        session.note(f"{name}, not {KERNEL}: {architecture_of(target)} is not linked here but where TVM loads it")
