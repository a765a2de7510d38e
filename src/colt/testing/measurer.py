"""What any :class:`~colt.measure.base.Measurer` must satisfy, one function for each rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from colt.errors import MeasureError
from colt.measure.base import ExportError, Fate, IRModule, Job, Limits, Measurement, Measurer, Pair
from colt.testing.cases import require


@dataclass(frozen=True, slots=True)
class MeasurerCase:
    """A measurer under test, how to make another, programs to measure, and an empty folder to export to."""

    measurer: Measurer
    make: Callable[[], Measurer]
    untuned: IRModule
    fast: IRModule
    """Computes the same as ``untuned`` in at most half the time."""
    wrong: IRModule
    """Computes something else."""
    broken: IRModule
    """Does not build, or dies when it is run."""
    folder: Path


def check_measurer(case: MeasurerCase) -> None:
    """Run every check of :data:`MEASURER_CHECKS`. Raises :class:`NotConforming` at the first broken rule."""
    for check in MEASURER_CHECKS:
        check(case)


def results_come_in_the_order_of_the_jobs(case: MeasurerCase) -> None:
    """One for each, with its number, whatever the numbers are; none for no jobs."""
    numbers = [7, -1, 3]
    jobs = [Job(number, module) for number, module in zip(numbers, [case.fast, case.untuned, case.fast], strict=True)]
    results = list(case.measurer.measure(jobs, None, _PATIENT))
    require([one.trial for one in results] == numbers, f"jobs {numbers} gave results {[one.trial for one in results]}")
    require(list(case.measurer.measure([])) == [], "no jobs gave results")


def no_job_is_taken_before_a_result_is_asked_for(case: MeasurerCase) -> None:
    """And a caller that has had enough may leave the rest."""
    taken: list[int] = []

    def jobs() -> Iterator[Job]:
        for number in range(3):
            taken.append(number)
            yield Job(number, case.fast)

    results = case.measurer.measure(jobs(), None, _PATIENT)
    require(taken == [], "jobs are taken before a result is asked for")
    require(next(iter(results)).trial == 0, "the first result is not that of the first job")
    _measure(case, [case.fast])


def only_what_was_timed_has_a_latency(case: MeasurerCase) -> None:
    """A finite one above 0, with the runs that it comes from."""
    for result in _measure(case, [case.fast, case.broken, case.untuned]):
        shown = f"a candidate that is {result.fate} has latency {result.latency_us} from {result.runs_us}"
        require((result.latency_us is not None) == result.fate.timed, shown)
        if result.latency_us is None:
            require(result.runs_us == () and result.message != "", f"{shown}, and the message {result.message!r}")
            continue
        require(0.0 < result.latency_us < math.inf, shown)
        require(len(result.runs_us) > 0 and all(0.0 < us < math.inf for us in result.runs_us), shown)
        require(min(result.runs_us) <= result.latency_us * result.slowdown <= max(result.runs_us), shown)


def a_candidate_that_fails_costs_only_itself(case: MeasurerCase) -> None:
    """Those before and after it are timed."""
    fates = [result.fate for result in _measure(case, [case.fast, case.broken, case.fast])]
    require(len(fates) == 3 and fates[0] == fates[2] == Fate.OK, f"around one that fails, candidates are {fates}")
    require(not fates[1].timed, f"a broken candidate is {fates[1]}")


def far_slower_candidates_are_dropped(case: MeasurerCase) -> None:
    """Slower than the best by the factor of the limits; the best is the caller's or one of the jobs."""
    strict = Limits(drop_factor=1.2)
    (dropped,) = case.measurer.measure([Job(0, case.fast)], 1e-3, strict)
    require(dropped.fate is Fate.DROPPED, f"a candidate that is far slower than the best is {dropped.fate}")
    (kept,) = case.measurer.measure([Job(0, case.fast)], 1e-3, _PATIENT)
    require(kept.fate is Fate.OK, f"a candidate is {kept.fate} that the limits allow")
    jobs = [Job(0, case.untuned), Job(1, case.fast), Job(2, case.untuned)]
    fates = [result.fate for result in case.measurer.measure(jobs, None, strict)]
    require(fates == [Fate.OK, Fate.OK, Fate.DROPPED], f"slow, fast and slow again are {fates}")


def verification_tells_right_from_wrong(case: MeasurerCase) -> None:
    """As often as it is asked; a candidate that fails is not ok, and says why."""
    for _ in range(2):
        right = case.measurer.verify(case.untuned, case.fast, seed=3)
        require(right.ok and right.max_rel_error <= right.tolerance, f"a right candidate is {right}")
        wrong = case.measurer.verify(case.untuned, case.wrong, seed=3)
        require(not wrong.ok and wrong.message != "" and wrong.max_rel_error > 0.0, f"a wrong candidate is {wrong}")
    broken = case.measurer.verify(case.untuned, case.broken)
    require(not broken.ok and broken.message != "", f"a broken candidate is {broken}")


