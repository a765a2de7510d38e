"""A value from elsewhere becomes the nearest legal one here, or says nothing."""

from __future__ import annotations

import random

import pytest

from colt.errors import IllegalEdit
from colt.knobs import CategoryKnob, LocationKnob, TileKnob
from colt.records.adapt import adapted

UNROLL = CategoryKnob("unroll", "", "steps", (0, 16, 64, 512))


def tile(extent: int, parts: int = 4, most: int = 64) -> TileKnob:
    return TileKnob("C.i", "C", "i", extent, parts, ("",) * parts, most)


@pytest.mark.parametrize(
    ("extent", "value", "becomes"),
    [
        (512, (8, 1, 8, 8), (8, 1, 8, 8)),
        (64, (8, 1, 8, 8), (1, 1, 8, 8)),  # inner parts stay, the outermost takes what is left
        (1024, (8, 1, 8, 8), (16, 1, 8, 8)),
        (48, (8, 1, 8, 8), (1, 1, 6, 8)),
        (7, (8, 1, 8, 8), (1, 1, 1, 7)),
        (1, (8, 1, 8, 8), (1, 1, 1, 1)),
        (100, (8, 1, 8, 8), (1, 1, 10, 10)),
        (509, (8, 1, 8, 8), (509, 1, 1, 1)),  # a prime larger than any inner part may be
    ],
)
def test_a_tile_keeps_the_inner_parts_that_divide(extent: int, value: tuple[int, ...], becomes: object) -> None:
    assert adapted(tile(extent), value) == becomes


def test_whatever_a_tile_becomes_is_legal() -> None:
    rng = random.Random(0)
    for _ in range(300):
        knob = tile(rng.randrange(1, 3000), rng.randrange(1, 6), rng.choice([64, 512]))
        value = adapted(knob, [rng.randrange(1, 100) for _ in range(knob.parts)])
        assert value is None or knob.check(value) == value


def test_a_legal_tile_stays() -> None:
    rng = random.Random(0)
    for extent in (512, 360, 97 * 4):
        knob = tile(extent, 4, 512)
        for value in (knob.sample(rng) for _ in range(20)):
            assert adapted(knob, list(value)) == value


@pytest.mark.parametrize(("value", "becomes"), [(16, 16), (64, 64), (20, 16), (10**6, 512), (0, 0), (-1, None)])
def test_a_category_becomes_the_nearest(value: int, becomes: object) -> None:
    assert adapted(UNROLL, value) == becomes


@pytest.mark.parametrize(
    "value", [None, "root", 3, [8, 1, 8], [8, 1, 8, 0], [8, 1, 8, -8], [8, 1, 8, 8.0], [8, 1, 8, True], {}]
)
def test_what_is_no_tile_says_nothing(value: object) -> None:
    assert adapted(tile(512), value) is None


def test_a_location_is_taken_by_its_name() -> None:
    knob = LocationKnob("p.at", "p", "C", ("root",))
    assert (adapted(knob, "i"), adapted(knob, 3), adapted(UNROLL, True)) == ("i", None, None)
    with pytest.raises(IllegalEdit):
        knob.check("i")  # whether it is legal is for the space to say
