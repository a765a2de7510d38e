"""The chat client: the only module that talks to language models.

    complete:  is the model benched? -> attempts, with waits between them -> tell the breaker
    attempt:   a free slot -> reserve the worst case -> one request -> charge the usage -> read the reply
    request:   in a thread of its own, so that no caller waits until the library gives up

The ``openai`` package makes the requests. Its own retries are off: :mod:`colt.proposers.language.retry` decides on
retries, :mod:`colt.proposers.language.money` on what may be spent and :mod:`colt.proposers.language.breaker` on
benching. :mod:`colt.proposers.language.completion` reads replies, :mod:`colt.proposers.language.secret` masks the key.
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from colt.errors import InputError
from colt.proposers.language.breaker import Breaker
from colt.proposers.language.completion import (
    MOST_TEXT,
    ChatError,
    ChatRequest,
    Completion,
    ErrorKind,
    RawReply,
    ReplySchema,
    decoded,
    error_text,
    kind_of_status,
    one_line,
    page_text,
    read_body,
    usage_in,
)
from colt.proposers.language.money import BudgetRefused, Ledger, Reservation, Spending, Usage
from colt.proposers.language.prices import INSTALL
from colt.proposers.language.retry import RetryPolicy, retry_after_s
from colt.proposers.language.secret import Secret
from colt.proposers.members import OPENAI, ModelMember

try:
    import httpx2
    import openai
except ImportError:
    raise InputError(f"language models need the openai package, which is not installed: {INSTALL}") from None

if logging.getLogger("httpcore2").level == logging.NOTSET:
    # Its wire log shows the headers of replies before the key is masked; turning on all logs must not show them.
    logging.getLogger("httpcore2").setLevel(logging.INFO)

MOST_BYTES = 2_000_000
"""The longest reply that is read. Usual ones have a few kilobytes."""
TEMPLATE_TOKENS = 512
"""Tokens that a server may add to a request: its chat template, a system text, words about the schema."""
CONNECT_S = 15.0
NO_KEY = "none"
"""Given to the SDK if there is no key; otherwise it would take another endpoint's key from the environment."""
HEADERS = frozenset(
    (
        *("accept", "accept-encoding", "authorization", "connection", "content-length", "content-type"),
        *("host", "user-agent"),
        "x-stainless-raw-response",  # the SDK's note to itself, read from the request later
    )
)
"""The only headers sent. The SDK would add the environment's ``OPENAI_CUSTOM_HEADERS`` for every endpoint."""
OPENAI_HEADERS = HEADERS | {"openai-organization", "openai-project"}
OPENROUTER = "openrouter.ai"

SettingAside = Callable[[Spending], None]
"""Is told what a call will have cost if nothing more is heard of it."""


