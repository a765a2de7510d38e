"""The pool file: what it takes, what it fills in, and what it says about what it does not take."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from colt.errors import InputError
from colt.proposers.language.known import NOMINAL, OPEN, Size, size_of
from colt.proposers.language.money import Prices
from colt.proposers.language.prices import look_up
from colt.proposers.members import ExpertMember, ModelMember, PoolSpec
from colt.proposers.poolfile import MODEL_FIELDS, load_pool
from colt.search.types import MemberSpec

EXAMPLES = Path(__file__).parents[2] / "examples" / "pools"
KEY = "sk-test-0123456789abcdef"
ENVIRONMENT = {"OPENAI_API_KEY": KEY, "OPENROUTER_API_KEY": KEY, "BLANK": "two words", "EMPTY_KEY": ""}

FIRST = """\
[[member]]
expert = "tuner"

[[member]]
name = "local-7b"
base_url = "http://localhost:8000/v1"
prices = { input = 0, output = 0 }
"""


def load(tmp_path: Path, text: str) -> PoolSpec:
    path = tmp_path / "pool.toml"
    path.write_text(text)
    return load_pool(path, ENVIRONMENT)


def refused(tmp_path: Path, text: str) -> str:
    """The message, without the path that it begins with."""
    with pytest.raises(InputError) as raised:
        load(tmp_path, text)
    message = str(raised.value)
    assert message.startswith(str(tmp_path / "pool.toml"))
    assert KEY not in message
    return message.removeprefix(str(tmp_path / "pool.toml"))


@pytest.fixture(autouse=True)
def _needs_prices() -> None:
    pytest.importorskip("genai_prices")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_is_a_pool_with_prices(path: Path) -> None:
    pool = load_pool(path, ENVIRONMENT)
    assert pool.models
    for member in pool.models:
        assert member.prices is not None, f"{member.name}: {member.prices_from}"


def test_there_are_four_examples() -> None:
    found = {path.stem: load_pool(path, ENVIRONMENT) for path in EXAMPLES.glob("*.toml")}
    assert {name: len(pool.members) for name, pool in found.items()} == {
        "openai": 2,
        "eight": 8,
        "ollama": 3,
        "mixed": 3,
    }
    largest = max(found["eight"].specs, key=lambda spec: spec.size_b)
    assert largest.name == "gpt-5.2"


def test_a_model_gets_defaults_for_what_it_leaves_out(tmp_path: Path) -> None:
    expert, model = load(tmp_path, FIRST).members
    assert expert == ExpertMember("tuner")
    assert expert.spec == MemberSpec("tuner", 8.0, nominal=True)
    assert model == ModelMember(
        name="local-7b",
        model="local-7b",
        base_url="http://localhost:8000/v1",
        api_key_env=None,
        size_b=7.0,
        nominal=False,
        prices=Prices(Decimal(0), Decimal(0)),
        prices_from="pool file",
        concurrency=8,
        timeout_s=120.0,
        max_output_tokens=4096,
        max_output_field="max_tokens",
        json_schema=False,
        response_format="json_schema",
        temperature=None,
        reasoning_effort=None,
    )
    assert model.spec == MemberSpec("local-7b", 7.0, nominal=False)
    assert model.key(ENVIRONMENT) is None


def test_everything_can_be_stated(tmp_path: Path) -> None:
    text = """
