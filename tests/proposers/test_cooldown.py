"""Cooldowns of models whose answers are of no use."""

from __future__ import annotations

from colt.proposers.cooldown import FIRST, IN_A_ROW, Cooldown


def cooling(at: int = 0) -> Cooldown:
    """Begun after ``at`` trials."""
    cooldown = Cooldown()
    began = [cooldown.useless(at) for _ in range(IN_A_ROW)]
    assert began == [False] * (IN_A_ROW - 1) + [True]
    return cooldown


def test_a_row_of_useless_answers_begins_a_cooldown() -> None:
    cooldown = cooling(at=3)
    assert cooldown.taken == 1
    assert cooldown.active(3)
    assert cooldown.active(3 + FIRST - 1)
    assert not cooldown.active(3 + FIRST)


def test_a_useful_answer_ends_the_row() -> None:
    cooldown = Cooldown()
    for _ in range(10):
        for _ in range(IN_A_ROW - 1):
            assert not cooldown.useless(0)
        cooldown.useful()
    assert cooldown.taken == 0


def test_answers_that_were_under_way_count_no_more() -> None:
    cooldown = cooling()
    assert not any(cooldown.useless(FIRST - 1) for _ in range(2 * IN_A_ROW))
    assert cooldown.taken == 1
    assert not cooldown.active(FIRST)


def test_a_useful_answer_that_was_under_way_ends_the_cooldown() -> None:
    cooldown = cooling()
    cooldown.useful()
    assert not cooldown.active(0)
    assert not cooldown.on_trial


def test_after_a_cooldown_one_answer_decides_and_cooldown_grow() -> None:
    cooldown, now, length = cooling(), 0, FIRST
    for taken in range(2, 5):
        now += length
        length *= 2
        assert cooldown.on_trial
        assert cooldown.useless(now)
        assert cooldown.taken == taken
        assert cooldown.active(now + length - 1)
        assert not cooldown.active(now + length)
    cooldown.useful()
    assert [cooldown.useless(0) for _ in range(IN_A_ROW)][-1]
    assert not cooldown.active(FIRST)
