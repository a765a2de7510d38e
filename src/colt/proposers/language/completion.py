"""Requests, completions and errors of chat endpoints, and the parser of reply bodies; no network.

A reply is data from outside: reading it raises only :class:`ChatError`, whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from colt.errors import ColtError
from colt.proposers.language.money import Spending, Usage

MOST_TEXT = 300
"""How many characters of an endpoint's error text are passed on."""


class ErrorKind(StrEnum):
    """Why a call gave no answer."""

    AUTH = "auth"  # the key is refused
    NOT_FOUND = "not-found"  # no such model or path
    QUOTA = "quota"  # the account has no money left
    BAD_REQUEST = "bad-request"  # the endpoint refuses the form of the request
    RATE_LIMIT = "rate-limit"
    SERVER = "server"
    TIMEOUT = "timeout"
    CONNECTION = "connection"  # no connection, or a broken one
    GARBAGE = "garbage"  # the answer is not a chat completion
    EMPTY = "empty"  # a completion without text
    TOO_LARGE = "too-large"
    BUDGET = "refused-by-budget"  # not sent: it might exceed a ceiling
    BENCHED = "benched"  # not sent: the model is benched after failures
    CLOSED = "closed"  # the client was closed: not sent, not retried, or not waited for
    LOST = "lost"  # under way when the run's process died

    @property
    def worth_retrying(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self in (ErrorKind.RATE_LIMIT, ErrorKind.SERVER, ErrorKind.TIMEOUT, ErrorKind.CONNECTION)

    @property
    def hopeless(self) -> bool:
        """Whether every request to this model will fail in the same way until the user fixes something."""
        return self in (ErrorKind.AUTH, ErrorKind.NOT_FOUND, ErrorKind.QUOTA)

    @property
    def blameless(self) -> bool:
        """Whether the failure says nothing about the model."""
        return self in (ErrorKind.BUDGET, ErrorKind.BENCHED, ErrorKind.CLOSED, ErrorKind.LOST)


class ChatError(ColtError):
    """A call without an answer. Its text holds no key."""

    def __init__(
        self,
        kind: ErrorKind,
        model: str,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        usage: Usage | None = None,
        final: bool = False,
        reasoning: str = "",
    ) -> None:
        super().__init__(f"{model}: {message}")
        self.reason = message
        """The message without the model's name."""
        self.kind = kind
        self.model = model
        self.status = status
        self.retry_after_s = retry_after_s
        """How long to wait, as the endpoint or the breaker says."""
        self.usage = usage
        """The usage that the endpoint reported nevertheless."""
        self.final = final
        """For a refusal by the budget: no call of this size will be allowed again."""
        self.reasoned = bool(reasoning.strip())
        """Whether an empty answer came with reasoning."""
        self.attempts = 0
        """How many requests were made."""
        self.retried: tuple[ErrorKind, ...] = ()
        """The errors of all requests but the last."""
        self.spent = Spending()
        """Over all attempts."""


@dataclass(frozen=True, slots=True)
class ReplySchema:
    """A JSON schema for the reply, for endpoints that enforce one. The prompt states the form in any case."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question. ``system`` is the stable text that providers may cache; ``user`` changes from call to call.

    ``max_output_tokens`` lowers the member's own bound.
    """

    system: str
    user: str
    schema: ReplySchema | None = None
    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer. Its texts are untrusted data."""

    text: str
    """May be empty if there is ``reasoning``."""
    reasoning: str
    """The text of the reasoning channel, if there is one."""
    usage: Usage
    usage_reported: bool
    """False if ``usage`` is only the bound that was charged."""
    latency_s: float
    """Seconds of the attempt that succeeded."""
    attempts: int
    finish_reason: str
    request_id: str
    served_model: str
    """The model that answered, as the endpoint reports it."""
    spent: Spending = field(default_factory=Spending)
    """Over all attempts."""
    retried: tuple[ErrorKind, ...] = ()
    """The errors of the attempts before."""

    @property
    def answer(self) -> str:
        """The text; or the reasoning, if the server puts the whole answer into that channel."""
        return self.text or self.reasoning


@dataclass(frozen=True, slots=True)
class RawReply:
    """The parsed body of a reply."""

    text: str
    reasoning: str
    usage: Usage | None
    finish_reason: str
    served_model: str


def kind_of_status(status: int, code: str = "") -> ErrorKind:
    """The kind of error for an HTTP status; OpenAI's ``code`` tells an empty account from a rate limit."""
    if status == 402 or (status == 429 and code == "insufficient_quota"):
        return ErrorKind.QUOTA
    named = {401: ErrorKind.AUTH, 403: ErrorKind.AUTH, 404: ErrorKind.NOT_FOUND, 408: ErrorKind.TIMEOUT}
    if status in named:
        return named[status]
    if status == 429:
        return ErrorKind.RATE_LIMIT
    if status >= 500:
        # 501, 505 and the like: the server will never do this
        return ErrorKind.SERVER if status in (500, 502, 503, 504, 520, 522, 524, 529) else ErrorKind.BAD_REQUEST
    return ErrorKind.BAD_REQUEST


MALFORMED = object()
"""What :func:`decoded` returns for a body that is not JSON."""


def decoded(body: bytes) -> object:
    """JSON from outside as Python objects, or :data:`MALFORMED`. Raising here would chain the decoder's error, and the
    text in it, to ours."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return MALFORMED


def read_body(model: str, body: bytes) -> RawReply:
    """Parse a chat completion. Raises :class:`ChatError`, with the usage if the body has it."""
    parsed = decoded(body)
    if parsed is MALFORMED:
        raise ChatError(ErrorKind.GARBAGE, model, f"the reply of {len(body)} bytes is not JSON")
    if not isinstance(parsed, dict):
        raise ChatError(ErrorKind.GARBAGE, model, f"the reply is JSON, but not a chat completion: a {_type(parsed)}")
    choices = parsed.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    usage = read_usage(parsed.get("usage"))
    error = parsed.get("error") or (choice.get("error") if isinstance(choice, dict) else None)
    if error:
        raise _reported(model, error, usage)
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise ChatError(ErrorKind.GARBAGE, model, "the reply is JSON, but has no choices with a message", usage=usage)
    text = _text(message.get("content"))
    reasoning = _text(message.get("reasoning_content")) or _text(message.get("reasoning"))
    finish = _line(choice.get("finish_reason"))
    if usage is not None and usage.output == 0 and (text.strip() or reasoning.strip()):
        usage = None  # no output counted although there is an answer
    if not text.strip():
        text = ""
        _require_answer(model, message, reasoning, finish, usage)
    return RawReply(text, reasoning, usage, finish, _line(parsed.get("model")))


def read_usage(value: object) -> Usage | None:
    """The reported tokens; ``None`` if the report makes no sense."""
    if not isinstance(value, dict):
        return None
    given, made = _count(value.get("prompt_tokens")), _count(value.get("completion_tokens"))
    if given is None or made is None or given == 0:
        return None
    details = value.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    if cached is None:
        cached = _count(value.get("prompt_cache_hit_tokens"))  # DeepSeek
    return Usage(given, made, min(cached or 0, given))


def usage_in(body: object) -> Usage | None:
    """The usage that a decoded body reports."""
    return read_usage(body.get("usage")) if isinstance(body, dict) else None


def one_line(text: str) -> str:
    """A text from outside as one printable line of at most :data:`MOST_TEXT` characters."""
    words = " ".join(text[: 10 * MOST_TEXT].split())
    return "".join(character for character in words if character.isprintable())[:MOST_TEXT]


def error_text(body: object) -> str:
    """The message of an error body, on one line."""
    if isinstance(body, dict):
        inner = body.get("error", body)
        body = inner.get("message", inner) if isinstance(inner, dict) else inner
    return _line(body if isinstance(body, str) else "")


_MARKUP = re.compile(r"<[^<>]*>")


def page_text(page: str) -> str:
    """The text of an error page, on one line: proxies and wrong paths answer in HTML."""
    return one_line(_MARKUP.sub(" ", page[: 10 * MOST_TEXT]))


def _reported(model: str, error: object, usage: Usage | None) -> ChatError:
    """An error in the body of a reply with a good status, as routers send it."""
    code = error.get("code") if isinstance(error, dict) else None
    status = code if type(code) is int and 400 <= code <= 599 else 500
    text = error_text({"error": error}) or "no reason given"
    return ChatError(
        kind_of_status(status, str(code)), model, f"the endpoint reports: {text}", status=status, usage=usage
    )


def _require_answer(model: str, message: Mapping[str, Any], reasoning: str, finish: str, usage: Usage | None) -> None:
    """Raise unless the reasoning can stand in for an empty text."""
    if finish == "length":
        told = f" ({len(reasoning)} characters of reasoning)" if reasoning.strip() else ""
        text = f"the maximum output was used up before the answer{told}"
        text += "; raise max_output_tokens or lower reasoning_effort"
    elif refusal := _line(_text(message.get("refusal"))):
        text = f"the model refused: {refusal}"
    elif reasoning.strip():
        return
    else:
        text = f"the answer is empty (finish_reason {finish or 'missing'})"
    raise ChatError(ErrorKind.EMPTY, model, text, usage=usage, reasoning=reasoning)


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 10**12 else None


def _text(value: object) -> str:
    """A text, or the joined texts of a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = [part.get("text") for part in value if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def _line(value: object) -> str:
    """A text as one line without terminal codes; empty for anything else."""
    return one_line(value) if isinstance(value, str) else ""


def _type(value: object) -> str:
    return type(value).__name__
