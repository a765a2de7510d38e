"""``colt pool check``: what is found out about endpoints, and how it is told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

pytest.importorskip("openai")

from colt.cli import main
from colt.proposers.language.probe import COLOURS, Finding, Reasoning, SchemaSupport, check, table, to_json
from colt.proposers.language.reply import schema
from tests.helpers.chat_members import KEY, PRICES, member
from tests.helpers.chat_server import ChatServer, Part


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(prices=PRICES) as server:
        yield server


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLT_TEST_KEY", KEY)


def found(server: ChatServer, part: Part, **changes: object) -> Finding:
    server.always = part
    (finding,) = check([member(server.url, **changes)])
    return finding


def test_a_good_endpoint(server: ChatServer) -> None:
    finding = found(server, Part.WELL, json_schema=True)
    assert finding.usable
    assert finding.problem == ""
    assert finding.schema is SchemaSupport.ENFORCED
    assert finding.usage_reported
    assert finding.reasoning is Reasoning.NONE
    assert finding.served_model == "org/small-7b"
    assert finding.latency_s is not None
    assert finding.typical_call_usd == Decimal("0.000975"), "1500 at 0.25 and 300 at 2 dollars per million"
    assert finding.spent_usd * 10**12 == server.billed_picodollars > 0


@pytest.mark.parametrize(
    ("part", "differs"),
    [
        (Part.SCHEMA_IGNORED, {"schema": SchemaSupport.IGNORED}),
        (Part.SCHEMA_REJECTED, {"schema": SchemaSupport.REJECTED}),
        (Part.SCHEMA_TORN, {"schema": SchemaSupport.UNKNOWN}),
        (Part.NO_USAGE, {"usage_reported": False}),
        (Part.REASONING_BESIDE, {"reasoning": Reasoning.SEPARATE}),
        (Part.WRONG_MODEL, {"served_model": "another-model"}),
    ],
)
def test_oddities_that_can_be_lived_with(server: ChatServer, part: Part, differs: dict[str, object]) -> None:
    finding = found(server, part)
    assert finding.usable
    usual = {
        "schema": SchemaSupport.ENFORCED,
        "usage_reported": True,
        "reasoning": Reasoning.NONE,
        "served_model": "org/small-7b",
    }
    assert {name: getattr(finding, name) for name in usual} == {**usual, **differs}


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        (Part.UNAUTHORISED, "answers 401: Incorrect API key provided"),
        (Part.NOT_FOUND, "answers 404: no model org/small-7b"),
        (Part.NO_MONEY, "answers 402"),
        (Part.LIMITED, "answers 429"),
        (Part.GARBAGE, "not JSON"),
        (Part.EMPTY, "the answer is empty"),
        (Part.HUNG_UP, "the connection broke off"),
        (Part.REASONING_ONLY, "the answer came in the reasoning channel"),
        (Part.USED_UP, "raise max_output_tokens"),
        (Part.KEY_IN_ERROR, "Incorrect API key provided: ***."),
    ],
)
def test_endpoints_that_are_of_no_use(server: ChatServer, part: Part, problem: str) -> None:
    finding = found(server, part)
    assert not finding.usable
    assert problem in finding.problem
    swallows = part in (Part.REASONING_ONLY, Part.USED_UP)
    assert (finding.reasoning is Reasoning.SWALLOWS) == swallows
    assert KEY not in repr(finding)


def test_a_member_that_claims_a_schema_its_endpoint_rejects_is_not_usable(server: ChatServer) -> None:
    finding = found(server, Part.SCHEMA_REJECTED, json_schema=True)
    assert not finding.usable
    assert "set json_schema = false" in finding.problem


def test_a_schema_that_would_be_enforced_is_pointed_out(server: ChatServer) -> None:
    finding = found(server, Part.WELL, json_schema=False)
    assert finding.usable
    assert "set json_schema = true" in finding.problem


@pytest.mark.parametrize(
    ("stated", "usable", "settings"),
    [
        ({"json_schema": True}, False, 'set response_format = "json_object" to'),
        ({"json_schema": False}, True, 'set json_schema = true and response_format = "json_object" to'),
        ({"json_schema": True, "response_format": "json_object"}, True, ""),
    ],
)
def test_the_form_of_the_schema_that_is_enforced_is_found(
    server: ChatServer, stated: dict[str, object], usable: bool, settings: str
) -> None:
    finding = found(server, Part.SCHEMA_AS_OBJECT, **stated)
    assert finding.schema is SchemaSupport.ENFORCED
    assert finding.usable == usable
    assert settings in finding.problem
    assert bool(settings) == bool(finding.problem)


def test_what_is_probed_with_is_the_schema_of_real_replies(server: ChatServer) -> None:
    found(server, Part.WELL)
    assert server.asked[0].body["response_format"]["json_schema"]["schema"] == schema(COLOURS)


@pytest.mark.alone
@pytest.mark.real
@pytest.mark.parametrize("after_tvm", [True, False])
def test_an_interruption_waits_for_nobody(server: ChatServer, after_tvm: bool) -> None:
    """Both servers' replies take longer than a test may. Once TVM has proved something, signals end no endless wait."""
    signal.siginterrupt(signal.SIGINT, not after_tvm)
    server.always, server.slow_s = Part.SLOW, 600.0

    def interrupt() -> None:
        while len(server.asked) < 2:
            time.sleep(0.01)
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        check([member(server.url, timeout_s=600.0), member(server.url, name="other", timeout_s=600.0)])


