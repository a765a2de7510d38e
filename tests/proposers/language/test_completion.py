"""A reply's body taken apart: tolerant of servers, and of anything that no server should send."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from colt.proposers.language.completion import ChatError, ErrorKind, RawReply, error_text, kind_of_status, read_body
from colt.proposers.language.money import Usage

USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 8}}


def body(message: object, finish: object = "stop", usage: object = None, **more: object) -> bytes:
    choice = {"message": message, "finish_reason": finish}
    return json.dumps({"model": "m-1", "choices": [choice], "usage": usage or USAGE, **more}).encode()


def read(raw: bytes) -> RawReply:
    return read_body("m", raw)


def failure(raw: bytes) -> ChatError:
    with pytest.raises(ChatError) as raised:
        read(raw)
    return raised.value


def test_a_plain_reply() -> None:
    assert read(body({"content": "yes"})) == RawReply("yes", "", Usage(20, 5, 8), "stop", "m-1")


@pytest.mark.parametrize("channel", ["reasoning", "reasoning_content"])
def test_reasoning_comes_under_two_names(channel: str) -> None:
    assert read(body({"content": "yes", channel: "hm"})).reasoning == "hm"
    alone = read(body({"content": None, channel: '{"edits": []}'}))
    assert (alone.text, alone.reasoning) == ("", '{"edits": []}')


def test_an_answer_in_parts_is_put_together() -> None:
    parts = [{"type": "text", "text": "ye"}, {"type": "image"}, "?", {"type": "text", "text": "s"}, {"text": 3}]
    assert read(body({"content": parts})).text == "yes"


def test_blank_lines_before_the_body_do_no_harm() -> None:
    assert read(b"\n\n  \n" + body({"content": "yes"})).text == "yes", "OpenRouter keeps connections alive with them"


@pytest.mark.parametrize(
    ("message", "finish", "says"),
    [
        ({"content": ""}, "stop", "the answer is empty (finish_reason stop)"),
        ({"content": " \n"}, None, "the answer is empty (finish_reason missing)"),
        ({"content": "", "reasoning": "hm, hm"}, "length", "used up before the answer (6 characters of reasoning)"),
        ({"content": None, "refusal": "I would rather not"}, "stop", "the model refused: I would rather not"),
        ({}, "content_filter", "content_filter"),
    ],
)
def test_a_reply_that_says_nothing_is_an_error_that_tells_why(message: Any, finish: str | None, says: str) -> None:
    error = failure(body(message, finish))
    assert error.kind is ErrorKind.EMPTY
    assert says in str(error)
    assert error.usage == Usage(20, 5, 8), "and is charged by what it used"
    assert error.reasoned == ("reasoning" in message)


@pytest.mark.parametrize(
    ("usage", "understood"),
    [
        ({"prompt_tokens": 20, "completion_tokens": 5}, Usage(20, 5)),
        ({"prompt_tokens": 20, "completion_tokens": 5, "prompt_cache_hit_tokens": 9}, Usage(20, 5, 9)),
        (
            {"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 99}},
            Usage(20, 5, 20),
        ),
        ({"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": None}, Usage(20, 5)),
        ({"prompt_tokens": 20, "completion_tokens": 0}, None),
        ({"prompt_tokens": 0, "completion_tokens": 5}, None),
        ({"prompt_tokens": -20, "completion_tokens": 5}, None),
        ({"prompt_tokens": True, "completion_tokens": 5}, None),
        ({"prompt_tokens": 2.5, "completion_tokens": 5}, None),
        ({"prompt_tokens": "20", "completion_tokens": "5"}, None),
        ({"prompt_tokens": 10**15, "completion_tokens": 5}, None),
        ({"total_tokens": 25}, None),
        ([], None),
        ("none", None),
    ],
)
def test_usage_that_makes_no_sense_counts_as_not_reported(usage: object, understood: Usage | None) -> None:
    raw = json.dumps({"choices": [{"message": {"content": "yes"}}], "usage": usage}).encode()
    assert read(raw).usage == understood


@pytest.mark.parametrize(
    ("raw", "kind", "says"),
    [
        (b"", ErrorKind.GARBAGE, "0 bytes is not JSON"),
        (b"<html>", ErrorKind.GARBAGE, "not JSON"),
        (b"\xff\xfe", ErrorKind.GARBAGE, "not JSON"),
        (b"[" * 200_000, ErrorKind.GARBAGE, "not JSON"),
        (b"[]", ErrorKind.GARBAGE, "not a chat completion: a list"),
        (b"{}", ErrorKind.GARBAGE, "no choices"),
        (b'{"choices": []}', ErrorKind.GARBAGE, "no choices"),
        (b'{"choices": [3]}', ErrorKind.GARBAGE, "no choices"),
        (b'{"choices": [{"message": "hi"}]}', ErrorKind.GARBAGE, "no choices"),
        (b'{"error": {"code": 429, "message": "slow down"}}', ErrorKind.RATE_LIMIT, "reports: slow down"),
        (b'{"error": {"code": "boom"}}', ErrorKind.SERVER, "no reason given"),
        (b'{"error": "out of memory"}', ErrorKind.SERVER, "out of memory"),
        (b'{"choices": [{"error": {"code": 402, "message": "pay"}, "message": {}}]}', ErrorKind.QUOTA, "pay"),
    ],
)
def test_what_is_no_completion_is_a_typed_error(raw: bytes, kind: ErrorKind, says: str) -> None:
    error = failure(raw)
    assert error.kind is kind
    assert says in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ErrorKind.BAD_REQUEST),
        (401, ErrorKind.AUTH),
        (402, ErrorKind.QUOTA),
        (403, ErrorKind.AUTH),
        (404, ErrorKind.NOT_FOUND),
        (408, ErrorKind.TIMEOUT),
        (422, ErrorKind.BAD_REQUEST),
        (429, ErrorKind.RATE_LIMIT),
        (500, ErrorKind.SERVER),
        (501, ErrorKind.BAD_REQUEST),
        (502, ErrorKind.SERVER),
        (503, ErrorKind.SERVER),
        (504, ErrorKind.SERVER),
        (307, ErrorKind.BAD_REQUEST),
    ],
)
def test_each_status_has_its_kind(status: int, kind: ErrorKind) -> None:
    assert kind_of_status(status) is kind


def test_an_empty_account_is_not_haste() -> None:
    assert kind_of_status(429, "insufficient_quota") is ErrorKind.QUOTA


def test_only_what_may_pass_is_worth_retrying() -> None:
    assert {kind for kind in ErrorKind if kind.worth_retrying} == {
        ErrorKind.RATE_LIMIT,
        ErrorKind.SERVER,
        ErrorKind.TIMEOUT,
        ErrorKind.CONNECTION,
    }


def test_error_texts_are_one_printable_line() -> None:
    assert error_text({"error": {"message": "a\n\x1b[31mb  c"}}) == "a [31mb c"
    assert error_text({"message": "plain"}) == "plain"
    assert error_text({"error": [1]}) == ""
    assert len(error_text("x" * 10_000)) == 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    [
        "choices",
        "message",
        "content",
        "reasoning",
        "usage",
        "error",
        "finish_reason",
        "prompt_tokens",
        "text",
        "refusal",
    ]
)
SHAPED = st.recursive(
    JSON, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=6), max_leaves=20
)


@settings(max_examples=400, deadline=None)
@given(
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | SHAPED.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries({"message": st.dictionaries(FIELDS, SHAPED, max_size=4), "finish_reason": JSON}).map(
        lambda choice: json.dumps({"choices": [choice]}).encode()
    )
)
@example(b'{"choices":[{"message":{"content":"\\ud800"}}]}')
def test_no_body_raises_anything_but_a_chat_error(raw: bytes) -> None:
    try:
        reply = read(raw)
    except ChatError as error:
        said = str(error)
    else:
        said = "m"
        assert reply.text or reply.reasoning
        (reply.text + reply.reasoning + reply.served_model).encode()
    assert said.isprintable()
