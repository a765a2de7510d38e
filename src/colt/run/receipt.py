"""The receipt of a run, gathered from everything that took part in it."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from colt.knobs import describe_transformation, steps_to
from colt.machine import Hardware
from colt.measure.base import Fate, Measurement, Noise, Verification
from colt.measure.muster import Muster
from colt.plan import Plan
from colt.proposers.dispatcher import Dispatcher
from colt.proposers.language.money import Spending
from colt.proposers.members import ExpertMember, Member
from colt.run.clock import QUEUEING
from colt.run.context import Run
from colt.run.decide import Decision, Winner
from colt.run.roofline import Ceiling
from colt.run.task import Task
from colt.search.search import Search
from colt.store.receipt import (
    SCHEMA,
    BestPart,
    BuildPart,
    FleetHostPart,
    FleetPart,
    FoundPart,
    FunctionPart,
    HardwarePart,
    LatencyPart,
    MathPart,
    ModelPart,
    NoisePart,
    PoolMember,
    PricesPart,
    ProposerPart,
    Receipt,
    RecordsPart,
    RooflinePart,
    ScorerPart,
    SpacePart,
    SpendingPart,
    TensorShape,
    TrialsPart,
    Verdict,
    VerifiedPart,
    WorkloadPart,
)
from colt.tvm.cost.scorer import TrustedScorer
from colt.tvm.programs.source import Program
from colt.tvm.space.space import TvmSpace
from colt.tvm.vector_math import FUNCTIONS, QUOTIENT, QUOTIENT_ULP
from colt.util.stats import Estimate, Interval
from colt.util.version import versions
from colt.world.answers import Spent

ACTIVITIES = (
    *("starting", "proposing", "scoring", "realising", "searching"),
    *("building", "timing", "waiting", "idle", "verifying", "exporting"),
)
"""What the receipt's seconds are split into."""


def make_receipt(run: Run, task: Task, decision: Decision, stop_reason: str) -> Receipt:
    """Everything about a task of the run, as it stands now."""
    plan, search, space = run.plan, task.search, task.tvm_space
    winner, compared = decision.winner, decision.comparison
    best = None if winner is None else _best_part(task, winner)
    baseline = _latency_part(task, decision.untuned)
    spent = run.spent(task.dispatcher.desk.seconds)
    return Receipt(
        schema=SCHEMA,
        workload=_workload_part(task.program),
        target=json.loads(str(plan.target)),
        threads=plan.threads,
        versions=versions(),
        hardware=_hardware_part(run.hardware, None if plan.options.fleet is not None else plan.device.address),
        seed=plan.seed,
        pool=tuple(_member(member, run.calls.found) for member in plan.pool.members),
        config=plan.config.to_mapping(),
        trials=_trials_part(search.trials.results),
        noise=_noise_part(run.measurer.noise),
        build=_build_part(search.trials.results, winner),
        baseline=baseline,
        best=best,
        speedup=winner.comparison.speedup.median if winner is not None else 1.0,
        speedup_interval=_ends(winner.comparison.speedup.interval) if winner is not None else None,
        verdict=compared.verdict if compared is not None else Verdict.NOT_COMPARED,
        rounds=compared.speedup.samples if compared is not None else 0,
        roofline=_roofline_part(task.ceiling, best or baseline),
        math=_math_part(plan.exact_math, space, winner),
        verified=_verified_part(search.trials.verifications, winner, task.program),
        proposers=_proposer_parts(search, spent),
        course_alterations=sum(record.alterations for record in search.pool.records.values()),
        models=_model_parts(plan, task) if plan.pool.models else None,
        spending=_spending_part(plan, task.dispatcher) if plan.pool.models else None,
        scorer=_scorer_part(task.scorer),
        space=SpacePart(
            sketches=len(space.sketches), nodes=len(search.tree.nodes), distinct_schedules=len(search.tree.known)
        ),
        records=_records_part(plan, task),
        fleet=None if run.fleet is None else _fleet_part(run.fleet, search.trials.results),
        seconds=_seconds(run, spent),
        stop_reason=stop_reason,
        messages=tuple(run.telling.messages),
    )


def _member(member: Member, found: Mapping[str, FoundPart]) -> PoolMember:
    spec = member.spec
    if isinstance(member, ExpertMember):
        return PoolMember(name=spec.name, size_b=spec.size_b, nominal=spec.nominal)
    prices, cached = member.prices, member.prices.cached_input if member.prices else None
    return PoolMember(
        name=spec.name,
        size_b=spec.size_b,
        nominal=spec.nominal,
        model=member.model,
        base_url=member.base_url,
        prices=None
        if prices is None
        else PricesPart(
            input=float(prices.input),
            output=float(prices.output),
            cached_input=None if cached is None else float(cached),
            source=member.prices_from,
        ),
        found=found.get(member.name),
    )