def test_members_are_probed_in_their_order_and_told_in_a_table(server: ChatServer) -> None:
    server.always = Part.WRONG_MODEL
    nowhere = member("http://127.0.0.1:1/v1", name="nowhere", prices=None, timeout_s=1.0)
    findings = check([member(server.url), nowhere, member(server.url, name="third")])
    assert [(finding.name, finding.usable) for finding in findings] == [
        ("small", True),
        ("nowhere", False),
        ("third", True),
    ]
    from rich.console import Console

    console = Console(width=200, markup=False)
    with console.capture() as capture:
        console.print(table(findings))
    shown = capture.get()
    for text in ("enforced", "reported", "0.000975", "answers as another-model", "NO", "cannot be reached"):
        assert text in shown
    assert "refused under --max-usd" in shown
    stored = json.loads(to_json(findings))
    assert not stored["usable"]
    assert stored["models"][0]["typical_call_usd"] == 0.000975
    assert stored["models"][1]["typical_call_usd"] is None


def pool_file(folder: Path, *urls: str) -> str:
    path = folder / "pool.toml"
    path.write_text(
        '[[member]]\nexpert = "scout"\n'
        + "".join(
            f'[[member]]\nname = "m{index}-8b"\nbase_url = "{url}"\napi_key_env = "COLT_TEST_KEY"\n'
            "timeout_s = 5\nprices = { input = 1, output = 1 }\n"
            for index, url in enumerate(urls)
        )
    )
    return str(path)


def test_the_command_prints_a_table_and_exits_with_0(
    server: ChatServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pool", "check", pool_file(tmp_path, server.url)]) == 0
    printed = capsys.readouterr()
    assert "m0-8b" in printed.out
    assert "enforced" in printed.out
    assert KEY not in printed.out + printed.err


def test_the_command_exits_with_1_if_some_are_not_usable(
    server: ChatServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pool", "check", "--json", pool_file(tmp_path, server.url, server.url + "/wrong")]) == 1
    models = json.loads(capsys.readouterr().out)["models"]
    assert [model["usable"] for model in models] == [True, False]


def test_the_command_exits_with_2_for_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pool", "check", str(tmp_path / "none.toml")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "none.toml cannot be read" in printed.err


def test_experts_need_no_probing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pool", "check", pool_file(tmp_path)]) == 0
    assert "nothing to probe" in capsys.readouterr().out


@pytest.mark.parametrize(("hidden", "missing"), [("openai", "openai package"), ("genai_prices", "genai-prices")])
def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path, hidden: str, missing: str) -> None:
    """In a process of its own, where the package cannot be imported."""
    path = tmp_path / "pool.toml"
    path.write_text('[[member]]\nname = "a-8b"\nbase_url = "http://127.0.0.1:1/v1"\n')
    if hidden == "openai":
        path.write_text(path.read_text() + "prices = { input = 0, output = 0 }\n")
    code = "import sys; sys.modules[sys.argv[1]] = None; from colt import cli; sys.exit(cli.main(sys.argv[2:]))"
    command = [sys.executable, "-c", code, hidden, "pool", "check", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert missing in done.stderr
    assert "pip install 'colt-tuner[models]'" in done.stderr
    assert "Traceback" not in done.stderr
