"""A plan: what the user asked for, with what follows from the pool, written to a config and read from one."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from colt.cli import main
from colt.errors import InputError
from colt.options import SearchConfig
from colt.plan import Plan, plan
from colt.proposers.language.alternatives import FEWEST, MOST, alternatives_per_call
from colt.proposers.language.money import Prices
from colt.proposers.language.prompt import member_in_words
from colt.proposers.members import ExpertMember, PoolSpec
from colt.proposers.poolfile import read_pool
from colt.run import loop
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


def test_prompts_tell_what_members_cost() -> None:
    told = member_in_words(member(URL, prices=priced(0.25, 2)))
    assert (told.usd_in, told.usd_out) == (0.25, 2.0)
    assert member_in_words(ExpertMember("tuner")).usd_out == 0.0
    assert member_in_words(member(URL, prices=None)).usd_in is None


def test_a_pool_is_a_file_or_names(tmp_path: Path) -> None:
    assert read_pool("scout").experts == ("scout",)
    assert read_pool(["scout", "tuner"]).experts == read_pool("scout,tuner").experts == ("scout", "tuner")
    assert read_pool(None) == PoolSpec.built_in()
    (tmp_path / "pool.toml").write_text('[[member]]\nexpert = "tuner"\n')
    assert read_pool(tmp_path / "pool.toml") == read_pool(str(tmp_path / "pool.toml")) == read_pool(("tuner",))
    with pytest.raises(InputError, match="cannot be read"):
        read_pool("nowhere.toml")


# ---- settings of the search ----

MODELS = """
[[member]]
name = "small"
base_url = "http://127.0.0.1:1/v1"
size_b = 7
concurrency = 3
prices = { input = 1, output = 100 }