def _model_parts(plan: Plan, task: Task) -> dict[str, ModelPart]:
    desk = task.dispatcher.desk
    parts = {}
    for member in plan.pool.models:
        name = member.name
        calls = [call for call in desk.calls if call.model == name]
        answered = [call for call in calls if call.error is None]
        others = [call.served for call in answered if call.served not in ("", member.model)]
        spent = sum((call.spent.spending() for call in calls), Spending())
        parts[name] = ModelPart(
            answered=len(answered),
            failed=_counts(str(call.error) for call in calls if call.error is not None),
            requests=spent.calls,
            retried=_counts(str(kind) for call in calls for kind in call.retried),
            in_reasoning=sum(call.in_reasoning for call in answered),
            served_as=_counts(others),
            unusable=desk.models[name].unusable,
            passed=task.search.pool.records[name].passed,
            benched=task.dispatcher.times_benched(name),
            input=spent.input,
            cached=spent.cached,
            output=spent.output,
            unreported=spent.unreported,
            usd=float(spent.usd),
            median_seconds=round(statistics.median(call.seconds for call in answered), 3) if answered else None,
        )
    return parts


def _counts(names: Iterable[str]) -> dict[str, int]:
    """How often each name occurs, in the order of names."""
    return dict(sorted(Counter(names).items()))


def _spending_part(plan: Plan, dispatcher: Dispatcher) -> SpendingPart:
    ceilings = plan.ceilings
    spent = sum((call.spent.spending() for call in dispatcher.desk.calls), Spending())
    return SpendingPart(
        usd=float(spent.usd),
        requests=spent.calls,
        tokens=spent.tokens,
        max_usd=None if ceilings.usd is None else float(ceilings.usd),
        max_calls=ceilings.calls,
        max_tokens=ceilings.tokens,
        max_seconds=ceilings.seconds,
        ended=dispatcher.calls_ended,
    )


def _fleet_part(fleet: Muster, results: Sequence[Measurement]) -> FleetPart:
    timed: dict[str, list[int]] = {}
    for result in results:
        timed.setdefault(result.host, []).append(result.trial)
    return FleetPart(
        hosts=tuple(
            FleetHostPart(
                name=host.name,
                cpu=host.cpu,
                threads=host.threads,
                reference_us=host.reference_us,
                disturbed=host.disturbed,
                trials=tuple(timed.get(host.name, ())),
                left=host.left,
            )
            for host in fleet.hosts
        ),
        base=fleet.base,
        decided_on=fleet.decider or None,
        refused=dict(fleet.refused),
        lost=fleet.lost,
        measured_again=fleet.again,
        built_elsewhere=fleet.built_elsewhere,
    )


def _records_part(plan: Plan, task: Task) -> RecordsPart | None:
    if plan.records is None and not plan.recalls:
        return None
    begun, remembered = task.begun, task.remembered
    return RecordsPart(
        known=begun.known,
        relatives=begun.relatives,
        unusable=begun.unusable,
        added=remembered.count,
        failure=remembered.failure,
    )


def _trials_part(results: Sequence[Measurement]) -> TrialsPart:
    fates = {fate.value: 0 for fate in Fate}
    for result in results:
        fates[result.fate] += 1
    return TrialsPart(total=len(results) - fates[Fate.SKIPPED], fates=fates)


def _build_part(results: Sequence[Measurement], winner: Winner | None) -> BuildPart:
    built = {result.trial: result for result in results if result.fate is not Fate.SKIPPED}
    seconds = {trial: round(done.seconds_building, 3) for trial, done in built.items()}
    return BuildPart(
        total=round(sum(seconds.values()), 3),
        predicted_total=round(sum(done.predicted_build_seconds or 0.0 for done in built.values()), 3),
        slowest=max(seconds.values(), default=0.0),
        winner=None if winner is None else seconds[winner.trial.id],
    )


def _noise_part(noise: Noise) -> NoisePart:
    return NoisePart(
        timings=noise.probes,
        disturbed=noise.disturbed,
        worst_slowdown=noise.worst_slowdown,
        seconds_waiting=round(noise.seconds_waiting, 3),
    )


def _workload_part(program: Program) -> WorkloadPart:
    return WorkloadPart(
        name=program.name,
        size=program.size,
        arguments=tuple(
            TensorShape(name=a.name, shape=a.shape, dtype=a.dtype, role=a.role.value) for a in program.arguments
        ),
        flops=program.flops,
        min_bytes=program.min_bytes,
    )


def _hardware_part(hardware: Hardware, board: str | None) -> HardwarePart:
    return HardwarePart(
        cpu=hardware.cpu,
        cores=hardware.cores,
        simd=hardware.simd.name,
        fma_gflops=hardware.peaks.fma_gflops_all_threads,
        bandwidth_gbs=hardware.peaks.bandwidth_gbs,
        fma_gflops_1_thread=hardware.peaks.fma_gflops_1_thread,
        peak_threads=hardware.peaks.threads,
        fma_pattern=hardware.peaks.fma_pattern if hardware.peaks.measured else None,
        bandwidth_pattern=hardware.peaks.bandwidth_pattern,
        board=board,
    )


