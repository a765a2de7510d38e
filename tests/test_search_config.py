"""The run's constants: each declared once with default, range and meaning, and nothing out of range gets in."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from colt.errors import ColtError, InputError
from colt.options import PRESETS, Budget, SearchConfig, TuneOptions
from colt.util.declared import Kind, options_of

FIELDS = options_of(SearchConfig)
NUMBERS = [name for name, one in FIELDS.items() if not one.choices]
WORDS = [name for name, one in FIELDS.items() if one.choices]


# ---- what is declared ----


@pytest.mark.parametrize("name", FIELDS | options_of(TuneOptions))
def test_every_option_has_a_one_line_meaning(name: str) -> None:
    meaning = (FIELDS | options_of(TuneOptions))[name].meaning
    assert meaning.strip() == meaning != ""
    assert "\n" not in meaning


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_a_range_that_holds_its_default(name: str) -> None:
    one = FIELDS[name]
    assert one.low is not None
    assert one.high is not None
    assert one.low <= one.default <= one.high


@pytest.mark.parametrize("name", WORDS)
def test_every_choice_holds_its_default(name: str) -> None:
    assert FIELDS[name].default in FIELDS[name].choices


# ---- what gets in ----


@pytest.mark.parametrize("name", NUMBERS)
def test_both_ends_of_a_range_are_taken_and_nothing_beyond(name: str) -> None:
    low, high = FIELDS[name].low, FIELDS[name].high
    assert low is not None
    assert high is not None
    for end in (low, high):
        assert getattr(SearchConfig(**{name: end}), name) == end
    for beyond in (low - 1, high + 1):
        with pytest.raises(InputError, match=f"{name} is .*from {low} to {high}"):
            SearchConfig(**{name: beyond})


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", None, True, [1], 1j], ids=repr)
def test_what_is_no_number_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name):
        SearchConfig(**{name: value})


@pytest.mark.parametrize("name", [name for name in NUMBERS if FIELDS[name].kind is Kind.INTEGER])
def test_whole_numbers_are_not_rounded(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} is .*an integer"):
        SearchConfig(**{name: float(FIELDS[name].default)})


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("value", ["", "nonsense", None, 1, [], {}], ids=repr)
def test_only_the_choices_are_taken(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{name} is .*it takes one of"):
        SearchConfig(**{name: value})
    for choice in FIELDS[name].choices:
        assert getattr(SearchConfig(**{name: choice}), name) == choice


def test_unknown_options_are_refused_with_the_nearest_or_all() -> None:
    with pytest.raises(InputError, match=r"unknown search option 'explorasion'; did you mean exploration\?"):
        SearchConfig.from_mapping({"explorasion": 1.0})
    with pytest.raises(InputError, match=r"unknown search option '\?'; there are exploration, .*rollouts"):
        SearchConfig.from_mapping({"?": 1.0})


def test_errors_are_the_users_own() -> None:
    assert issubclass(InputError, ColtError)


# ---- presets ----


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_a_round_trip(name: str) -> None:
    config = SearchConfig.preset(name)
    assert SearchConfig.from_mapping(config.to_mapping()) == config
    assert list(config.to_mapping()) == list(FIELDS)


def test_the_default_preset_is_the_defaults() -> None:
    assert SearchConfig.preset() == SearchConfig.preset("default") == SearchConfig()


def test_the_paper_preset_is_the_papers() -> None:
    """λ = 0.5, c = √2, two children, K = 2, raw ratio, one proposal a call, no widening, all openings the largest's."""
    paper = SearchConfig.preset("paper")
    assert (paper.size_weight, paper.exploration) == (0.5, math.sqrt(2))
    assert (paper.branching, paper.widening_coefficient, paper.alteration_period) == (2, 0.0, 2)
    assert (paper.value, paper.proposals_per_call, paper.deal) == ("ratio", 1, "largest")


def test_changes_go_over_the_preset_and_are_checked() -> None:
    assert SearchConfig.preset("paper", branching=3).branching == 3
    assert SearchConfig.preset("paper", deal="pool").deal == "pool"
    with pytest.raises(InputError, match="branching"):
        SearchConfig.preset("paper", branching=0)


def test_unknown_presets_are_refused_with_the_nearest_or_all() -> None:
    with pytest.raises(InputError, match="unknown preset 'papers'; did you mean paper"):
        SearchConfig.preset("papers")
    with pytest.raises(InputError, match="unknown preset 'quick'; there are default, models, paper"):
        SearchConfig.preset("quick")


def test_a_config_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SearchConfig().branching = 3  # type: ignore[misc]


# ---- budget ----


@pytest.mark.parametrize("trials", [-1, 1.0, "64", None, True])
def test_a_budget_has_at_least_no_trial(trials: Any) -> None:
    """None: the run takes the best that is known from records."""
    with pytest.raises(InputError, match=r"trials is .*at least 0"):
        Budget(trials)


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan])
def test_a_budgets_seconds_are_more_than_none(seconds: Any) -> None:
    with pytest.raises(InputError, match=r"seconds is .*above 0"):
        Budget(64, seconds)


@pytest.mark.parametrize("seconds", ["1", True, math.inf])
def test_a_budgets_seconds_are_a_number(seconds: Any) -> None:
    with pytest.raises(InputError, match=r"seconds is .*above 0"):
        Budget(64, seconds)


def test_a_budget_may_have_no_time_limit() -> None:
    assert Budget(1).seconds is None
    assert Budget(1, 0.5).seconds == 0.5


@pytest.mark.parametrize("share", [0, 0.0, -0.5, 1.01, 95, math.nan, math.inf, "0.95", True])
def test_a_share_of_the_roofline_is_above_0_and_up_to_1(share: Any) -> None:
    with pytest.raises(InputError, match=r"until_roofline is .*above 0 and up to 1"):
        Budget(64, until_roofline=share)


def test_a_budget_may_stop_at_the_roofline() -> None:
    assert Budget(1).until_roofline is None
    assert Budget(1, until_roofline=1).until_roofline == 1
    assert Budget(1, until_roofline=0.95).until_roofline == 0.95
