"""Which schedules of relatives are measured, and in which order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest

from colt.knobs import Schedule
from colt.run.promise import MOST_CHANGES, TIE, Adopted, most_promising, suited
from colt.search.toy import VARIANT, ToySpace
from colt.world.answers import Lead


class Predicting:
    """Latencies by the value of a schedule's knob."""

    version = "of the test"

    def __init__(self, us: Mapping[int, float]) -> None:
        self._us = us

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        return [self._us[schedule.values[0]] for schedule in schedules]  # type: ignore[index]


def adopted(
    number: int,
    latency_us: float,
    predicted_us: float | None = 1.0,
    structure: str = "a" * 16,
    known: bool = False,
    sketch: str = "fused",
) -> Adopted:
    lead = Lead(
        known=known,
        program="p",
        by="scout",
        when="2026-01-01T00:00:00Z",
        run="",
        latency_us=latency_us,
        verified=True,
        same_machine=True,
        predicted_us=predicted_us,
        structure=structure,
    )
    return Adopted(lead, Schedule("plain", sketch, (number,)))


def order(found: Sequence[Adopted], us: Mapping[int, float]) -> list[object]:
    return [one.schedule.values[0] for one in most_promising(found, Predicting(us))]


def test_what_was_predicted_wrong_there_is_predicted_wrong_here() -> None:
    """The second was twice as slow as predicted; here it is predicted to be a little faster than the first."""
    there = [adopted(1, 10, 10), adopted(2, 20, 10)]
    assert order(there, {1: 100, 2: 90}) == [1, 2]
    assert order(there, {1: 100, 2: 40}) == [2, 1]


def test_a_winner_is_at_least_as_fast_as_the_rest_whatever_it_took_when_they_were_compared() -> None:
    there = [adopted(1, 30, 10), adopted(2, 10, 10), adopted(3, 11, 10)]
    assert order(there, {1: 100, 2: 101, 3: 102}) == [1, 2, 3]


def test_three_of_one_relative_and_six_in_all_the_nearest_before_others() -> None:
    one, two, three = ("a" * 16, "b" * 16, "c" * 16)
    found = [adopted(n, 10 + n, 10, structure) for structure, n in [*((one, n) for n in range(5)), (two, 5), (two, 6)]]
    found += [adopted(n, 1, 10, three) for n in range(7, 11)]
    chosen = order(found, dict.fromkeys(range(11), 100.0))
    assert set(chosen) == {0, 1, 2, 5, 6, 7}
    assert chosen[0] == 7, "what promises most, whoever is nearest"


def test_what_is_hopeless_beside_the_runs_own_is_left_out() -> None:
    """There, all took twice what was predicted. The run's own best is predicted to take 50, so 100."""
    there = [adopted(n, 20, 10) for n in (1, 2, 3)]
    us = {1: 99.0, 2: 101.0, 3: 40.0}
    assert most_promising(there, Predicting(us), None) == [there[2], there[0], there[1]]
    assert most_promising(there, Predicting(us), 50.0) == [there[2], there[0]]
    assert most_promising(there, Predicting(us), 10.0) == []


def test_of_equal_promises_the_one_that_was_faster_there_comes_first() -> None:
    there = [adopted(1, 10, 10), adopted(2, 11, 10), adopted(3, 12, 10), adopted(4, 13, 10)]
    us = {1: 100.0, 2: 88.0, 3: 82.0, 4: 50.0}  # promise 100, 96.8, 98.4 and 65
    found = most_promising(there, Predicting(us), 100.0)
    assert [one.schedule.values[0] for one in found] == [4, 1, 2]
    other = [adopted(5, 5, 10, "b" * 16)]  # of another relative: what it took there says nothing here
    found = most_promising([*there, *other], Predicting({**us, 5: 202.0}), 100.0)
    assert [one.schedule.values[0] for one in found] == [4, 1, 2, 5]


def test_what_becomes_the_same_schedule_here_is_measured_once() -> None:
    found = [adopted(1, 10, 10), adopted(1, 11, 10), adopted(2, 12, 10), adopted(3, 13, 10)]
    assert order(found, {1: 1.0, 2: 1.0, 3: 1.0}) == [1, 2, 3]