[[member]]
name = "large"
base_url = "http://127.0.0.1:1/v1"
size_b = 70
concurrency = 3
prices = { input = 1, output = 100 }
"""
EXPERTS = '[[member]]\nexpert = "scout"\n\n[[member]]\nexpert = "tuner"\n'
PRESET = SearchConfig.preset("models", proposals_per_call=FEWEST)


@pytest.fixture
def pool(tmp_path: Path) -> str:
    """A pool file of two language models that nobody asks."""
    pytest.importorskip("openai", reason="language models come with the extra models")
    (tmp_path / "pool.toml").write_text(MODELS)
    return str(tmp_path / "pool.toml")


def test_the_preset_follows_from_the_pool(pool: str) -> None:
    assert plan("gemv").config == SearchConfig()
    assert plan("gemv", pool=pool).config == PRESET


def test_what_is_stated_stays(pool: str) -> None:
    stated = SearchConfig.preset("paper", proposals_per_call=5)
    assert plan("gemv", pool=pool, config=stated).config == stated
    assert plan("gemv", pool=pool, config=SearchConfig(proposals_per_call=0)).config.proposals_per_call == FEWEST
    assert plan("gemv", config=SearchConfig(proposals_per_call=0)).config.proposals_per_call == 1


def test_settings_by_name_go_over_the_preset_for_the_pool(pool: str) -> None:
    assert plan("gemv", pool=pool, config={"rollouts": 1}).config == replace(PRESET, rollouts=1)
    assert plan("gemv", config={"rollouts": 1}).config == SearchConfig(rollouts=1)
    with pytest.raises(InputError, match="unknown search option 'rolouts'; did you mean rollouts"):
        plan("gemv", config={"rolouts": 1})
    with pytest.raises(InputError, match="unknown search option 3"):
        plan("gemv", config={3: 1})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="config is of type str; it takes a SearchConfig"):
        plan("gemv", config="paper")  # type: ignore[arg-type]


@pytest.mark.parametrize(("most", "expected"), [(8, 6), (1, 1)])
def test_no_more_at_once_than_wanted_or_than_endpoints_take(most: int, expected: int, pool: str) -> None:
    assert plan("gemv", pool=pool, config={"calls_in_flight": most}).calls_at_once == expected


# ---- the command line ----


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """The plan that ``colt tune`` makes of its arguments."""
    made: list[Plan] = []

    def run(plan: Plan, listeners: object) -> None:
        made.append(plan)
        raise InputError("enough")

    monkeypatch.setattr(loop, "run", run)
    monkeypatch.chdir(tmp_path)

    def planned(*arguments: str) -> Plan:
        assert main(["tune", "gemv", *arguments]) == 2
        return made.pop()

    return planned


def test_a_pool_file_of_experts_alone_searches_as_their_names_do(planned: Callable[..., Plan], tmp_path: Path) -> None:
    (tmp_path / "experts.toml").write_text(EXPERTS)
    for settings in ((), ("--rollouts", "1"), ("--preset", "paper")):
        by_name, by_file = (planned("--pool", pool, *settings) for pool in ("scout,tuner", "experts.toml"))
        assert by_file.to_config("tree") == by_name.to_config("tree")


def test_a_preset_a_file_and_single_settings_override_in_that_order(
    planned: Callable[..., Plan], pool: str, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text("[search]\nrollouts = 1\nbatch_size = 4\n")
    over = ("--config", "config.toml", "--batch-size", "5")
    assert planned(*over).config == SearchConfig(rollouts=1, batch_size=5, batch_growth="off")
    assert planned("--pool", pool, *over).config == replace(PRESET, rollouts=1, batch_size=5, batch_growth="off")
    assert planned("--pool", pool, "--preset", "default").config == SearchConfig()
    paper = SearchConfig.preset("paper", rollouts=1, batch_size=5)
    assert planned("--preset", "paper", *over).config == paper


# ---- the config of a run ----


def stored(made: Plan) -> dict[str, Any]:
    return tomllib.loads(tomli_w.dumps(made.to_config("tree")))


def test_a_plan_is_read_from_its_config(pool: str) -> None:
    options: dict[str, Any] = {
        "trials": 7,
        "seconds": 1.5,
        "until_roofline": 0.5,
        "seed": 3,
        "threads": 1,
        "exact_math": True,
        "max_usd": Decimal("0.1"),
        "max_calls": 9,
        "max_tokens": 1000,
        "max_seconds": 60,
        "strict_pool": True,
        "keep_paying": True,
    }
    made = plan("gemv", size="small", pool=pool, **options)
    read = Plan.from_config(stored(made), made.program.module)
    assert {name: getattr(read.options, name) for name in options} == {**options, "max_usd": 0.1}
    for name in ("spec", "threads", "pool", "config", "budget", "ceilings", "space", "run_dir"):
        assert getattr(read, name) == getattr(made, name), name
    assert str(read.target) == str(made.target)
    assert (read.program.name, read.program.size) == ("gemv", "small")
    assert read.to_config("tree") == stored(made)


def test_a_board_is_read_from_a_config() -> None:
    made = plan("gemv", rpc=" board:9190", key="pi", threads=64)
    read = Plan.from_config(stored(made), made.program.module)
    assert (read.device.address, read.threads) == (made.device.address, 64)


def test_configs_of_older_runs_lack_newer_options() -> None:
    made = plan("gemv")
    config = stored(made)
    for name in ("strict_pool", "keep_paying", "exact_math"):
        del config["run"][name]
    assert Plan.from_config(config, made.program.module).to_config("tree") == stored(made)


@pytest.mark.parametrize(
    ("table", "changes", "message"),
    [
        ("run", {"trails": 3}, "unknown option 'trails'; did you mean trials"),
        ("run", {"trials": "many"}, "trials is 'many'; it takes an integer of at least 0"),
        ("run", {"seed": 16**5000}, "seed is a vast integer; it takes an integer from 0"),
        ("run", {"seed": 2**31}, "seed is 2147483648; it takes an integer from 0 to 2147483647"),
        ("run", {"threads": 0}, "threads is 0; it takes an integer from 1"),
        ("run", {"threads": True}, "threads is True"),
        ("run", {"exact_math": 1}, "exact_math is 1; it takes True or False"),
        ("run", {"max_usd": float("nan")}, "max_usd is nan; it takes a number of dollars"),
        ("run", {"size": 3}, "size is 3; it takes text"),
        ("run", {"rpc": "board"}, "rpc is 'board'"),
        ("run", {"space": "outer"}, "space is 'outer'; it takes one of colt, metaschedule"),
        ("run", {"name": ["gemv"]}, "name takes text"),
        ("run", {"target": {"kind": "llvm"}}, "target takes text"),
        ("run", {"run_dir": "/"}, "unknown option 'run_dir'"),
        ("search", {"rolouts": 1}, "unknown search option 'rolouts'; did you mean rollouts"),
        ("search", {"rollouts": -1}, "rollouts is -1"),
    ],
)
def test_a_config_that_no_run_writes_is_refused(table: str, changes: dict[str, Any], message: str) -> None:
    made = plan("gemv")
    config = stored(made)
    config[table] |= changes
    with pytest.raises(InputError, match=message):
        Plan.from_config(config, made.program.module)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "it needs the tables run and search, and a list of member tables"),
        ({"run": 3, "search": {}, "member": [{}]}, "it needs the tables"),
        ({"run": {}, "search": {}, "member": [3]}, "it needs the tables"),
        ({"run": {}, "search": {}, "member": [{}]}, "the table run has no program"),
        ({"runs": {}}, "unknown table 'runs'; did you mean run"),
    ],
)
def test_a_config_without_its_tables_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Plan.from_config(config, None)
