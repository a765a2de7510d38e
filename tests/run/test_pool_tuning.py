"""Whole runs with language models in the pool: mixed pools, absence, ceilings, keys, estimates, interrupts."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import colt
from colt import events
from colt.cli import main
from colt.cli.codes import INTERRUPTED
from colt.store.receipt import Receipt, load_receipt
from colt.world.parts import current, using
from tests.helpers.chat_members import KEY
from tests.helpers.chat_server import ChatServer, Part
from tests.helpers.pool_runs import KEY_VARIABLE, PoolRuns

ROOT = Path(__file__).parents[2]


def by_models(receipt: Receipt) -> int:
    """Trials of language models."""
    return sum(receipt.proposers[name].trials for name in receipt.models or {})


def calls(receipt: Receipt) -> int:
    return sum(model.answered + sum(model.failed.values()) for model in (receipt.models or {}).values())


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


# ---- pools ----


@pytest.mark.real
def test_a_run_with_two_models_on_real_hardware(pool_runs: PoolRuns) -> None:
    pool_runs.model("small", 1.0)
    pool_runs.model("large", 70.0)
    with using(replace(current(), measurer=None)):
        result = pool_runs.tune(trials=8, run_dir=pool_runs.folder / "run")
    receipt = result.receipt
    assert receipt.trials.total == 8
    assert by_models(receipt) >= 4
    assert receipt.verified.ok
    assert result.best is not None
    assert receipt.spending is not None
    assert receipt.models is not None
    assert receipt.spending.requests == sum(model.requests for model in receipt.models.values()) > 0
    assert load_receipt(pool_runs.folder / "run") == receipt
    called = [event for event in pool_runs.events if isinstance(event, events.Called)]
    assert sum(event.requests for event in called) == receipt.spending.requests


@pytest.mark.parametrize("sizes", [[8.0], [8.0, 8.0], [1.0, 8.0, 70.0]], ids=["one", "equal sizes", "three"])
def test_half_of_the_trials_are_the_models(pool_runs: PoolRuns, sizes: list[float]) -> None:
    for number, size in enumerate(sizes):
        pool_runs.model(f"model-{number}", size).delay_s = 0.05
    receipt = pool_runs.tune(trials=16).receipt
    assert receipt.trials.total == 16
    assert by_models(receipt) >= 8


@pytest.mark.parametrize("expert", ["tuner", "architect"])
def test_a_mixed_pool(pool_runs: PoolRuns, expert: str) -> None:
    pool_runs.expert(expert)
    pool_runs.model("model", 30.0)
    receipt = pool_runs.tune(trials=16).receipt
    assert receipt.trials.total == 16
    assert by_models(receipt) > 0
    assert receipt.models is not None
    assert set(receipt.models) == {"model"}
    assert receipt.proposers[expert].calls > 0


def test_a_model_beside_all_experts_is_asked(pool_runs: PoolRuns) -> None:
    for expert in ("scout", "tuner", "architect"):
        pool_runs.expert(expert)
    server = pool_runs.model("model", 1.0)
    receipt = pool_runs.tune(trials=16).receipt
    assert receipt.trials.total == 16
    assert server.asked
    assert by_models(receipt) > 0


# ---- nobody answers ----


def test_with_all_models_out_the_experts_go_on(pool_runs: PoolRuns) -> None:
    pool_runs.model("small", 1.0, always=Part.UNAUTHORISED)
    pool_runs.model("large", 8.0, always=Part.NOT_FOUND)
    receipt = pool_runs.tune().receipt
    assert (receipt.trials.total, receipt.stop_reason) == (10, "trials")
    assert by_models(receipt) == 0
    (said,) = [message for message in receipt.messages if "no language model can be asked" in message]
    assert "the built-in experts go on alone" in said
    assert "small: benched after failures, the last: auth" in said
    assert "large: benched after failures, the last: not-found" in said
    assert receipt.verified.ok


def test_a_strict_run_stops_with_what_it_has(pool_runs: PoolRuns) -> None:
    first = [Part.WELL] * 3
    pool_runs.model("small", 1.0, first, always=Part.UNAUTHORISED)
    pool_runs.model("large", 8.0, first, always=Part.NOT_FOUND)
    result = pool_runs.tune(trials=40, strict_pool=True, run_dir=pool_runs.folder / "run")
    receipt = result.receipt
    assert receipt.stop_reason == "pool"
    assert receipt.trials.total < 40
    assert receipt.verified.ok
    assert any("no language model can be asked, the run stops" in message for message in receipt.messages)
    assert load_receipt(pool_runs.folder / "run") == receipt


# ---- ceilings ----


@pytest.mark.parametrize(
    ("ceiling", "value"),
    [("max_usd", Decimal("0.012")), ("max_usd", 0), ("max_calls", 5), ("max_tokens", 40_000), ("max_seconds", 2.0)],
)
def test_a_ceiling_holds_with_calls_in_flight_and_the_run_goes_on(
    pool_runs: PoolRuns, ceiling: str, value: Any
) -> None:
    servers = [pool_runs.model(name, size) for name, size in (("small", 1.0), ("large", 8.0))]
    for server in servers:
        server.delay_s = 0.1
        server.parts = [Part.WELL, Part.DROPPED, Part.NO_USAGE, Part.ERROR]
    receipt = pool_runs.tune(trials=24, **{ceiling: value}).receipt
    assert (receipt.trials.total, receipt.stop_reason) == (24, "trials")
    spent = receipt.spending
    assert spent is not None
    assert getattr(spent, ceiling) == float(value)
    billed = sum(server.billed_picodollars for server in servers)
    assert billed <= round(spent.usd * 10**12)
    requests = sum(len(server.asked) for server in servers)
    assert requests <= spent.requests
    if ceiling == "max_usd":
        assert billed <= value * 10**12
        assert spent.usd <= value
    if ceiling == "max_calls":
        assert 0 < requests <= spent.requests <= value
    if ceiling == "max_tokens":
        assert 0 < spent.tokens <= value
    assert receipt.models is not None
    if ceiling != "max_seconds":
        assert any("refused-by-budget" in model.failed for model in receipt.models.values())
    if value != 0 and ceiling != "max_seconds":
        assert max(server.most_at_once for server in servers) > 1


def test_when_a_ceiling_leaves_no_call_it_is_said(pool_runs: PoolRuns) -> None:
    server = pool_runs.model("small", 1.0)
    receipt = pool_runs.tune(trials=16, max_calls=3).receipt
    assert receipt.trials.total == 16
    assert len(server.asked) == 3
    said = "no language model can be asked, the built-in experts go on alone (small: max-calls is 3: 3 spent"
    assert any(message.startswith(said) for message in receipt.messages)


# ---- bad input ----


@pytest.mark.parametrize(
    "options",
    [
        ("--max-usd", "-1"),
        ("--max-usd", "nan"),
        ("--max-usd", "two"),
        ("--max-calls", "-1"),
        ("--max-calls", "1.5"),
        ("--max-tokens", "-5"),
        ("--max-seconds", "0"),
        ("--max-seconds", "inf"),
    ],
)
def test_a_ceiling_that_is_none_is_refused(
    pool_runs: PoolRuns, options: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    server = pool_runs.model("small", 1.0)
    assert options[0].removeprefix("--") in refused(pool_runs, capsys, *options)
    assert server.asked == []


def test_a_price_must_be_known_for_dollars(pool_runs: PoolRuns, capsys: pytest.CaptureFixture[str]) -> None:
    pool_runs.model("small", 1.0, prices=None)
    said = refused(pool_runs, capsys, "--max-usd", "1")
    assert "the price of small is not known" in said
    assert "state prices in the pool file" in said


@pytest.mark.parametrize(
    "options", [("--max-usd", "1"), ("--max-calls", "9"), ("--strict-pool",), ("--keep-paying",), ("--dry-run",)]
)
def test_what_is_meant_for_models_needs_some(
    pool_runs: PoolRuns, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    pool_runs.expert("scout")
    assert "built-in experts alone" in refused(pool_runs, capsys, *options)


def test_a_key_that_is_not_set_is_refused(
    pool_runs: PoolRuns, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool_runs.model("small", 1.0, api_key_env=KEY_VARIABLE)
    monkeypatch.delenv(KEY_VARIABLE)
    said = refused(pool_runs, capsys)
    assert f"{KEY_VARIABLE} is not set" in said


@pytest.mark.parametrize("flag", ["strict_pool", "keep_paying"])
def test_a_flag_is_true_or_false(pool_runs: PoolRuns, flag: str) -> None:
    pool_runs.model("small", 1.0)
    with pytest.raises(colt.InputError, match=f"{flag} is 'no'"):
        pool_runs.tune(**{flag: "no"})


def refused(pool_runs: PoolRuns, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """What is said of options that are not usable: exit code 2, and nothing is written."""
    pool, run = pool_runs.pool, pool_runs.folder / "run"
    before = files(pool_runs.folder)
    try:
        code = main(["tune", pool_runs.program, "--pool", str(pool), "--run", str(run), *options])
    except SystemExit as exit_:
        code = int(str(exit_.code))
    assert code == 2
    assert files(pool_runs.folder) == before
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err


# ---- keys ----


def test_a_key_reaches_nothing_but_its_endpoint(
    pool_runs: PoolRuns, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    telling = (Part.KEY_IN_ANSWER, Part.KEY_IN_HEADER, Part.KEY_IN_ERROR, Part.HTML)
    servers = {part: pool_runs.model(part.name.lower(), 1.0, always=part, api_key_env=KEY_VARIABLE) for part in telling}
    pool_runs.model("good", 8.0, successors=[part.name.lower() for part in telling])  # so that each is asked
    run = pool_runs.folder / "run"
    many_calls = {"proposals_per_call": 1, "model_openings": 1}
    result = pool_runs.tune(trials=24, run_dir=run, settings=many_calls, keep_paying=True)
    assert result.receipt.trials.total == 24
    for part, server in servers.items():
        assert server.asked, part
        assert {asked.key for asked in server.asked} == {KEY}
    written = {path: path.read_bytes() for path in files(run) if path.is_file()}
    assert any(b"***" in content for content in written.values()), "nobody quoted it: this test shows nothing"
    out, err = capfd.readouterr()
    told = [out, err, caplog.text, repr(pool_runs.events), repr(result)]
    for form in (KEY, KEY.replace("/", "\\/"), KEY.split("/")[1]):
        assert not [path for path, content in written.items() if form.encode() in content]
        assert not [text for text in told if form in text]


# ---- estimates ----


def test_a_dry_run_estimates_asks_nobody_and_writes_nothing(
    pool_runs: PoolRuns, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = [pool_runs.model("small", 1.0), pool_runs.model("large", 70.0)]
    arguments = ["tune", pool_runs.program, "--pool", str(pool_runs.pool), "--trials", "32"]
    before = files(pool_runs.folder)
    settings = ["--proposals-per-call", "2", "--model-openings", "2"]
    assert main([*arguments, *settings, "--dry-run", "--json"]) == 0
    estimate = json.loads(capsys.readouterr().out)
    assert main([*arguments, *settings, "--dry-run"]) == 0
    assert f"about {estimate['calls']} calls for 32 trials" in " ".join(capsys.readouterr().out.split())
    assert files(pool_runs.folder) == before
    assert [server.asked for server in servers] == [[], []]
    assert not (ROOT / "runs").exists() or "own_program" not in str(list((ROOT / "runs").iterdir()))

    receipt = pool_runs.tune(trials=32).receipt
    assert calls(receipt) / 3 <= estimate["calls"] <= calls(receipt) * 3
    sent = [len(json.dumps(asked.body["messages"], ensure_ascii=False)) for server in servers for asked in server.asked]
    characters = sum(sent) / len(sent)
    assert characters / 6 <= estimate["input"] <= characters  # of 1 to 6 characters a token


# ---- interrupts ----

CHILD = """
import sys
from colt.tvm.own import leave_torch_out
leave_torch_out()
from colt import cli
from colt.world.parts import using
from tests.helpers.pool_runs import quick_machine
with using(quick_machine(in_turn_s=float(sys.argv[1]))):
    sys.exit(cli.main(sys.argv[2:]))