def _latency_part(task: Task, found: Estimate) -> LatencyPart:
    flops = task.program.flops
    return LatencyPart(
        latency_us=found.median,
        gflops=flops / found.median / 1e3 if flops else None,
        roofline_share=task.ceiling.share(found.median),
        interval_us=_ends(found.interval),
    )


def _ends(interval: Interval | None) -> tuple[float, float] | None:
    return None if interval is None else (interval.low, interval.high)


def _roofline_part(ceiling: Ceiling, result: LatencyPart) -> RooflinePart | None:
    roofline = ceiling.roofline
    if roofline is None or result.roofline_share is None:
        return None
    return RooflinePart(gflops=roofline.gflops, bound=roofline.bound, share=result.roofline_share)


def _best_part(task: Task, winner: Winner) -> BestPart:
    schedule = winner.trial.schedule
    knobs = task.tvm_space.knobs(schedule)
    values = {knob.name: value for knob, value in zip(knobs, schedule.values, strict=True)}
    latency = _latency_part(task, winner.comparison.tuned)
    return BestPart(
        latency_us=latency.latency_us,
        gflops=latency.gflops,
        roofline_share=latency.roofline_share,
        interval_us=latency.interval_us,
        trial=winner.trial.id,
        proposed_by=winner.trial.proposed_by,
        sketch=f"{schedule.variant}/{schedule.sketch}",
        sketch_summary=task.tvm_space.summary(schedule),
        transformation=describe_transformation(steps_to(schedule, list(values))),
        values={name: list(value) if isinstance(value, tuple) else value for name, value in values.items()},
    )


def _math_part(exact: bool, space: TvmSpace, winner: Winner | None) -> MathPart:
    """What vector math replaced in the winner; nothing if the untuned program is kept."""
    calls = {} if exact or winner is None else space.replaced_math(winner.trial.schedule)
    bounds = {**{name: function.max_ulp for name, function in FUNCTIONS.items()}, QUOTIENT: QUOTIENT_ULP}
    replaced = {
        name: FunctionPart(calls=calls[name], max_ulp=bound) for name, bound in bounds.items() if calls.get(name)
    }
    return MathPart(exact=exact, replaced=replaced)


def _verified_part(compared: Mapping[int, Verification], winner: Winner | None, program: Program) -> VerifiedPart:
    wrong = sum(not verification.ok for verification in compared.values())
    given = () if program.inputs is None else program.inputs.names
    if winner is None:
        return VerifiedPart(
            ok=True,
            max_abs_error=None,
            max_rel_error=None,
            tolerance=None,
            message="the untuned program is kept, there is nothing to verify",
            leaders=len(compared),
            wrong=wrong,
            given=given,
        )
    found = compared[winner.trial.id]
    return VerifiedPart(
        ok=found.ok,
        max_abs_error=found.max_abs_error,
        max_rel_error=found.max_rel_error,
        tolerance=found.tolerance,
        message=found.message,
        leaders=len(compared),
        wrong=wrong,
        untuned_error=found.untuned_error,
        given=given,
    )


def _proposer_parts(search: Search, spent: Spent) -> dict[str, ProposerPart]:
    trials: dict[str, int] = {}
    for result in search.trials.results:
        by = search.trials.trial(result.trial).proposed_by
        trials[by] = trials.get(by, 0) + 1
    parts = {}
    for name, record in search.pool.records.items():
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
            seconds=round(spent.proposers.get(name, 0.0), 3),
            structures=record.structures if search.setup.structure_after else None,
            improvements=record.improvements if search.setup.structure_after else None,
            improvements_below=record.improvements_below if search.setup.structure_after else None,
        )
    return parts | {name: ProposerPart(trials=count) for name, count in trials.items()}


def _scorer_part(scorer: TrustedScorer) -> ScorerPart:
    trust = scorer.trust
    return ScorerPart(
        version=scorer.version,
        analytical_rank=trust.analytical,
        cost_model_rank=trust.cost_model,
        cost_model_samples=trust.samples,
    )


def _seconds(run: Run, spent: Spent) -> dict[str, float]:
    """Wall seconds by activity, exclusive of each other; ``waiting`` is measuring beside building and timing."""
    found = dict(spent.activities)
    measuring = found.pop("measuring", 0.0)
    building, timing = run.clock.seconds_building, run.clock.seconds_timing
    found |= {"building": building, "timing": timing, "waiting": max(0.0, measuring - building - timing)}
    names = (*([QUEUEING] if QUEUEING in found else []), *ACTIVITIES)
    ordered = {name: round(found.get(name, 0.0), 3) for name in names}
    rest = max(0.0, spent.total - sum(ordered.values()))
    return {"total": round(spent.total, 3), **ordered, "other": round(rest, 3)}
