"""The chat client over real HTTP, against a server that plays all parts."""

from __future__ import annotations

import dataclasses
import json
import logging
import random
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("openai")
import httpx2

from colt.proposers.language.body import request_body
from colt.proposers.language.breaker import Breaker, BreakerPolicy
from colt.proposers.language.client import CallTiming, ChatClient
from colt.proposers.language.completion import ChatError, ChatRequest, Completion, ErrorKind, ReplySchema
from colt.proposers.language.money import Ceilings, Ledger, Spending, Usage, dollars
from colt.proposers.language.retry import RetryPolicy
from colt.proposers.language.wire import HEADERS, MOST_BYTES
from tests.helpers.chat_members import KEY, PRICES, member
from tests.helpers.chat_server import ANSWER, INJECTION, REQUEST_ID, ChatServer, Part

SCHEMA = ReplySchema("colour", {"type": "object", "properties": {"colour": {"type": "string", "enum": ["red"]}}})
ASK = ChatRequest("You are brief.", "Which colour has a ripe strawberry?")


class Fixture:
    """A server, a client of it, and the waits that the client makes, none of which takes any time."""

    def __init__(self) -> None:
        self.server = ChatServer(prices=PRICES)
        self.ledger = Ledger()
        self.waits: list[float] = []
        self.clients: list[ChatClient] = []

    def client(self, *parts: Part, **changes: Any) -> ChatClient:
        self.server.parts = list(parts)
        settings = {name: changes.pop(name) for name in ("retry", "breaker", "ledger", "timing") if name in changes}
        ledger = settings.pop("ledger", self.ledger)
        settings.setdefault("timing", CallTiming(sleep=self.waits.append))
        made = ChatClient(
            member(changes.pop("url", self.server.url), **changes),
            ledger,
            environment={"COLT_TEST_KEY": KEY},
            **settings,
        )
        self.clients.append(made)
        return made


@pytest.fixture
def chat() -> Iterator[Fixture]:
    fixture = Fixture()
    with fixture.server:
        yield fixture
        for client in fixture.clients:
            client.close()


def failure(client: ChatClient, request: ChatRequest = ASK) -> ChatError:
    with pytest.raises(ChatError) as raised:
        client.complete(request)
    error = raised.value
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    assert KEY not in shown
    assert error.__context__ is None, "the SDK's exceptions hold the request, and that the key"
    return error


# ---- what is sent ----


def test_a_request_carries_model_messages_key_and_a_maximum_output(chat: Fixture) -> None:
    chat.client().complete(ASK)
    (asked,) = chat.server.asked
    assert asked.body == {
        "model": "org/small-7b",
        "messages": [
            {"role": "system", "content": "You are brief."},
            {"role": "user", "content": "Which colour has a ripe strawberry?"},
        ],
        "max_tokens": 200,
    }
    assert asked.key == KEY


def test_parameters_are_sent_when_they_are_stated(chat: Fixture) -> None:
    client = chat.client(
        temperature=0.5, reasoning_effort="low", max_output_field="max_completion_tokens", json_schema=True
    )
    client.complete(ChatRequest("", "?", SCHEMA, max_output_tokens=64))
    (asked,) = chat.server.asked
    assert asked.body == {
        "model": "org/small-7b",
        "messages": [{"role": "user", "content": "?"}],
        "max_completion_tokens": 64,
        "temperature": 0.5,
        "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "colour", "schema": dict(SCHEMA.schema), "strict": True},
        },
    }


def test_a_schema_goes_in_the_form_that_the_endpoint_takes(chat: Fixture) -> None:
    completion = chat.client(json_schema=True, response_format="json_object").complete(ChatRequest("", "?", SCHEMA))
    assert chat.server.asked[0].body["response_format"] == {"type": "json_object", "schema": dict(SCHEMA.schema)}
    assert json.loads(completion.text) == {"colour": "red"}


def test_a_request_cannot_raise_the_maximum_output(chat: Fixture) -> None:
    chat.client().complete(ChatRequest("", "?", max_output_tokens=10_000))
    assert chat.server.asked[0].most_output == 200