[[member]]
name = "mine"
model = "org/model"
base_url = "https://example.org:8443/v1/"
api_key_env = "OPENAI_API_KEY"
size_b = 32.5
nominal = true
json_schema = true
response_format = "json_object"
concurrency = 2
timeout_s = 30
max_output_tokens = 1000
max_output_field = "max_completion_tokens"
temperature = 0.7
reasoning_effort = "high"
[member.prices]
input = 0.1
cached_input = 0.01
output = 2
"""
    (member,) = load(tmp_path, text).models
    assert member == ModelMember(
        name="mine",
        model="org/model",
        base_url="https://example.org:8443/v1",
        api_key_env="OPENAI_API_KEY",
        size_b=32.5,
        nominal=True,
        prices=Prices(Decimal("0.1"), Decimal(2), Decimal("0.01")),
        prices_from="pool file",
        concurrency=2,
        timeout_s=30.0,
        max_output_tokens=1000,
        max_output_field="max_completion_tokens",
        json_schema=True,
        response_format="json_object",
        temperature=0.7,
        reasoning_effort="high",
    )
    assert member.key(ENVIRONMENT) == KEY
    assert KEY not in repr(member)
    stated = {line.split(" =")[0] for line in text.splitlines() if " =" in line} - {"input", "cached_input", "output"}
    assert stated | {"prices"} == set(MODEL_FIELDS), "this test states every field"


def test_openai_is_asked_in_its_own_words(tmp_path: Path) -> None:
    (member,) = load(
        tmp_path,
        '[[member]]\nname = "gpt-5-mini"\nbase_url = "https://api.openai.com/v1"\napi_key_env = "OPENAI_API_KEY"',
    ).models
    assert member.max_output_field == "max_completion_tokens"
    assert member.json_schema
    assert member.spec == MemberSpec("gpt-5-mini", 100, nominal=True)
    assert member.prices is not None
    assert member.prices.output > member.prices.input > (member.prices.cached_input or 0) > 0
    assert member.prices_from.startswith("genai-prices ")


def test_an_endpoint_that_the_database_does_not_know_has_no_price(tmp_path: Path) -> None:
    (member,) = load(tmp_path, FIRST.replace("prices = { input = 0, output = 0 }\n", "")).models
    assert member.prices is None
    assert "does not know" in member.prices_from


def test_of_prices_in_tiers_the_highest_counts() -> None:
    prices = look_up("gemini-2.5-pro", "https://generativelanguage.googleapis.com/v1beta/openai").prices
    assert prices is not None
    assert prices.input == Decimal("2.5"), "1.25 up to 200,000 tokens, 2.5 above"


MODEL = '[[member]]\nname = "m-7b"\nbase_url = "http://localhost/v1"\nprices = { input = 0, output = 0 }\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ["has no members", "[[member]]"]),
        ("member = 3", [", line 1", "has no members"]),
        ('\n[member]\nexpert = "scout"', [", line 2", "has no members", "[[member]]"]),
        ("member = []", [", line 1", "has no members"]),
        ("[[member]]\nname = ?", ["is not TOML", "line 2"]),
        (MODEL + "prices = { input = 1, output = 1 }", ["is not TOML", "line 5"]),
        ("[[member]]\nname = \x00", ["is not TOML"]),
        ('[[member]]\nexpert = "tuner"\n[search]\nbranching = 3', [", line 3", "'search' is not known here"]),
        ("[[member]]", [", line 1", "needs a 'name' and a 'base_url', or an 'expert'"]),
        ('[[member]]\nexpert = "wizard"', [", line 2", "'wizard'", "scout, tuner, architect"]),
        ('[[member]]\nexpert = ["scout"]', [", line 2", "a list"]),
        ('[[member]]\nexpert = "scout"\nsize_b = 3', [", line 3", "takes no 'size_b'"]),
        ('[[member]]\nexpert = "scout"\n\n[[member]]\nexpert = "scout"', [", line 5", "'scout' twice"]),
        (MODEL + MODEL, [", line 6", "'m-7b' twice"]),
        (MODEL + "tempreature = 1\n", [", line 5", "'tempreature'", "did you mean 'temperature'?"]),
        (MODEL.replace("name", "nmae"), [", line 2", "did you mean 'name'?"]),
        (MODEL + 'api_key = "' + KEY + '"', [", line 5", "keys do not belong in the file", "api_key_env"]),
        (MODEL + 'api_key_env = "' + KEY + '"', [", line 5", "the name of an environment variable"]),
        (MODEL + 'api_key_env = "gsk_abcDEF0123"', [", line 5", "the variable that api_key_env names is not set"]),
        (MODEL + 'api_key_env = "UNSET_KEY"', [", line 5", "UNSET_KEY is not set"]),
        (MODEL + 'api_key_env = "EMPTY_KEY"', [", line 5", "EMPTY_KEY is not set"]),
        (MODEL + 'api_key_env = "BLANK"', [", line 5", "BLANK holds blanks"]),
        (MODEL + "api_key_env = 3", [", line 5", "takes one line of text"]),
        (MODEL.replace("m-7b", "tuner"), [", line 2", "built-in expert"]),
        (MODEL.replace("m-7b", "sampled"), [", line 2", "name the model differently"]),
        (MODEL + f"size_b = {'9' * 5000}", ["is not TOML"]),
        (MODEL.replace("m-7b", "a b"), [", line 2", "without blanks"]),
        (MODEL.replace("m-7b", "nobody-knows"), [", line 1", "size of 'nobody-knows'", "state size_b"]),
        (MODEL + 'model = ""', [", line 5", "takes one line of text"]),
        (MODEL.replace("http://localhost/v1", "localhost:80"), [", line 3", "not an address", "https://"]),
        (MODEL.replace("http://localhost/v1", "http://[x"), [", line 3", "not an address"]),
        (MODEL.replace("http://localhost/v1", "ftp://host/v1"), [", line 3", "not an address"]),
        (MODEL.replace("http://localhost/v1", "http://host:99999/"), [", line 3", "not an address"]),
        (MODEL.replace("//localhost", f"//user:{KEY}@localhost"), [", line 3", "keys go in api_key_env"]),
        (MODEL.replace("/v1", f"/v1?key={KEY}"), [", line 3", "keys go in api_key_env"]),
        (MODEL.replace('base_url = "http://localhost/v1"\n', ""), [", line 1", "base_url is missing"]),
        (MODEL + "size_b = 0", [", line 5", "size_b is 0", "from 0.001 to"]),
        (MODEL + 'size_b = "7"', [", line 5", "size_b is '7'"]),
        (MODEL + "size_b = nan", [", line 5", "size_b is NaN"]),
        (MODEL + "size_b = true", [", line 5", "size_b is True"]),
        (MODEL + "nominal = true", [", line 5", "there is no size_b"]),
        (MODEL + "size_b = 3\nnominal = 1", [", line 6", "true or false"]),
        (MODEL + "concurrency = 2.0", [", line 5", "an integer from 1 to 256"]),
        (MODEL + "timeout_s = -1", [", line 5", "a number from 0.1"]),
        (MODEL + "max_output_tokens = 0", [", line 5", "from 16"]),
        (MODEL + f'temperature = "{KEY}"', [", line 5", "temperature is a str"]),
        (MODEL + 'reasoning_effort = "hgih"', [", line 5", "'hgih'", "minimal, low, medium"]),
        (MODEL + 'response_format = "xml"', [", line 5", "json_schema, json_object"]),
        (MODEL + 'max_output_field = "n"', [", line 5", "max_tokens, max_completion_tokens"]),
        (MODEL.replace("{ input = 0, output = 0 }", "3"), [", line 4", "dollars per million tokens"]),
        (MODEL.replace("output = 0", "output = -1"), [", line 4", "price of output is -1"]),
        (MODEL.replace("output = 0", "output = nan"), [", line 4", "price of output is NaN"]),
        (MODEL.replace("output = 0", "outptu = 0"), [", line 4", "did you mean 'output'?"]),
        (MODEL.replace(", output = 0", ""), [", line 4", "needs input and output"]),
        ('member = [{ name = "m" }]', [", member 1", "base_url is missing"]),
    ],
)
def test_what_is_not_usable_is_named_with_its_line(tmp_path: Path, text: str, says: list[str]) -> None:
    message = refused(tmp_path, text)
    for part in says:
        assert part in message, message
    assert "gsk_" not in message


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeff" + FIRST) == load(tmp_path, FIRST)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.toml cannot be read: No such file"):
        load_pool(tmp_path / "nothing.toml", ENVIRONMENT)
    os.mkfifo(tmp_path / "fifo.toml")
    for special in (tmp_path, tmp_path / "fifo.toml", Path("/dev/zero")):
        with pytest.raises(InputError, match="is not a file"):
            load_pool(special, ENVIRONMENT)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("gpt-5.2", Size(600, True)),
        ("openai/gpt-5-mini", Size(100, True)),
        ("gpt-5-mini-2025-08-07", Size(100, True)),
        ("gpt-4o-mini", Size(30, True)),
        ("claude-sonnet-4-5-20250929", Size(400, True)),
        ("anthropic/claude-3.5-haiku", Size(70, True)),
        ("gpt-oss:20b", Size(20.9, False)),
        ("openai/gpt-oss-120b", Size(116.8, False)),
        ("qwen3:8b", Size(8, False)),
        ("qwen/qwen3-30b-a3b", Size(30, False)),
        ("Qwen/Qwen2.5-Coder-1.5B-Instruct", Size(1.5, False)),
        ("DeepSeek-R1-Distill-Qwen-32B", Size(32, False)),
        ("meta-llama/Llama-3.1-8B-Instruct", Size(8, False)),
        ("mistralai/Mixtral-8x7B-Instruct", Size(46.7, False)),
        ("mistralai/devstral-small-2505", Size(23.6, False)),
        ("deepseek/deepseek-r1:free", Size(671, False)),
        ("my-model", None),
        ("0b", None),
    ],
)
def test_sizes_come_from_the_tables_or_from_the_name(name: str, size: Size | None) -> None:
    assert size_of(name) == size


def test_no_model_is_both_open_and_nominal() -> None:
    assert not OPEN.keys() & NOMINAL.keys()