def what_was_foreseen_is_the_same(case: MeasurerCase) -> None:
    """For right and for wrong candidates; one that is broken is no error yet."""
    case.measurer.foresee(Pair(case.untuned, one, seed=3) for one in (case.fast, case.wrong, case.broken))
    verification_tells_right_from_wrong(case)


def a_broken_reference_is_an_error(case: MeasurerCase) -> None:
    """There is nothing to compare with."""
    try:
        found = case.measurer.verify(case.broken, case.fast)
    except MeasureError as error:
        require(str(error) != "", "the error does not say what is wrong")
    else:
        require(False, f"against a broken reference a candidate is {found}")


def timing_in_turn_gives_each_program_its_rounds(case: MeasurerCase) -> None:
    """In the order of the programs, one that comes twice included; one that fails is an error."""
    rounds = 3
    found = case.measurer.interleave([case.fast, case.untuned, case.fast], rounds, _PATIENT)
    shape = [len(latencies) for latencies in found]
    require(shape == [rounds] * 3, f"3 programs in {rounds} rounds have {shape} latencies")
    require(all(0.0 < us < math.inf for latencies in found for us in latencies), f"latencies are {found}")
    require(max(map(min, found[::2])) < min(found[1]), "the faster program is not the faster one in turn")
    try:
        case.measurer.interleave([case.fast, case.broken], rounds, _PATIENT)
    except MeasureError as error:
        require("1" in str(error), f"the error does not say which program fails: {error}")
    else:
        require(False, "a broken program is timed in turn")


def an_exported_file_is_complete_or_untouched(case: MeasurerCase) -> None:
    """And nothing else is left in its folder."""
    path = case.folder / "kernel.so"
    case.measurer.export(case.fast, path)
    content = path.read_bytes()
    require(content != b"", "the exported file is empty")
    for program, place in ((case.broken, path), (case.fast, case.folder / "missing" / "kernel.so")):
        try:
            case.measurer.export(program, place)
        except ExportError:
            continue
        require(False, f"export to {place.relative_to(case.folder)} is no error")
    require(path.read_bytes() == content, "an export that failed has changed the file")
    found = sorted(one.name for one in case.folder.iterdir())
    require(found == ["kernel.so"], f"after exporting, the folder holds {found}")


def accounts_only_grow(case: MeasurerCase) -> None:
    """By at least what the results say; a timing counts as watched."""
    measurer = case.measurer
    before = measurer.seconds_building, measurer.seconds_timing, measurer.noise.probes
    results = _measure(case, [case.fast, case.untuned])
    spent = sum(one.seconds_building for one in results), sum(one.seconds_timing for one in results), len(results)
    after = measurer.seconds_building, measurer.seconds_timing, measurer.noise.probes
    grown = [now - then for then, now in zip(before, after, strict=True)]
    fine = all(more >= least - 1e-6 for more, least in zip(grown, spent, strict=True))
    require(fine, f"building, timing and watched timings grew by {grown}, the results say {spent}")
    require(measurer.noise.disturbed <= measurer.noise.probes, f"more timings were disturbed than watched: {measurer}")


def remarks_are_made_once(case: MeasurerCase) -> None:
    """What was taken is not told again."""
    case.measurer.take_remarks()
    again = case.measurer.take_remarks()
    require(again == [], f"told again: {again}")


def closing_may_be_repeated(case: MeasurerCase) -> None:
    """Before anything is measured, and by leaving a ``with`` after it."""
    try:
        with case.make() as made:
            made.close()
        made.close()
    except Exception as error:  # noqa: BLE001  a run would end with it
        require(False, f"closing again raises {type(error).__name__}: {error}")


MEASURER_CHECKS: tuple[Callable[[MeasurerCase], None], ...] = (
    results_come_in_the_order_of_the_jobs,
    no_job_is_taken_before_a_result_is_asked_for,
    only_what_was_timed_has_a_latency,
    a_candidate_that_fails_costs_only_itself,
    far_slower_candidates_are_dropped,
    verification_tells_right_from_wrong,
    what_was_foreseen_is_the_same,
    a_broken_reference_is_an_error,
    timing_in_turn_gives_each_program_its_rounds,
    an_exported_file_is_complete_or_untouched,
    accounts_only_grow,
    remarks_are_made_once,
    closing_may_be_repeated,
)

_PATIENT = Limits(drop_factor=1e9, total_ms=30.0, noise_wait_seconds=0.01)
"""Nobody is dropped."""


def _measure(case: MeasurerCase, modules: Sequence[IRModule]) -> list[Measurement]:
    jobs = [Job(number, module) for number, module in enumerate(modules)]
    return list(case.measurer.measure(jobs, None, _PATIENT))
