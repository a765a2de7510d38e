"""The end of a run: leaders timed in turn, the winner verified and exported, the receipt written."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colt import __version__, events
from colt.hardware import Hardware, forget, roofline_share
from colt.knobs import Edit, Jump, Transformation, describe_transformation
from colt.runs.directory import KERNEL, RECEIPT, WINNER
from colt.runs.receipt import (
    SCHEMA,
    BestPart,
    HardwarePart,
    LatencyPart,
    PoolMember,
    ProposerPart,
    Receipt,
    ScorerPart,
    SpacePart,
    TensorShape,
    TrialsPart,
    VerifiedPart,
    WorkloadPart,
)
from colt.search.types import Fate, Trial, TrialResult
from colt.session import Plan, fate_counts
from colt.tvm.export import export_module, save_module
from colt.tvm.measure import ExportError, Limits, Verification
from colt.tvm.peaks import hardware_with_peaks

if TYPE_CHECKING:
    from colt.session import Session

LEADERS = 6
"""Schedules that are timed in turn at the end."""
ROUNDS_OF_LEADERS = 3
"""How often the next leaders get a chance when none of the first is correct."""
FINAL_LIMITS = Limits(min_repeat_ms=20.0)
"""Of the final timing."""
FINAL_SECONDS = 2.0
"""About how long the final timing takes."""
ACTIVITIES = (
    *("starting", "proposing", "scoring", "realising", "searching"),
    *("building", "timing", "waiting", "verifying", "exporting"),
)
"""What the receipt's seconds are split into."""
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


# ---- the receipt ----


def make_receipt(session: Session, winner: Winner | None, baseline_us: float, stop_reason: str) -> Receipt:
    """Everything about the run, as it stands now."""
    plan, search = session.plan, session.search
    if winner is not None:
        _require_possible_peak(session, winner.latency_us)
    best = None if winner is None else _best_part(session, winner)
    results = search.trials.results
    return Receipt(
        schema=SCHEMA,
        workload=_workload_part(plan),
        target=json.loads(str(plan.target)),
        threads=plan.threads,
        versions=versions(),
        hardware=_hardware_part(session.hardware),
        seed=plan.seed,
        pool=tuple(
            PoolMember(name=spec.name, size_b=spec.size_b, nominal=spec.nominal) for spec in search.pool.specs.values()
        ),
        config=plan.config.to_mapping(),
        trials=TrialsPart(total=len(results), fates=fate_counts(results)),
        baseline=_latency_part(session, baseline_us),
        best=best,
        speedup=baseline_us / best.latency_us if best is not None else 1.0,
        verified=_verified_part(winner),
        proposers=_proposer_parts(session),
        course_alterations=sum(record.alterations for record in search.pool.records.values()),
        scorer=_scorer_part(session),
        space=SpacePart(
            sketches=len(session.space.sketches),
            nodes=len(search.tree.nodes),
            distinct_schedules=len(search.tree.known),
        ),
        seconds=_seconds(session),
        stop_reason=stop_reason,
        messages=tuple(session.messages),
    )


