"""One request to a language model over HTTP: what is sent, how much of a reply is read, and for how long.

The ``openai`` package makes the requests. Its own retries are off. Nothing of its environment's headers is sent, the
key is masked in all that comes back, and a reply that is too large or trickles in is cut off.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

from colt.errors import InputError
from colt.proposers.language.completion import (
    MOST_TEXT,
    ChatError,
    ErrorKind,
    decoded,
    error_text,
    kind_of_status,
    one_line,
    page_text,
    usage_in,
)
from colt.proposers.language.prices import INSTALL
from colt.proposers.language.retry import retry_after_s
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


class Delivery(Enum):
    """Whether a request may have cost anything."""

    SENT = "perhaps"
    REFUSED = "no, it was turned away"
    UNSENT = "no, it never left"


class Outcome(NamedTuple):
    """The outcome of one request: the body of a reply, or an error."""

    body: bytes = b""
    error: ChatError | None = None
    delivery: Delivery = Delivery.SENT
    request_id: str = ""


class Wire:
    """The connections to one model's endpoint. Safe to use from several threads."""

    def __init__(self, member: ModelMember, key: str | None, secret: Secret, wall: Callable[[], float]) -> None:
        """``wall`` tells the time, which servers name to wait for."""
        self._member, self._key, self._secret, self._wall = member, key, secret, wall
        self._http = httpx2.Client(
            timeout=httpx2.Timeout(member.timeout_s, connect=min(CONNECT_S, member.timeout_s)),
            limits=httpx2.Limits(max_connections=member.concurrency, max_keepalive_connections=member.concurrency),
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
            event_hooks={"request": [self._prepare], "response": [self._limit]},
        )
        self._sdk = openai.OpenAI(
            api_key=key or NO_KEY, base_url=member.base_url, max_retries=0, http_client=self._http
        )

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return bool(self._http.is_closed)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, body: Mapping[str, Any], timeout_s: float) -> Outcome:
        """Send a request and read the whole reply, or return the error."""
        rest = {key: value for key, value in body.items() if key not in ("model", "messages")}
        timeout = httpx2.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
        send = self._sdk.chat.completions.with_streaming_response.create
        try:
            with send(model=body["model"], messages=body["messages"], extra_body=rest, timeout=timeout) as response:
                request_id = one_line(response.headers.get("x-request-id", ""))
                return Outcome(self._secret.masked_json(response.read()), request_id=request_id)
        except openai.APIStatusError as error:
            return self.status(error.response)
        except (openai.APITimeoutError, httpx2.TimeoutException) as error:
            cause = error.__cause__ if isinstance(error, openai.APITimeoutError) else error
            unsent = isinstance(cause, httpx2.ConnectTimeout | httpx2.PoolTimeout)
            what = "no connection" if unsent else "no complete reply"
            return self.failed(ErrorKind.TIMEOUT, f"{what} within {timeout_s:g} s", unsent)
        except _TooLarge:
            return self.failed(ErrorKind.TOO_LARGE, f"the reply has more than {MOST_BYTES} bytes", False)
        except (openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            cause = error.__cause__ or error
            unsent = isinstance(cause, httpx2.ConnectError | httpx2.InvalidURL | httpx2.UnsupportedProtocol)
            what = "cannot be reached" if unsent else "the connection broke off"
            return self.failed(ErrorKind.CONNECTION, f"{self._member.base_url} {what}: {cause}", unsent)

    def status(self, response: httpx2.Response) -> Outcome:
        """A reply with an error status. A request that was turned away (4xx) has used no tokens."""
        status, content = response.status_code, self._secret.masked_json(response.content)
        body = decoded(content)
        inner = body.get("error") if isinstance(body, dict) else None
        code = str(inner.get("code")) if isinstance(inner, dict) else ""
        kind = kind_of_status(status, code)
        said = error_text(body) or page_text(content.decode("utf-8", "replace")) or "no reason given"
        error = self.error(
            kind,
            f"{self._member.base_url} answers {status}: {said}",
            status=status,
            retry_after_s=retry_after_s(response.headers, self._wall()),
            usage=usage_in(body),
        )
        refused = status < 500 and kind is not ErrorKind.TIMEOUT
        return Outcome(error=error, delivery=Delivery.REFUSED if refused else Delivery.SENT)

    def failed(self, kind: ErrorKind, message: str, unsent: bool) -> Outcome:
        """The outcome of a request that failed; ``unsent``: before it left."""
        return Outcome(error=self.error(kind, message), delivery=Delivery.UNSENT if unsent else Delivery.SENT)

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

    def error(self, kind: ErrorKind, message: str, **details: Any) -> ChatError:
        """An error of this model's, with the key masked."""
        return ChatError(kind, self._member.name, self._secret.masked_error(message)[: 2 * MOST_TEXT], **details)


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
