"""What models are told of other programs: what won there, and by how much."""

from __future__ import annotations

from typing import Any

from colt.records.elsewhere import MOST_TOLD, won_elsewhere
from colt.records.record import StoredRecord, Words
from tests.helpers.stored import key, record

MOVED = "untuned | split(C.k, [_, 32])"


def stored(program: str, sketch: str, latency_us: float, family: int = 1, **machine: Any) -> StoredRecord:
    """A winner of a program that has one letter."""
    words = Words(variant="plain", sketch=sketch, knobs={"C.i": [4, 8]})
    return record(of=key(ord(program), family, **machine), latency_us=latency_us, words=words, name=program)


HERE = key(ord("a"))


def test_the_winner_is_compared_with_the_fastest_of_another_structure() -> None:
    found = won_elsewhere(
        [
            stored("c", "fused", 110.0),
            stored("c", "fused", 100.0),
            stored("c", "ms1", 150.0),
            stored("c", "ms2", 130.0),
        ],
        HERE,
    )
    (won,) = found
    assert (won.program, won.words.sketch, won.gain, won.over) == ("c", "fused", 1.3, "plain/ms2")
    assert won.relative


def test_what_moves_made_comes_first_then_relatives_then_large_gains() -> None:
    records = [
        *(stored("c", "fused", 100.0), stored("c", "ms1", 120.0)),
        *(stored("d", MOVED, 100.0, family=2), stored("d", "fused", 110.0, family=2)),
        *(stored("e", "staged", 100.0, family=2), stored("e", "fused", 300.0, family=2)),
    ]
    assert [won.program for won in won_elsewhere(records, HERE)] == ["d", "c"]
    assert MOST_TOLD == 2
    assert [won.program for won in won_elsewhere(records[2:], HERE)] == ["d", "e"]


def test_a_structure_without_another_to_compare_is_told_if_moves_made_it() -> None:
    (won,) = won_elsewhere([stored("c", MOVED, 100.0), stored("d", "fused", 100.0)], HERE)
    assert (won.program, won.gain, won.over) == ("c", None, "")


def test_nothing_is_told_of_the_program_itself_of_small_gains_and_of_other_machines() -> None:
    assert not won_elsewhere([stored("a", "fused", 100.0), stored("a", "ms1", 200.0)], HERE)
    assert not won_elsewhere([stored("c", "fused", 100.0), stored("c", "ms1", 104.0)], HERE)
    assert not won_elsewhere([stored("c", MOVED, 100.0, threads=7)], HERE)


def test_the_same_structure_of_two_programs_is_told_once() -> None:
    found = won_elsewhere([stored("c", MOVED, 100.0), stored("d", MOVED, 90.0)], HERE)
    assert [won.program for won in found] == ["c"]
