"""Rests of models whose answers are of no use."""

from __future__ import annotations

from colt.proposers.cooldown import FIRST_REST, IN_A_ROW, Rests


def rested(at: int = 0) -> Rests:
    """Sent to rest after ``at`` trials."""
    rests = Rests()
    began = [rests.useless(at) for _ in range(IN_A_ROW)]
    assert began == [False] * (IN_A_ROW - 1) + [True]
    return rests


def test_a_row_of_useless_answers_begins_a_rest() -> None:
    rests = rested(at=3)
    assert rests.taken == 1
    assert rests.resting(3)
    assert rests.resting(3 + FIRST_REST - 1)
    assert not rests.resting(3 + FIRST_REST)


def test_a_useful_answer_ends_the_row() -> None:
    rests = Rests()
    for _ in range(10):
        for _ in range(IN_A_ROW - 1):
            assert not rests.useless(0)
        rests.useful()
    assert rests.taken == 0


def test_answers_that_were_under_way_count_no_more() -> None:
    rests = rested()
    assert not any(rests.useless(FIRST_REST - 1) for _ in range(2 * IN_A_ROW))
    assert rests.taken == 1
    assert not rests.resting(FIRST_REST)


def test_a_useful_answer_that_was_under_way_ends_the_rest() -> None:
    rests = rested()
    rests.useful()
    assert not rests.resting(0)
    assert not rests.on_trial


def test_after_a_rest_one_answer_decides_and_rests_grow() -> None:
    rests, now, length = rested(), 0, FIRST_REST
    for taken in range(2, 5):
        now += length
        length *= 2
        assert rests.on_trial
        assert rests.useless(now)
        assert rests.taken == taken
        assert rests.resting(now + length - 1)
        assert not rests.resting(now + length)
    rests.useful()
    assert [rests.useless(0) for _ in range(IN_A_ROW)][-1]
    assert not rests.resting(FIRST_REST)