@dataclass(frozen=True, slots=True)
class CallTiming:
    """The clocks of a client; tests replace them."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] | None = None
    """``None``: wait until the time is over or the client is closed."""
    grace_s: float = 1.0
    """How long after a time-out the library may still report what happened; then the request is given up."""


class ChatClient:
    """Calls one model of the pool. Safe to use from several threads; ``concurrency`` requests run at once."""

    def __init__(
        self,
        member: ModelMember,
        ledger: Ledger,
        *,
        retry: RetryPolicy | None = None,
        breaker: Breaker | None = None,
        seed: int = 0,
        timing: CallTiming | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """``ledger`` is shared by the clients of a pool; ``seed`` is for the jitter. Raises :class:`InputError` if the
        key is not set."""
        self.member = member
        self.breaker = breaker or Breaker()
        self._ledger = ledger
        self._retry = retry or RetryPolicy()
        self._rng = random.Random(seed)
        self._timing = timing or CallTiming()
        self._key = member.key(environment)
        self._secret = Secret(self._key)
        self._slots = threading.BoundedSemaphore(member.concurrency)
        self._lock = threading.Lock()
        self._in_flight = 0
        self._closed = threading.Event()
        self._awaited: set[_Outcome] = set()
        self._http = httpx2.Client(
            timeout=httpx2.Timeout(member.timeout_s, connect=min(CONNECT_S, member.timeout_s)),
            limits=httpx2.Limits(max_connections=member.concurrency, max_keepalive_connections=member.concurrency),
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
            event_hooks={"request": [self._prepare], "response": [self._limit]},
        )
        self._sdk = openai.OpenAI(
            api_key=self._key or NO_KEY, base_url=member.base_url, max_retries=0, http_client=self._http
        )

    def __repr__(self) -> str:
        return f"ChatClient({self.member.name!r})"

    def complete(self, request: ChatRequest, set_aside: SettingAside = lambda spending: None) -> Completion:
        """Ask, with retries. Raises :class:`ChatError`, whose ``kind`` says why.

        Before each request ``set_aside`` is told what the call will have cost if nothing more is heard of it. If it
        raises :class:`OSError`, the request is not made.
        """
        trial = self.breaker.enter()
        if trial is None:
            wait = self.breaker.wait_s()
            raise self._error(ErrorKind.BENCHED, f"benched for {wait:.0f} s after failures", retry_after_s=wait)
        call = _Call(set_aside)
        try:
            completion = self._attempts(request, call)
        except ChatError as error:
            error.attempts, error.spent, error.retried = call.attempts, call.spent, tuple(call.retried)
            if error.kind.blameless:
                self.breaker.abandoned(trial)
            else:
                self.breaker.failed(trial, error.kind.hopeless, error.retry_after_s or 0.0)
            raise
        except BaseException:
            self.breaker.abandoned(trial)
            raise
        self.breaker.succeeded()
        return completion

    def close(self) -> None:
        """Make no more requests. Calls that wait for a reply, a retry or a slot end at once. Requests in flight are
        charged in full and abandoned; they end within their time-out, or with the process."""
        with self._lock:
            self._closed.set()
            for outcome in self._awaited:
                outcome.put(_Exchange(error=self._error(ErrorKind.CLOSED, "the client was closed before the reply")))
            idle = self._in_flight == 0
        if idle:
            self._http.close()

    # ---- attempts ----

    def _attempts(self, request: ChatRequest, call: _Call) -> Completion:
        """The loop over requests; the only place that retries."""
        monotonic = self._timing.monotonic
        started = monotonic()
        while True:
            result = self._attempt(request, call)
            if isinstance(result, Completion):
                return result
            if not result.kind.worth_retrying:
                raise result
            wait = self._retry.wait_s(call.attempts, monotonic() - started, result.retry_after_s, self._rng)
            remaining = self._ledger.remaining_s()
            if wait is None or (remaining is not None and wait >= remaining):
                raise result
            call.retried.append(result.kind)
            self._sleep(wait)

    def _attempt(self, request: ChatRequest, call: _Call) -> Completion | ChatError:
        """One request in its own slot, reserved before and charged after. A failure is returned, not raised: raised
        inside an ``except``, it would keep the request and its key alive as its context."""
        with self._slots:
            if self._closed.is_set():
                return self._error(ErrorKind.CLOSED, "the client is closed")
            body = self._body(request)
            try:
                reservation = self._ledger.reserve(self.member.name, self.member.prices, self._worst(body))
            except BudgetRefused as refused:
                return self._error(ErrorKind.BUDGET, str(refused), final=refused.final)
            try:
                call.set_aside(call.spent + reservation.worst)
            except OSError as error:
                reservation.unsent()
                return self._error(ErrorKind.CLOSED, f"what it may cost cannot be written down: {error.strerror}")
            call.attempts += 1
            started = self._timing.monotonic()
            try:
                exchange = self._request(body)
            except BaseException:
                call.spent += reservation.unknown()
                raise
            latency = self._timing.monotonic() - started
        return self._settled(exchange, reservation, call, latency)

    def _settled(
        self, exchange: _Exchange, reservation: Reservation, call: _Call, latency_s: float
    ) -> Completion | ChatError:
        """Charge the request and read the reply."""
        outcome: RawReply | ChatError
        if exchange.error is not None:
            outcome = exchange.error
        else:
            try:
                outcome = read_body(self.member.name, exchange.body)
            except ChatError as error:
                outcome = error
        if outcome.usage is not None:
            charged = reservation.used(outcome.usage)
        elif exchange.fate is _Fate.UNSENT:
            charged = reservation.unsent()
        elif exchange.fate is _Fate.REFUSED:
            charged = reservation.refused()
        else:
            charged = reservation.unknown()
        call.spent += charged
        if isinstance(outcome, ChatError):
            return outcome
        return Completion(
            text=self._secret.masked(outcome.text),
            reasoning=self._secret.masked(outcome.reasoning),
            usage=outcome.usage or Usage(charged.input, charged.output),
            usage_reported=outcome.usage is not None,
            latency_s=latency_s,
            attempts=call.attempts,
            finish_reason=outcome.finish_reason,
            request_id=exchange.request_id,
            served_model=self._secret.masked(outcome.served_model),
            spent=call.spent,
            retried=tuple(call.retried),
        )

    def _sleep(self, seconds: float) -> None:
        if self._timing.sleep is not None:
            self._timing.sleep(seconds)
        else:
            self._closed.wait(seconds)

    # ---- one request ----

    def _request(self, body: Mapping[str, Any]) -> _Exchange:
        """The outcome of a request. A request is given up when the client is closed, or when the server or the name
        look-up takes too long; the library's time-outs are for each read only."""
        timeout_s = self.member.timeout_s
        if (remaining := self._ledger.remaining_s()) is not None:
            timeout_s = max(0.1, min(timeout_s, remaining))
        outcome: _Outcome = SimpleQueue()
        with self._lock:
            if self._closed.is_set():
                return self._failed(ErrorKind.CLOSED, "the client is closed", unsent=True)
            self._awaited.add(outcome)
            self._in_flight += 1
        try:
            threading.Thread(target=self._carry, args=(body, timeout_s, outcome), daemon=True).start()
            came = outcome.get(timeout=timeout_s + self._timing.grace_s)
        except Empty:
            came = None
        finally:
            with self._lock:
                self._awaited.remove(outcome)
        if came is None:
            return self._failed(ErrorKind.TIMEOUT, f"no complete reply within {timeout_s:g} s", unsent=False)
        if isinstance(came, BaseException):
            raise came
        return came

    def _carry(self, body: Mapping[str, Any], timeout_s: float, outcome: _Outcome) -> None:
        """The thread of one request. The last one of a closed client closes the connections."""
        try:
            outcome.put(self._exchange(body, timeout_s))
        except BaseException as error:  # noqa: BLE001  raised again by the waiting call
            outcome.put(error)
        finally:
            with self._lock:
                self._in_flight -= 1
                last = self._in_flight == 0 and self._closed.is_set()
            if last:
                self._http.close()

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        member = self.member
        messages = [("system", request.system), ("user", request.user)]
        body: dict[str, Any] = {
            "model": member.model,
            "messages": [{"role": role, "content": _encodable(text)} for role, text in messages if text],
            member.max_output_field: min(
                member.max_output_tokens, request.max_output_tokens or member.max_output_tokens
            ),
        }
        if member.temperature is not None:
            body["temperature"] = member.temperature
        if member.reasoning_effort is not None:
            body["reasoning_effort"] = member.reasoning_effort
        if request.schema is not None and member.json_schema:
            body["response_format"] = self._response_format(request.schema)
        host = urlsplit(member.base_url).hostname or ""
        if host == OPENROUTER or host.endswith("." + OPENROUTER):
            body["provider"] = self._routing()
        return body

    def _response_format(self, wanted: ReplySchema) -> dict[str, Any]:
        """The schema in OpenAI's form, or in the older form ``json_object`` that some servers take instead."""
        schema = dict(wanted.schema)
        if self.member.response_format == "json_object":
            return {"type": "json_object", "schema": schema}
        return {"type": "json_schema", "json_schema": {"name": wanted.name, "schema": schema, "strict": True}}

    def _routing(self) -> dict[str, Any]:
        """OpenRouter's choice of providers: only those that keep to the maximum output and to these prices, so that the
        reserved bound holds."""
        routing: dict[str, Any] = {"require_parameters": True}
        if prices := self.member.prices:
            routing["max_price"] = {"prompt": float(prices.input), "completion": float(prices.output)}
        return routing

    def _worst(self, body: Mapping[str, Any]) -> Usage:
        """The largest usage possible: no token is shorter than a byte."""
        size = len(json.dumps(body, ensure_ascii=False).encode())
        return Usage(size + TEMPLATE_TOKENS, body[self.member.max_output_field])

    def _exchange(self, body: Mapping[str, Any], timeout_s: float) -> _Exchange:
        """Send a request and read the whole reply, or return the error."""
        rest = {key: value for key, value in body.items() if key not in ("model", "messages")}
        timeout = httpx2.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
        send = self._sdk.chat.completions.with_streaming_response.create
        try:
            with send(model=body["model"], messages=body["messages"], extra_body=rest, timeout=timeout) as response:
                request_id = one_line(response.headers.get("x-request-id", ""))
                return _Exchange(self._secret.masked_json(response.read()), request_id=request_id)
        except openai.APIStatusError as error:
            return self._status(error.response)
        except (openai.APITimeoutError, httpx2.TimeoutException) as error:
            cause = error.__cause__ if isinstance(error, openai.APITimeoutError) else error
            unsent = isinstance(cause, httpx2.ConnectTimeout | httpx2.PoolTimeout)
            what = "no connection" if unsent else "no complete reply"
            return self._failed(ErrorKind.TIMEOUT, f"{what} within {timeout_s:g} s", unsent)
        except _TooLarge:
            return self._failed(ErrorKind.TOO_LARGE, f"the reply has more than {MOST_BYTES} bytes", False)
        except (openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            cause = error.__cause__ or error
            unsent = isinstance(cause, httpx2.ConnectError | httpx2.InvalidURL | httpx2.UnsupportedProtocol)
            what = "cannot be reached" if unsent else "the connection broke off"
            return self._failed(ErrorKind.CONNECTION, f"{self.member.base_url} {what}: {cause}", unsent)

    def _status(self, response: httpx2.Response) -> _Exchange:
        """A reply with an error status. A request that was turned away (4xx) has used no tokens."""
        status, content = response.status_code, self._secret.masked_json(response.content)
        body = decoded(content)
        inner = body.get("error") if isinstance(body, dict) else None
        code = str(inner.get("code")) if isinstance(inner, dict) else ""
        kind = kind_of_status(status, code)
        said = error_text(body) or page_text(content.decode("utf-8", "replace")) or "no reason given"
        error = self._error(
            kind,
            f"{self.member.base_url} answers {status}: {said}",
            status=status,
            retry_after_s=retry_after_s(response.headers, self._timing.wall()),
            usage=usage_in(body),
        )
        refused = status < 500 and kind is not ErrorKind.TIMEOUT
        return _Exchange(error=error, fate=_Fate.REFUSED if refused else _Fate.SENT)

    def _failed(self, kind: ErrorKind, message: str, unsent: bool) -> _Exchange:
        return _Exchange(error=self._error(kind, message), fate=_Fate.UNSENT if unsent else _Fate.SENT)

    # ---- limits and secrets ----

    def _prepare(self, request: httpx2.Request) -> None:
        """Drop all headers but ours, and note when the reply must be complete: the library's time-out would let it
        trickle in forever."""
        allowed = OPENAI_HEADERS if request.url.host == OPENAI else HEADERS
        for name in [name for name in request.headers if name not in allowed]:
            del request.headers[name]
        request.headers["Authorization"] = f"Bearer {self._key}"
        if self._key is None:
            del request.headers["Authorization"]
        request.extensions["colt_deadline"] = time.monotonic() + request.extensions["timeout"]["read"]

    def _limit(self, response: httpx2.Response) -> None:
        """Bound the size and the time of a reply, whatever its status, and mask the key in its headers, which the SDK
        logs. Compression was declined: a few bytes could unfold to gigabytes."""
        for name, value in list(response.headers.items()):
            response.headers[name] = self._secret.masked(value)
        response.headers.pop("content-encoding", None)
        stream = response.stream
        assert isinstance(stream, httpx2.SyncByteStream)
        response.stream = _Limited(stream, response.request.extensions["colt_deadline"])

    def _error(self, kind: ErrorKind, message: str, **details: Any) -> ChatError:
        return ChatError(kind, self.member.name, self._secret.masked_error(message)[: 2 * MOST_TEXT], **details)


@dataclass(slots=True)
class _Call:
    """What the attempts of a call used so far."""

    set_aside: SettingAside
    attempts: int = 0
    spent: Spending = field(default_factory=Spending)
    retried: list[ErrorKind] = field(default_factory=list)


class _Fate(Enum):
    """Whether a request may have cost anything."""

    SENT = "perhaps"
    REFUSED = "no, it was turned away"
    UNSENT = "no, it never left"


class _Exchange(NamedTuple):
    """The outcome of one request: the body of a reply, or an error."""

    body: bytes = b""
    error: ChatError | None = None
    fate: _Fate = _Fate.SENT
    request_id: str = ""


_Outcome = SimpleQueue[_Exchange | BaseException]
"""Receives one request's outcome, from its thread or from :meth:`ChatClient.close`; the first one counts."""


class _TooLarge(Exception):
    """A reply exceeds :data:`MOST_BYTES`."""


class _Limited(httpx2.SyncByteStream):
    """A reply's stream that raises after too many bytes or too much time."""

    def __init__(self, stream: httpx2.SyncByteStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._stream:
            size += len(chunk)
            if size > MOST_BYTES:
                raise _TooLarge
            if time.monotonic() > self._deadline:
                raise httpx2.ReadTimeout("the reply trickles in")
            yield chunk

    def close(self) -> None:
        self._stream.close()


def _encodable(text: str) -> str:
    """The text without lone surrogates, which a request cannot carry."""
    return text.encode("utf-8", "replace").decode()