"""
LONG_S = 60.0
"""Longer than anybody is to wait."""


@pytest.fixture
def thinking(pool_runs: PoolRuns) -> list[ChatServer]:
    """Two models that take their time."""
    servers = [pool_runs.model(name, size, timeout_s=2 * LONG_S) for name, size in (("small", 1.0), ("large", 8.0))]
    for server in servers:
        server.delay_s = LONG_S
    return servers


def started(pool_runs: PoolRuns, servers: list[ChatServer], in_turn_s: float = 0.0) -> subprocess.Popen[str]:
    """``colt tune`` in a process of its own, with calls under way and some trials measured."""
    run = pool_runs.folder / "run"
    arguments = ["tune", pool_runs.program, "--pool", str(pool_runs.pool), "--run", str(run), "--batch-size", "4"]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(in_turn_s), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith("trial ") and sum(len(server.asked) for server in servers) > 1:
            return child
    raise AssertionError(f"the child ended: {child.wait()}")


@pytest.mark.real
def test_ctrl_c_waits_for_no_call(pool_runs: PoolRuns, thinking: list[ChatServer]) -> None:
    with started(pool_runs, thinking) as child:
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=LONG_S / 2)
    assert child.returncode == 0, err
    assert "Traceback" not in err
    assert "speed-up" in out
    receipt = load_receipt(pool_runs.folder / "run")
    assert receipt.stop_reason == "interrupted"
    assert receipt.verified.ok
    assert receipt.models is not None
    for name, server in zip(("small", "large"), thinking, strict=True):
        model = receipt.models[name]
        assert model.answered == 0
        assert model.requests == model.unreported == len(server.asked)
        assert model.failed["closed"] >= model.requests  # some may have waited for others of that model


@pytest.mark.real
def test_a_second_ctrl_c_drops_the_run(pool_runs: PoolRuns, thinking: list[ChatServer]) -> None:
    with started(pool_runs, thinking, in_turn_s=LONG_S) as child:
        child.send_signal(signal.SIGINT)
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=LONG_S / 2)
    assert child.returncode == INTERRUPTED, err
    assert "Traceback" not in err
    assert not (pool_runs.folder / "run" / "receipt.json").exists()