def versions() -> dict[str, str]:
    """Versions of everything that a result depends on."""
    packages = ("apache-tvm", "apache-tvm-ffi", "numpy", "xgboost-cpu")
    found = {"colt": __version__, "python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in packages}


def _workload_part(plan: Plan) -> WorkloadPart:
    program = plan.program
    return WorkloadPart(
        name=program.name,
        size=program.size,
        arguments=tuple(
            TensorShape(name=a.name, shape=a.shape, dtype=a.dtype, role=a.role.value) for a in program.arguments
        ),
        flops=program.flops,
        min_bytes=program.min_bytes,
    )


def _hardware_part(hardware: Hardware) -> HardwarePart:
    return HardwarePart(
        cpu=hardware.cpu,
        cores=hardware.cores,
        simd=hardware.simd.name,
        fma_gflops=hardware.peaks.fma_gflops_all_threads,
        bandwidth_gbs=hardware.peaks.bandwidth_gbs,
    )


def _require_possible_peak(session: Session, latency_us: float) -> None:
    """A peak that a kernel exceeds is void: measure it again."""
    gflops = _gflops(session, latency_us)
    if gflops is not None and session.hardware.peaks.exceeded_by(gflops):
        session.note(f"the winner exceeds the FMA peak that was measured before ({gflops:.0f} GFLOPS): measured again")
        forget(session.hardware)
        session.hardware = hardware_with_peaks(session.plan.threads)


def _gflops(session: Session, latency_us: float) -> float | None:
    flops = session.plan.program.flops
    return flops / latency_us / 1e3 if flops else None


def _latency_part(session: Session, latency_us: float) -> LatencyPart:
    program, gflops = session.plan.program, _gflops(session, latency_us)
    share = None
    if gflops is not None and program.flops and all(argument.dtype == "float32" for argument in program.arguments):
        in_cache = program.min_bytes <= session.hardware.last_level_cache.bytes
        share = roofline_share(gflops, program.flops, program.min_bytes, session.hardware.peaks, in_cache=in_cache)
    return LatencyPart(latency_us=latency_us, gflops=gflops, roofline_share=share)


def _best_part(session: Session, winner: Winner) -> BestPart:
    schedule = winner.trial.schedule
    knobs = session.space.knobs(schedule)
    sketch = next(s for s in session.space.summaries() if s[:2] == (schedule.variant, schedule.sketch))
    values = {knob.name: value for knob, value in zip(knobs, schedule.values, strict=True)}
    steps: Transformation = (
        Jump(schedule.variant, schedule.sketch),
        *(Edit(name, value) for name, value in values.items()),
    )
    latency = _latency_part(session, winner.latency_us)
    return BestPart(
        latency_us=latency.latency_us,
        gflops=latency.gflops,
        roofline_share=latency.roofline_share,
        trial=winner.trial.id,
        proposed_by=winner.trial.proposed_by,
        sketch=f"{schedule.variant}/{schedule.sketch}",
        sketch_summary=sketch[2],
        transformation=describe_transformation(steps),
        values={name: list(value) if isinstance(value, tuple) else value for name, value in values.items()},
    )


def _verified_part(winner: Winner | None) -> VerifiedPart:
    if winner is None:
        message = "the untuned program is kept, there is nothing to verify"
        return VerifiedPart(ok=True, max_abs_error=None, max_rel_error=None, tolerance=None, message=message)
    found = winner.verification
    return VerifiedPart(
        ok=found.ok,
        max_abs_error=found.max_abs_error,
        max_rel_error=found.max_rel_error,
        tolerance=found.tolerance,
        message=found.message,
    )


def _proposer_parts(session: Session) -> dict[str, ProposerPart]:
    trials: dict[str, int] = {}
    for result in session.search.trials.results:
        by = session.search.trials.trial(result.trial).proposed_by
        trials[by] = trials.get(by, 0) + 1
    parts = {}
    for name, record in session.search.pool.records.items():
        parts[name] = ProposerPart(
            calls=record.calls,
            trials=trials.pop(name, 0),
            predicted_hits=record.predicted_hits,
            predicted_regressions=record.predicted_regressions,
            measured_hits=record.measured_hits,
            measured_regressions=record.measured_regressions,
            errors=record.errors,
            fallbacks=record.fallbacks,
            alterations=record.alterations,
            alterations_kept=record.alterations_kept,
            seconds=round(session.proposer_seconds.get(name, 0.0), 3),
        )
    return parts | {name: ProposerPart(trials=count) for name, count in trials.items()}


def _scorer_part(session: Session) -> ScorerPart:
    trust = session.scorer.trust
    return ScorerPart(
        version=session.scorer.version,
        analytical_rank=trust.analytical,
        cost_model_rank=trust.cost_model,
        cost_model_samples=trust.samples,
    )


def _seconds(session: Session) -> dict[str, float]:
    """Wall seconds by activity, exclusive of each other; ``waiting`` is measuring beside building and timing."""
    spent = dict(session.watch.seconds)
    measuring = spent.pop("measuring", 0.0)
    building, timing = session.seconds_building, session.seconds_timing
    spent |= {"building": building, "timing": timing, "waiting": max(0.0, measuring - building - timing)}
    ordered = {name: round(spent.get(name, 0.0), 3) for name in ACTIVITIES}
    total = session.watch.total
    return {"total": round(total, 3), **ordered, "other": round(max(0.0, total - sum(ordered.values())), 3)}