def test_a_schema_goes_only_to_endpoints_that_enforce_it(chat: Fixture) -> None:
    chat.client(json_schema=False).complete(dataclasses.replace(ASK, schema=SCHEMA))
    assert "response_format" not in chat.server.asked[0].body


def test_without_a_key_no_other_key_is_sent(chat: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    chat.client(api_key_env=None).complete(ASK)
    assert "authorization" not in chat.server.asked[0].headers


SETTINGS = {"OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj-1", "OPENAI_CUSTOM_HEADERS": "X-Secret: 1"}


def test_no_setting_of_openais_goes_to_other_endpoints(chat: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    chat.client().complete(ASK)
    assert set(chat.server.asked[0].headers) <= HEADERS


def test_openai_is_told_organization_and_project(chat: Fixture) -> None:
    given = {"OpenAI-Organization": "org-1", "OpenAI-Project": "proj-1", "X-Secret": "1", "Authorization": "another"}
    request = httpx2.Request("POST", "https://api.openai.com/v1", headers=given, extensions={"timeout": {"read": 1.0}})
    chat.client()._wire._prepare(request)
    assert dict(request.headers) == {
        "host": "api.openai.com",
        "content-length": "0",
        "openai-organization": "org-1",
        "openai-project": "proj-1",
        "authorization": f"Bearer {KEY}",
    }


def test_openrouter_is_told_the_highest_price_and_to_keep_the_bound(chat: Fixture) -> None:
    body = request_body(chat.client(url="https://openrouter.ai/api/v1").member, ASK)
    assert body["provider"] == {"require_parameters": True, "max_price": {"prompt": 0.25, "completion": 2.0}}
    assert "provider" not in request_body(chat.client().member, ASK)


def test_text_that_cannot_be_encoded_is_sent_all_the_same(chat: Fixture) -> None:
    chat.client().complete(ChatRequest("", "a\ud800b\x00ü"))
    assert chat.server.asked[0].body["messages"] == [{"role": "user", "content": "a?b\x00ü"}]


# ---- good answers ----


def test_a_good_answer_comes_with_usage_and_what_it_cost(chat: Fixture) -> None:
    done = chat.client().complete(ASK)
    assert (done.text, done.reasoning, done.answer) == (ANSWER, "", ANSWER)
    assert (done.finish_reason, done.request_id, done.served_model) == ("stop", REQUEST_ID, "org/small-7b")
    assert done.attempts == 1
    assert done.usage_reported
    assert done.latency_s > 0
    assert done.spent.picodollars == PRICES.cost(done.usage) == chat.server.billed_picodollars
    assert chat.ledger.spent() == {"small": done.spent}


@pytest.mark.parametrize("part", [Part.NO_USAGE, Part.ZERO_USAGE, Part.MAD_USAGE])
def test_without_usage_the_bound_is_charged(chat: Fixture, part: Part) -> None:
    done = chat.client(part).complete(ASK)
    assert not done.usage_reported
    assert done.usage == Usage(done.spent.input, 200)
    assert done.spent.unreported == 1
    assert done.spent.picodollars >= chat.server.billed_picodollars > 0


def test_reasoning_is_kept_apart_and_answers_where_there_is_no_text(chat: Fixture) -> None:
    client = chat.client(Part.REASONING_BESIDE, Part.REASONING_ONLY)
    beside, alone = client.complete(ASK), client.complete(ASK)
    assert (beside.text, beside.reasoning) == (ANSWER, "I think it is red.")
    assert (alone.text, alone.answer) == ("", ANSWER)


@pytest.mark.parametrize(
    ("part", "holds"),
    [
        (Part.SCHEMA_IGNORED, ANSWER),
        (Part.UNKNOWN_KNOBS, "no.such.knob"),
        (Part.HIDDEN_INSTRUCTIONS, INJECTION),
        (Part.WRONG_MODEL, ANSWER),
    ],
)
def test_text_is_handed_on_as_it_is(chat: Fixture, part: Part, holds: str) -> None:
    done = chat.client(part).complete(ASK)
    assert holds in done.text
    assert done.served_model == ("another-model" if part is Part.WRONG_MODEL else "org/small-7b")


# ---- faults ----

FAULTS: list[tuple[Part, ErrorKind, str]] = [
    (Part.UNAUTHORISED, ErrorKind.AUTH, "answers 401: Incorrect API key provided"),
    (Part.FORBIDDEN, ErrorKind.AUTH, "answers 403: not in your country"),
    (Part.NO_MONEY, ErrorKind.QUOTA, "answers 402: insufficient credits"),
    (Part.NO_QUOTA, ErrorKind.QUOTA, "answers 429: you exceeded your quota"),
    (Part.NOT_FOUND, ErrorKind.NOT_FOUND, "answers 404: no model org/small-7b"),
    (Part.HTML, ErrorKind.NOT_FOUND, "answers 404: 404 Nothing here."),
    (Part.BAD_REQUEST, ErrorKind.BAD_REQUEST, "answers 400: unsupported parameter"),
    (Part.REDIRECT, ErrorKind.BAD_REQUEST, "answers 307: no reason given"),
    (Part.GARBAGE, ErrorKind.GARBAGE, "not JSON"),
    (Part.NO_COMPLETION, ErrorKind.GARBAGE, "not a chat completion"),
    (Part.BOMB, ErrorKind.GARBAGE, "not JSON"),
    (Part.EMPTY, ErrorKind.EMPTY, "the answer is empty"),
    (Part.USED_UP, ErrorKind.EMPTY, "raise max_output_tokens"),
    (Part.HUGE, ErrorKind.TOO_LARGE, f"more than {MOST_BYTES} bytes"),
    (Part.HUGE_ERROR, ErrorKind.TOO_LARGE, f"more than {MOST_BYTES} bytes"),
]
PASSING: list[tuple[Part, ErrorKind, str]] = [
    (Part.LIMITED, ErrorKind.RATE_LIMIT, "answers 429: slow down"),
    (Part.LIMITED_SECONDS, ErrorKind.RATE_LIMIT, "answers 429: slow down"),
    (Part.LIMITED_DATE, ErrorKind.RATE_LIMIT, "answers 429: slow down"),
    (Part.ERROR, ErrorKind.SERVER, "answers 500: oops"),
    (Part.OVERLOADED, ErrorKind.SERVER, "answers 503: overloaded"),
    (Part.ERROR_IN_BODY, ErrorKind.SERVER, "the provider returned an error"),
    (Part.HUNG_UP, ErrorKind.CONNECTION, "the connection broke off"),
    (Part.DROPPED, ErrorKind.CONNECTION, "the connection broke off"),
]
UNBILLED = {
    Part.UNAUTHORISED,
    Part.FORBIDDEN,
    Part.NO_MONEY,
    Part.NO_QUOTA,
    Part.NOT_FOUND,
    Part.HTML,
    Part.BAD_REQUEST,
    Part.REDIRECT,
    Part.LIMITED,
    Part.LIMITED_SECONDS,
    Part.LIMITED_DATE,
}


@pytest.mark.parametrize(("part", "kind", "says"), FAULTS, ids=[part for part, _, _ in FAULTS])
def test_a_fault_that_stays_is_not_tried_again(chat: Fixture, part: Part, kind: ErrorKind, says: str) -> None:
    error = failure(chat.client(part))
    assert error.kind is kind
    assert str(error).startswith("small: ")
    assert says in str(error)
    assert error.attempts == len(chat.server.asked) == 1
    assert chat.waits == []
    assert error.spent.picodollars >= chat.server.billed_picodollars
    assert (error.spent.picodollars == 0) == (part in UNBILLED)
    assert chat.ledger.reserved() == Spending()


@pytest.mark.parametrize(("part", "kind", "says"), PASSING, ids=[part for part, _, _ in PASSING])
def test_a_fault_that_may_pass_is_tried_again(chat: Fixture, part: Part, kind: ErrorKind, says: str) -> None:
    done = chat.client(part, part).complete(ASK)
    assert done.text == ANSWER
    assert done.attempts == done.spent.calls == 3
    assert len(chat.waits) == 2
    assert (done.spent.picodollars == PRICES.cost(done.usage)) == (part in UNBILLED)
    assert done.spent.picodollars >= chat.server.billed_picodollars


@pytest.mark.parametrize(("part", "kind", "says"), PASSING, ids=[part for part, _, _ in PASSING])
def test_a_fault_that_does_not_pass_is_given_up(chat: Fixture, part: Part, kind: ErrorKind, says: str) -> None:
    error = failure(chat.client(*[part] * 9, retry=RetryPolicy(attempts=4)))
    assert error.kind is kind
    assert says in str(error)
    assert error.attempts == error.spent.calls == 4
    assert len(chat.server.asked) == 4, "the SDK makes none of its own"
    assert chat.ledger.reserved() == Spending()


@pytest.mark.parametrize(
    ("part", "least", "most"),
    [(Part.LIMITED_SECONDS, 7, 8), (Part.LIMITED_DATE, 28, 31), (Part.OVERLOADED, 3, 4), (Part.LIMITED, 0, 1)],
)
def test_retry_after_is_honoured(chat: Fixture, part: Part, least: float, most: float) -> None:
    chat.client(part).complete(ASK)
    (wait,) = chat.waits
    assert least <= wait <= most


def test_an_endpoint_that_asks_for_more_time_than_there_is_is_left_alone_for_so_long(chat: Fixture) -> None:
    client = chat.client(Part.LIMITED_SECONDS, retry=RetryPolicy(total_s=5), breaker=Breaker(BreakerPolicy(1, 2)))
    error = failure(client)
    assert (error.kind, error.attempts, error.retry_after_s) == (ErrorKind.RATE_LIMIT, 1, 7.0)
    assert 6 < client.breaker.wait_s() <= 7


@pytest.mark.parametrize("part", [Part.SLOW, Part.TRICKLE, Part.TRICKLE_HEADERS])
def test_a_reply_that_takes_too_long_is_given_up_and_charged_in_full(chat: Fixture, part: Part) -> None:
    started = time.monotonic()
    error = failure(chat.client(part, timeout_s=0.3, retry=RetryPolicy(attempts=1)))
    assert time.monotonic() - started < 3
    assert error.kind is ErrorKind.TIMEOUT
    assert "no complete reply within 0.3 s" in str(error)
    assert error.spent.unreported == 1
    assert error.spent.picodollars >= chat.server.billed_picodollars > 0


def test_a_reply_that_trickles_in_ties_up_no_thread(chat: Fixture) -> None:
    chat.server.text = "x" * 5000  # which takes minutes
    client = chat.client(Part.TRICKLE, timeout_s=0.3, retry=RetryPolicy(attempts=1))
    failure(client)
    patience = time.monotonic() + 30
    while client._in_flight and time.monotonic() < patience:
        time.sleep(0.01)
    assert client._in_flight == 0


def test_an_endpoint_that_is_not_there_costs_nothing(chat: Fixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        error = failure(chat.client(url=url))
    assert error.kind is ErrorKind.CONNECTION
    assert f"{url} cannot be reached" in str(error)
    assert error.attempts == 4
    assert error.spent == Spending()


def test_a_wrong_path_is_not_found(chat: Fixture) -> None:
    assert failure(chat.client(url=chat.server.url.replace("/v1", "/v2"))).kind is ErrorKind.NOT_FOUND


# ---- budget ----


def test_a_call_beyond_a_ceiling_is_not_made(chat: Fixture) -> None:
    error = failure(chat.client(ledger=Ledger(Ceilings(usd=Decimal("0.0001")))))
    assert error.kind is ErrorKind.BUDGET
    assert error.final
    assert "max-usd is 0.0001" in str(error)
    assert (error.attempts, chat.server.asked) == (0, [])


def test_a_model_without_prices_is_refused_under_a_ceiling_of_dollars(chat: Fixture) -> None:
    error = failure(chat.client(prices=None, ledger=Ledger(Ceilings(usd=Decimal(100)))))
    assert error.kind is ErrorKind.BUDGET
    assert "prices of small are not known" in str(error)
    assert chat.client(prices=None).complete(ASK).spent.picodollars == 0


def test_a_retry_reserves_anew(chat: Fixture) -> None:
    ledger = Ledger(Ceilings(calls=2))
    error = failure(chat.client(Part.ERROR, Part.ERROR, Part.ERROR, ledger=ledger))
    assert error.kind is ErrorKind.BUDGET
    assert error.attempts == 2
    assert ledger.total().calls == len(chat.server.asked) == 2


def test_the_bytes_of_a_request_bound_its_tokens(chat: Fixture) -> None:
    chat.client(Part.NO_USAGE).complete(ChatRequest("ü" * 100, '"\\\n' * 1000))
    assert chat.ledger.total().input >= chat.server.asked[0].size


def test_no_call_begins_or_is_waited_for_when_the_seconds_are_over(chat: Fixture) -> None:
    now = 0.0
    ledger = Ledger(Ceilings(seconds=5), clock=lambda: now)
    error = failure(chat.client(Part.LIMITED_SECONDS, ledger=ledger))
    assert (error.kind, error.attempts, chat.waits) == (ErrorKind.RATE_LIMIT, 1, [])
    now = 5.0
    assert failure(chat.client(ledger=ledger)).kind is ErrorKind.BUDGET


def test_a_call_ends_with_the_seconds(chat: Fixture) -> None:
    ledger = Ledger(Ceilings(seconds=0.4))
    started = time.monotonic()
    error = failure(chat.client(Part.SLOW, ledger=ledger))
    assert error.kind is ErrorKind.TIMEOUT
    assert time.monotonic() - started < 3


# ---- the breaker ----


def test_a_model_that_keeps_failing_is_benched_and_tried_again_later(chat: Fixture) -> None:
    now = 0.0
    breaker = Breaker(BreakerPolicy(failures=2, first_s=10), clock=lambda: now)
    client = chat.client(*[Part.GARBAGE] * 3, breaker=breaker)
    assert failure(client).kind is ErrorKind.GARBAGE
    assert failure(client).kind is ErrorKind.GARBAGE
    benched = failure(client)
    assert (benched.kind, benched.retry_after_s, benched.attempts) == (ErrorKind.BENCHED, 10, 0)
    now = 10.0
    assert failure(client).kind is ErrorKind.GARBAGE
    assert failure(client).retry_after_s == 20
    now = 30.0
    assert client.complete(ASK).text == ANSWER
    assert client.complete(ASK).text == ANSWER
    assert breaker.benched == 2


@pytest.mark.parametrize("part", [Part.UNAUTHORISED, Part.NOT_FOUND, Part.NO_MONEY])
def test_what_somebody_has_to_mend_benches_at_once(chat: Fixture, part: Part) -> None:
    client = chat.client(part)
    failure(client)
    assert failure(client).kind is ErrorKind.BENCHED


def test_a_refusal_by_the_budget_is_no_failure_of_the_model(chat: Fixture) -> None:
    client = chat.client(ledger=Ledger(Ceilings(calls=0)), breaker=Breaker(BreakerPolicy(failures=1)))
    for _ in range(3):
        assert failure(client).kind is ErrorKind.BUDGET


# ---- threads ----


def test_calls_run_at_once_up_to_the_models_concurrency(chat: Fixture) -> None:
    chat.server.slow_s = 0.2
    client = chat.client(*[Part.SLOW] * 9, concurrency=3)
    with ThreadPoolExecutor(9) as threads:
        done = list(threads.map(lambda _: client.complete(ASK), range(9)))
    assert all(completion.text == ANSWER for completion in done)
    assert chat.server.most_at_once == 3
    assert chat.ledger.total().calls == 9


def test_closing_wakes_who_waits_and_lets_nobody_in(chat: Fixture) -> None:
    client = chat.client(Part.LIMITED_SECONDS, timing=CallTiming())
    ended: list[ErrorKind] = []
    thread = threading.Thread(target=lambda: ended.append(failure(client).kind))
    thread.start()
    while not chat.server.asked:
        time.sleep(0.01)
    client.close()
    thread.join(5)
    assert ended == [ErrorKind.CLOSED]
    assert failure(client).kind is ErrorKind.CLOSED


def test_closing_gives_up_requests_in_flight_and_charges_them_in_full(chat: Fixture) -> None:
    """Two requests are with the server for longer than this test may take, four calls wait for a slot."""
    chat.server.slow_s = 600.0
    client = chat.client(*[Part.SLOW] * 6, concurrency=2, timeout_s=600.0, breaker=Breaker(BreakerPolicy(failures=1)))
    with ThreadPoolExecutor(6) as threads:
        calls = [threads.submit(failure, client) for _ in range(6)]
        while len(chat.server.asked) < 2:
            time.sleep(0.01)
        client.close()
        errors = [call.result(60) for call in calls]
    assert {error.kind for error in errors} == {ErrorKind.CLOSED}
    assert sorted(error.attempts for error in errors) == [0, 0, 0, 0, 1, 1]
    assert len(chat.server.asked) == chat.ledger.total().unreported == 2
    assert chat.ledger.total().picodollars >= chat.server.billed_picodollars > 0
    assert chat.ledger.reserved() == Spending()
    assert client.breaker.benched == 0, "that was not the model's fault"


def test_a_request_that_was_given_up_ends_without_harm(chat: Fixture) -> None:
    chat.server.slow_s = 0.3
    client = chat.client(Part.SLOW)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(failure, client)
        while not chat.server.asked:
            time.sleep(0.01)
        client.close()
        assert call.result(60).kind is ErrorKind.CLOSED
    spent = chat.ledger.total()
    while not client._wire.is_closed:  # which the last request does
        time.sleep(0.01)
    assert chat.ledger.total() == spent, "charged once"


def test_what_nobody_expected_is_raised_where_the_call_is_made(chat: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    client = chat.client()
    monkeypatch.setattr(client._wire, "send", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        client.complete(ASK)
    assert chat.ledger.total().unreported == 1
    assert chat.ledger.reserved() == Spending()


# ---- the key ----


def test_the_key_is_in_nothing_that_anybody_sees(chat: Fixture, caplog: pytest.LogCaptureFixture) -> None:
    """Every part, with all logs on: texts, reprs, fields, tracebacks, logs."""
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    for part in Part:
        client = chat.client(part, timeout_s=0.2, retry=RetryPolicy(attempts=1))
        try:
            seen.append(repr(client.complete(ASK)))
        except ChatError as error:
            seen += [*traceback.format_exception(error), repr(error), repr(vars(error))]
        seen += [repr(client), repr(client.member), repr(chat.ledger.spent())]
    assert all(asked.key == KEY for asked in chat.server.asked), "it was there to be seen"
    assert [text for text in seen if "***" in text], "and servers quoted it"
    assert not [text for text in [*seen, caplog.text] if KEY in text or KEY[:6] in text]


def escaped(key: str) -> str:
    return "".join(f"\\u{ord(character):04X}" for character in key)


@pytest.mark.parametrize(
    "write", [str, lambda key: key.replace("/", "\\/"), escaped], ids=["plain", "slash escaped", "all escaped"]
)
def test_no_piece_of_a_quoted_key_is_left_where_a_text_is_cut(chat: Fixture, write: Callable[[str], str]) -> None:
    client = chat.client(Part.KEY_IN_ERROR)
    for lead in range(270, 310, 3):
        body = f'{{"error": {{"message": "{"x" * lead}{write(KEY)}"}}}}'.encode()
        said = str(client._wire.status(_Response(401, body)).error)  # type: ignore[arg-type]
        assert "sk-" not in said


class _Response:
    def __init__(self, status_code: int, content: bytes) -> None:
        self.status_code = status_code
        self.content = content
        self.headers: dict[str, str] = {}


def test_the_same_seed_waits_the_same(chat: Fixture) -> None:
    for _ in range(2):
        chat.client(Part.LIMITED, Part.ERROR, Part.DROPPED).complete(ASK)
    assert chat.waits[:3] == chat.waits[3:]
    assert chat.waits[0] == random.Random(0).uniform(0, 1)


def test_the_ledger_agrees_with_the_server_to_the_last_picodollar(chat: Fixture) -> None:
    client = chat.client(*[Part.WELL, Part.EMPTY, Part.LIMITED, Part.REASONING_ONLY] * 5)
    for _ in range(15):
        try:
            done: Completion | None = client.complete(ASK)
        except ChatError:
            done = None
        assert done is None or done.usage_reported
    assert chat.ledger.total().usd == dollars(chat.server.billed_picodollars) > 0