@pytest.mark.parametrize("predicted_us", [None, 10.0])
def test_without_a_prediction_of_each_their_order_stays(predicted_us: float | None) -> None:
    found = [adopted(1, 10, predicted_us), *(adopted(n, 10, None) for n in (2, 3, 4))]
    assert order(found, {1: 9.0, 2: 1.0, 3: 1.0, 4: 1.0}) == [1, 2, 3]


def test_all_of_the_program_itself_is_measured_and_what_older_recordings_have() -> None:
    known = [adopted(n, 10 - n, 10, known=True) for n in range(5)]
    assert most_promising(known, Predicting({})) == known
    older = [adopted(n, 10 - n, None, structure="") for n in range(5)]
    assert most_promising(older, Predicting({})) == older
    assert most_promising([], Predicting({})) == []


def test_the_best_of_each_sketch_comes_before_the_second_of_any() -> None:
    """Whichever relative it is of: what the model is wrong about in one schedule, it is wrong about in its like."""
    found = [*(adopted(n, 10, 10) for n in range(3)), adopted(3, 10, 10, sketch="staged")]
    found += [adopted(4, 10, 10, "b" * 16), adopted(5, 10, 10, "b" * 16, sketch="staged")]
    us = {0: 1.0, 1: 1.1, 2: 1.2, 3: 1.9, 4: 1.4, 5: 2.1}
    assert order(found, us) == [0, 3, 1, 5, 4]
    former = most_promising(found, Predicting(us), by_sketch=False)
    assert [one.schedule.values[0] for one in former] == [0, 1, 2, 4, 5]


def test_what_becomes_the_same_schedule_here_is_one_of_its_sketch() -> None:
    found = [adopted(0, 10, 10), adopted(0, 10, 10), adopted(1, 10, 10), adopted(2, 10, 10, sketch="staged")]
    assert order(found, {0: 1.0, 1: 1.1, 2: 1.2}) == [0, 2, 1]


class Exact:
    """The toy's own latencies; neighbours that save less than ``least`` look like ties."""

    version = "exact"

    def __init__(self, space: ToySpace, flattened: float = 1.0) -> None:
        self._space, self._flattened = space, flattened

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        return [self._space.latency_us(one) ** self._flattened for one in schedules]


BEST = Schedule(VARIANT, "cached", ((4, 4, 1, 4), (1, 1, 2, 32), 64, "j_0"))


@pytest.mark.parametrize(
    "values",
    [
        BEST.values,
        ((1, 16, 1, 4), (1, 1, 2, 32), 64, "j_0"),  # three threads of four without work
        ((4, 8, 1, 2), (1, 1, 2, 32), 64, "j_0"),  # half a register tile
        ((4, 8, 1, 2), (1, 1, 2, 32), 16, "i_0"),
    ],
    ids=["nothing", "threads", "tile", "three values"],
)
def test_a_relatives_values_are_changed_where_that_is_predicted_to_pay(values: tuple[object, ...]) -> None:
    space = ToySpace()
    start = Schedule(VARIANT, "cached", values)  # type: ignore[arg-type]
    assert space.latency_us(BEST) == space.optimum_us()
    assert space.latency_us(suited(start, space, Exact(space))) == space.optimum_us()


def test_what_saves_no_more_than_a_tie_stays_as_it_was_measured() -> None:
    space = ToySpace()
    start = Schedule(VARIANT, "cached", ((4, 8, 1, 2), (1, 1, 2, 32), 64, "j_0"))
    assert space.latency_us(start) / space.optimum_us() == pytest.approx(1.5)
    exponent = 0.9 * math.log(TIE) / math.log(1.5)
    assert suited(start, space, Exact(space, exponent)) == start
    assert suited(start, space, Exact(space, exponent / 0.8)) != start


def test_a_few_values_are_changed_and_those_that_cannot_be_carried_out_are_not() -> None:
    space = ToySpace()
    far = Schedule(VARIANT, "cached", ((64, 1, 1, 1), (64, 1, 1, 1), 0, "root"))
    changed = suited(far, space, Exact(space))
    assert sum(a != b for a, b in zip(far.values, changed.values, strict=True)) <= MOST_CHANGES
    assert space.latency_us(changed) < space.latency_us(far)
    start = Schedule(VARIANT, "cached", ((4, 8, 1, 2), (1, 1, 2, 32), 16, "j_0"))
    spilling = ToySpace(spill=64)  # a whole register tile holds twice as much
    found = suited(start, spilling, Exact(spilling))
    assert found.values == (start.values[0], start.values[1], 64, "j_0")
