"""Settings of a run that follow from its pool."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from colt.errors import InputError
from colt.options import SearchConfig
from colt.proposers.language.money import Prices
from colt.proposers.poolfile import ExpertMember, PoolSpec
from colt.run.calling import (
    FEWEST,
    MOST,
    alternatives_per_call,
    calls_at_once,
    member_in_words,
    read_pool,
    resolved_config,
)
from tests.helpers.chat_members import member

URL = "http://127.0.0.1:1/v1"


def priced(given: float, made: float) -> Prices:
    return Prices(Decimal(str(given)), Decimal(str(made)))


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        (priced(1, 100), FEWEST),
        (priced(1, 8), 3),
        (priced(1, 4), 4),
        (priced(1, 3), 6),
        (priced(1, 1), MOST),
        (priced(0, 0), FEWEST),
        (None, FEWEST),
    ],
)
def test_so_many_alternatives_cost_about_as_much_as_the_prompt(prices: Prices | None, expected: int) -> None:
    assert alternatives_per_call([member(URL, prices=prices)]) == expected


def test_of_several_prices_the_typical_one_counts() -> None:
    cheap, dear = member(URL, prices=priced(1, 2)), member(URL, prices=priced(1, 16))
    assert alternatives_per_call([cheap, dear]) == alternatives_per_call([member(URL, prices=priced(2, 11.3))])
    assert alternatives_per_call([cheap, member(URL, prices=None)]) == alternatives_per_call([cheap])


def test_what_is_stated_stays() -> None:
    pool = PoolSpec((member(URL),))
    assert resolved_config(SearchConfig.preset("models", proposals_per_call=5), pool).proposals_per_call == 5
    assert resolved_config(None, pool) == SearchConfig.preset("models", proposals_per_call=FEWEST)


def test_without_models_nothing_changes() -> None:
    assert resolved_config(None, PoolSpec.built_in()) == SearchConfig()
    assert resolved_config(SearchConfig(proposals_per_call=0), PoolSpec.built_in()).proposals_per_call == 1


def test_prompts_tell_what_members_cost() -> None:
    told = member_in_words(member(URL, prices=priced(0.25, 2)))
    assert (told.usd_in, told.usd_out) == (0.25, 2.0)
    assert member_in_words(ExpertMember("tuner")).usd_out == 0.0
    assert member_in_words(member(URL, prices=None)).usd_in is None


def test_a_pool_is_a_file_or_names(tmp_path: Path) -> None:
    assert read_pool("scout").experts == ("scout",)
    assert read_pool(["scout", "tuner"]).experts == ("scout", "tuner")
    (tmp_path / "pool.toml").write_text('[[member]]\nexpert = "tuner"\n')
    assert read_pool(tmp_path / "pool.toml") == read_pool(str(tmp_path / "pool.toml")) == read_pool(("tuner",))
    with pytest.raises(InputError, match="cannot be read"):
        read_pool("nowhere.toml")


@pytest.mark.parametrize(("most", "concurrency", "expected"), [(8, 8, 8), (8, 3, 6), (1, 3, 1)])
def test_no_more_at_once_than_wanted_or_than_endpoints_take(most: int, concurrency: int, expected: int) -> None:
    models = [member(URL, concurrency=concurrency), member(URL, name="large", concurrency=concurrency)]
    assert calls_at_once(SearchConfig(calls_in_flight=most), models) == expected
