"""Knobs as pure data: what they take, what they refuse, what is next to what."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colt.errors import IllegalEdit
from colt.knobs import (
    CategoryKnob,
    Edit,
    Jump,
    Knob,
    LocationKnob,
    TileKnob,
    Value,
    describe_transformation,
    differences,
    neighbours,
    prime_factors,
)

extents = st.integers(1, 5000)
seeds = st.integers(0, 2**32)
knobs = st.one_of(
    st.builds(
        lambda extent, parts, limit: tile(extent, parts, limit), extents, st.integers(2, 5), st.sampled_from([1, 8, 64])
    ),
    st.builds(
        lambda candidates: CategoryKnob("unroll", "root", "unrolled", tuple(candidates)),
        st.lists(st.integers(0, 512), min_size=1, max_size=5, unique=True),
    ),
    st.builds(
        lambda count: LocationKnob("pad.at", "pad", "Y", ("inline", "root", "y_0", "y_1")[:count]), st.integers(1, 4)
    ),
)


def tile(extent: int, parts: int = 4, limit: int = 64) -> TileKnob:
    return TileKnob("C.i", "C", "i", extent, parts, ("part",) * parts, limit)


def all_tiles(extent: int, parts: int) -> list[tuple[int, ...]]:
    """Every way of writing ``extent`` as an ordered product."""
    if parts == 1:
        return [(extent,)]
    divisors = [divisor for divisor in range(1, extent + 1) if extent % divisor == 0]
    return [(first, *rest) for first in divisors for rest in all_tiles(extent // first, parts - 1)]


@given(knob=knobs, seed=seeds)
def test_samples_are_legal(knob: Knob, seed: int) -> None:
    value = knob.sample(random.Random(seed))
    assert knob.check(value) == value
    assert value == knob.sample(random.Random(seed))


@given(knob=knobs, seed=seeds)
def test_neighbours_are_legal_others_and_each_other(knob: Knob, seed: int) -> None:
    value: Value = knob.sample(random.Random(seed))
    near = neighbours(knob, value)
    assert len(set(near)) == len(near)
    assert value not in near
    for other in near:
        assert knob.check(other) == other
        assert value in neighbours(knob, other)


@given(extent=st.integers(1, 60), parts=st.integers(2, 4), limit=st.sampled_from([1, 2, 8, 64]))
def test_a_tile_reaches_every_legal_value_and_no_other_by_neighbours(extent: int, parts: int, limit: int) -> None:
    knob = tile(extent, parts, limit)
    reached, frontier = set(), [(extent, *[1] * (parts - 1))]
    while frontier:
        value = frontier.pop()
        if value not in reached:
            reached.add(value)
            frontier += knob.neighbours(value)
    assert reached == {value for value in all_tiles(extent, parts) if value[-1] <= limit}


@given(extent=extents, parts=st.integers(2, 5), seed=seeds, data=st.data())
def test_a_tile_with_one_wrong_part_is_refused(extent: int, parts: int, seed: int, data: st.DataObject) -> None:
    knob = tile(extent, parts)
    value: list[Any] = list(knob.sample(random.Random(seed)))
    position = data.draw(st.integers(0, parts - 1))
    right = value[position]
    wrong = st.one_of(
        st.integers().filter(lambda part: part != right),
        st.booleans(),
        st.floats(),
        st.text(max_size=3),
        st.none(),
        st.lists(st.integers(), max_size=2),
        st.just(float(right)),
    )
    value[position] = data.draw(wrong)
    with pytest.raises(IllegalEdit, match=r"knob C\.i takes"):
        knob.check(value)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def checked(knob: Knob, value: Any) -> tuple[Any, str]:
    try:
        return knob.check(value), ""
    except IllegalEdit as error:
        return None, str(error)


@given(knob=knobs, value=json_like)
def test_whatever_comes_is_refused_or_legal(knob: Knob, value: Any) -> None:
    taken, complaint = checked(knob, value)
    if complaint:
        assert knob.name in complaint
        assert len(complaint) < 400
        return
    if isinstance(knob, TileKnob):
        assert isinstance(taken, tuple)
        assert list(taken) == list(value)
        assert math.prod(taken) == knob.extent
        assert all(type(part) is int and part >= 1 for part in taken)
        assert len(taken) == knob.parts
        assert taken[-1] <= knob.max_innermost
    else:
        assert taken in (knob.candidates if isinstance(knob, CategoryKnob) else knob.locations)
        assert type(taken) is type(value)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ((8, 1, 1, 8), None),
        ([8, 1, 1, 8], None),
        (64, "not 64"),
        ("[8, 1, 1, 8]", "not '[8, 1, 1, 8]'"),
        ((8, 8), "it has 2 parts"),
        ((8, 0, 1, 8), "a part is out of range"),
        ((-8, -1, 1, 8), "a part is out of range"),
        ((8, 1, 1, 4), "the product is 32"),
        ((1, 1, 1, 64), "the last part is too large"),
        ((8, True, 1, 8), "a part is not an integer"),
        ((8.0, 1, 1, 8), "a part is not an integer"),
        ((10**5000, 1, 1, 1), "a tuple too large to show: a part is out of range"),
    ],
)
def test_a_tile_says_what_is_wrong(value: Any, complaint: str | None) -> None:
    knob = tile(64, limit=8)
    if complaint is None:
        assert knob.check(value) == (8, 1, 1, 8)
        return
    with pytest.raises(IllegalEdit) as caught:
        knob.check(value)
    assert "4 integers >= 1 whose product is 64, the last at most 8" in str(caught.value)
    assert str(caught.value).endswith(complaint)


def test_a_truth_value_is_no_number() -> None:
    knob = CategoryKnob("unroll", "root", "unrolled", (0, 1))
    assert knob.check(1) == 1
    with pytest.raises(IllegalEdit, match="not True"):
        knob.check(True)


@given(number=st.integers(1, 10**6))
def test_prime_factors_multiply_to_the_number(number: int) -> None:
    factors = prime_factors(number)
    assert math.prod(factors) == number
    assert list(factors) == sorted(factors)
    assert all(factor > 1 and all(factor % small for small in range(2, math.isqrt(factor) + 1)) for factor in factors)


def test_transformations_in_words() -> None:
    transformation = (Jump("plain", "ms1"), Edit("C.i", (1, 64)), Edit("unroll", None), Edit("pad.at", "root"))
    assert (
        describe_transformation(transformation)
        == "go to sketch plain/ms1; C.i = [1, 64]; unroll = anything legal; pad.at = root"
    )
    assert describe_transformation(()) == "nothing"


def test_differences_are_the_edits_from_one_to_the_other() -> None:
    both = (tile(8, 2), CategoryKnob("unroll", "root", "unrolled", (0, 16)))
    assert differences(both, ((8, 1), 0), ((4, 2), 0)) == (Edit("C.i", (4, 2)),)
    assert differences(both, ((8, 1), 0), ((8, 1), 0)) == ()
