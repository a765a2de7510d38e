"""A simulated measurer keeps the contract of real ones, and gives the answers that were stated, recorded or made up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from colt.errors import MeasureError
from colt.measure.base import ExportError, Fate, Job, Limits, Measurement, Verification
from colt.measure.simulated import KERNEL, SimulatedMeasurer, made_up_us
from colt.testing import MEASURER_CHECKS, MeasurerCase, NotConforming, rule
from colt.world.answers import MeasuredAnswer, TimedInTurn, Totals, VerifiedAnswer
from colt.world.recording import Line

LATENCIES = {"untuned": 900.0, "fast": 100.0, "wrong": 90.0}
FATES: dict[int | str, Fate] = {"broken": Fate.BUILD_ERROR, "wrong": Fate.WRONG}


def simulated(**options: Any) -> SimulatedMeasurer:
    """Programs are texts, and their own fingerprints."""
    return SimulatedMeasurer(str, **{"latency_us": LATENCIES.get, "fates": FATES, **options})


def results(measurer: SimulatedMeasurer, *programs: str) -> list[Measurement]:
    return list(measurer.measure([Job(number, program) for number, program in enumerate(programs)]))


def case(measurer: SimulatedMeasurer, folder: Path) -> MeasurerCase:
    return MeasurerCase(measurer, simulated, "untuned", "fast", "wrong", "broken", folder)


@pytest.mark.parametrize("check", MEASURER_CHECKS, ids=rule)
def test_it_conforms(check: Any, tmp_path: Path) -> None:
    check(case(simulated(), tmp_path))


# ---- what the conformance suite catches ----


class Backwards(SimulatedMeasurer):
    def measure(self, jobs: Any, *rest: Any) -> Any:
        return iter(list(super().measure(jobs, *rest))[::-1])


class Generous(SimulatedMeasurer):
    def measure(self, jobs: Any, best_us: Any = None, limits: Any = None) -> Any:
        return super().measure(jobs, best_us, Limits(drop_factor=1e9))


class Credulous(SimulatedMeasurer):
    def verify(self, *rest: Any, **options: Any) -> Verification:
        return Verification(True, 0.0, 0.0, 1e-4)


class Deaf(SimulatedMeasurer):
    def verify(self, reference: Any, candidate: Any, *rest: Any, **options: Any) -> Verification:
        try:
            return super().verify(reference, candidate)
        except MeasureError:
            return Verification(False, math.inf, math.inf, 0.0, "no reference")


class Hasty(SimulatedMeasurer):
    def interleave(self, modules: Any, rounds: int, *rest: Any) -> list[list[float]]:
        return super().interleave(modules, 1)


class Messy(SimulatedMeasurer):
    def export(self, module: Any, path: Path, *rest: Any) -> None:
        super().export(module, path)
        path.with_suffix(".o").write_bytes(b"left behind")


class Torn(SimulatedMeasurer):
    def export(self, module: Any, path: Path, *rest: Any) -> None:
        if path.parent.exists():
            path.write_bytes(b"half of it")
        super().export(module, path)


class Forgetful(SimulatedMeasurer):
    def measure(self, *rest: Any) -> Any:
        yield from super().measure(*rest)
        self.seconds_timing = 0.0


class Talkative(SimulatedMeasurer):
    def take_remarks(self) -> list[str]:
        return ["as I said"]


class Once(SimulatedMeasurer):
    closed = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True


class Shy(SimulatedMeasurer):
    def measure(self, *rest: Any) -> Any:
        for result in super().measure(*rest):
            if not result.fate.timed:
                return
            yield result


@pytest.mark.parametrize(
    ("kind", "broken_rule"),
    [
        (Backwards, "results come in the order of the jobs"),
        (Backwards, "no job is taken before a result is asked for"),
        (Shy, "a candidate that fails costs only itself"),
        (Generous, "far slower candidates are dropped"),
        (Credulous, "verification tells right from wrong"),
        (Deaf, "a broken reference is an error"),
        (Hasty, "timing in turn gives each program its rounds"),
        (Messy, "an exported file is complete or untouched"),
        (Torn, "an exported file is complete or untouched"),
        (Forgetful, "accounts only grow"),
        (Talkative, "remarks are made once"),
        (Once, "closing may be repeated"),
    ],
)
def test_the_suite_catches_who_breaks_a_rule(kind: Any, broken_rule: str, tmp_path: Path) -> None:
    (check,) = (check for check in MEASURER_CHECKS if rule(check) == broken_rule)

    def make() -> SimulatedMeasurer:
        made: SimulatedMeasurer = kind(str, LATENCIES.get, fates=FATES, trial_s=0.001)
        return made

    with pytest.raises(NotConforming):
        check(MeasurerCase(make(), make, "untuned", "fast", "wrong", "broken", tmp_path))


# ---- what is answered ----


def test_a_latency_that_is_not_stated_is_made_up_and_always_the_same() -> None:
    (first, second), (again,) = results(simulated(), "nobody", "somebody"), results(simulated(), "nobody")
    assert first.latency_us == again.latency_us == made_up_us("nobody") != second.latency_us
    assert made_up_us("nobody") == 990.19  # in every process


def test_the_untuned_program_is_known_by_its_number() -> None:
    measurer = simulated(untuned_us=7000.0)
    (untuned, other) = measurer.measure([Job(-1, "as it was written"), Job(0, "another")])
    assert untuned.latency_us == 7000.0
    assert other.latency_us == made_up_us("another", 7000.0) < 7000.0 / 4
    assert measurer.interleave(["fast", "as it was written"], 2) == [[100.0] * 2, [7000.0] * 2]


@pytest.mark.parametrize("fate", [fate for fate in Fate if not fate.timed and fate is not Fate.WRONG])
def test_a_trial_meets_the_fate_that_is_stated_for_its_number(fate: Fate) -> None:
    measurer = simulated(fates={1: fate})
    assert [one.fate for one in results(measurer, "a", "b")] == [Fate.OK, fate]
    assert not measurer.verify("a", "b").ok, "what failed as a trial fails when it is verified"
    with pytest.raises(MeasureError, match=f"program 1: {fate}"):
        measurer.interleave(["a", "b"], 2)


def test_a_trial_that_is_wrong_is_timed_and_not_verified(tmp_path: Path) -> None:
    measurer = simulated(fates={0: Fate.WRONG})
    (result,) = results(measurer, "a")
    assert (result.fate, result.latency_us) == (Fate.OK, made_up_us("a"))
    assert not measurer.verify("untuned", "a").ok
    assert measurer.verify("untuned", "b").ok


def test_what_is_exported_is_no_library(tmp_path: Path) -> None:
    simulated().export("fast", tmp_path / "kernel.so")
    assert (tmp_path / "kernel.so").read_bytes() == KERNEL
    with pytest.raises(ExportError, match="not written"):
        simulated().export("broken", tmp_path / "other.so")


def test_time_is_taken_as_told() -> None:
    measurer = simulated(trial_s=0.05, in_turn_s=0.1)
    start = monotonic()
    results(measurer, "a", "b")
    measurer.interleave(["a"], 3)
    assert monotonic() - start >= 0.2
    assert measurer.seconds_timing == pytest.approx(0.2)


# ---- recorded answers ----

TOTALS = Totals(building=1.0, timing=2.0, probes=3, disturbed=0, worst_slowdown=1.0, waiting=0.0)


def measured(fate: Fate, us: float | None) -> MeasuredAnswer:
    runs = () if us is None else (us, us * 2)
    return MeasuredAnswer(
        fate=fate,
        latency_us=us,
        runs_us=runs,
        seconds_building=0.5,
        seconds_timing=0.25,
        message="as it was",
        slowdown=1.5,
        disturbed=True,
        seconds_waiting=0.125,
        predicted_build_seconds=0.4,
        totals=TOTALS,
    )


def verified(ok: bool, error: float | None) -> VerifiedAnswer:
    return VerifiedAnswer(
        ok=ok, max_abs_error=error, max_rel_error=error, tolerance=1e-4, message="as it was", totals=TOTALS
    )


def recording(*answers: tuple[str, Any]) -> Sequence[Line]:
    return [Line(line=n, question=n, asked=asked, answer=answer) for n, (asked, answer) in enumerate(answers, 2)]


RECORDING = recording(
    ("measure -1: untuned", measured(Fate.OK, 400.0)),
    ("measure 0: one", measured(Fate.OK, 300.0)),
    ("measure 1: two", measured(Fate.CRASH, None)),
    ("verify one against untuned with seed 0", verified(True, 1e-6)),
    ("verify three against untuned with seed 0", verified(False, None)),
    ("time in turn, 2 rounds: one, untuned, one", TimedInTurn(latencies_us=((1, 2), (3, 4), (5, 6)), totals=TOTALS)),
)


def test_a_recorded_run_answers_for_its_programs_whatever_their_numbers() -> None:
    measurer = SimulatedMeasurer.from_recording(RECORDING, str)
    one, two, new = measurer.measure([Job(8, "one"), Job(9, "two"), Job(10, "new")])
    assert one == Measurement(8, Fate.OK, 300.0, 0.25, "as it was", (300.0, 600.0), 0.5, 1.5, True, 0.125, 0.4)
    assert (two.trial, two.fate, two.latency_us) == (9, Fate.CRASH, None)
    assert new.latency_us == made_up_us("new")
    assert (measurer.seconds_building, measurer.seconds_timing) == (1.0, 0.5)


def test_recorded_verdicts_are_given_again() -> None:
    measurer = SimulatedMeasurer.from_recording(RECORDING, str)
    assert measurer.verify("untuned", "one") == Verification(True, 1e-6, 1e-6, 1e-4, "as it was")
    assert measurer.verify("untuned", "three") == Verification(False, math.inf, math.inf, 1e-4, "as it was")
    assert not measurer.verify("untuned", "two").ok, "it crashed"


def test_recorded_turns_are_given_again_where_programs_and_rounds_are_the_same() -> None:
    measurer = SimulatedMeasurer.from_recording(RECORDING, str)
    assert measurer.interleave(["one", "untuned", "one"], 2) == [[1, 2], [3, 4], [5, 6]]
    assert measurer.interleave(["one", "untuned"], 3) == [[300.0] * 3, [400.0] * 3]
