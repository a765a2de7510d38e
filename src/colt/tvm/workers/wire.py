"""How supervisor and worker talk: frames, and replies as JSON.

A frame is four bytes of length, big-endian, and a payload. Requests are pickles, from the parent, which the worker
trusts. Replies are JSON objects, which the parent checks field by field: a stray store of a kernel under test may have
changed anything in the process that writes them.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import asdict
from typing import Any, NoReturn

from colt.tvm.workers.messages import (
    Built,
    ClockedReply,
    Crashed,
    Entered,
    ExportedReply,
    FailedReply,
    Gauged,
    LostReply,
    Ready,
    Remark,
    Reply,
    Settled,
    Stage,
    TimedReply,
    VerifiedReply,
)

MAX_REPLY_BYTES = 1 << 20
MAX_MESSAGE_CHARS = 4000
MAX_RUNS = 10_000
_HEADER = struct.Struct("!I")


class WireError(Exception):
    """Bytes from the worker that are no valid reply."""


def frame(payload: bytes) -> bytes:
    """``payload`` with its length in front."""
    return _HEADER.pack(len(payload)) + payload


class FrameReader:
    """Cuts a stream of bytes into payloads of at most ``limit_bytes``."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add what was read."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next complete payload, if there is one. Raises :class:`WireError` if it claims to be too long."""
        if len(self._buffer) < _HEADER.size:
            return None
        (length,) = _HEADER.unpack_from(self._buffer)
        if length > self._limit:
            raise WireError(f"a message of {length} bytes; at most {self._limit} are accepted")
        end = _HEADER.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[_HEADER.size : end])
        del self._buffer[:end]
        return payload


def encode_reply(reply: Reply) -> bytes:
    """The frame of a reply. Texts are cut to what :func:`decode_reply` accepts."""
    content = asdict(reply)
    if "message" in content:
        content["message"] = content["message"][:MAX_MESSAGE_CHARS]
    return frame(json.dumps({"type": type(reply).__name__, **content}, allow_nan=False).encode())


def decode_reply(payload: bytes) -> Reply:
    """Read and check a reply. Raises :class:`WireError`; never runs anything that the payload holds."""
    try:
        content = json.loads(payload.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error}") from None
    if not isinstance(content, dict):
        raise WireError("not a JSON object")
    return _reply(_Fields(content))


def _reply(fields: _Fields) -> Reply:
    reply: Reply
    match fields.text("type"):
        case "Ready":
            reply = Ready()
        case "Entered":
            reply = Entered(fields.stage("stage"), fields.index("module"))
        case "Built":
            reply = Built()
        case "TimedReply":
            reply = TimedReply(
                runs_us=fields.runs("runs_us"),
                slowdowns=fields.slowdowns("slowdowns"),
                disturbed=fields.index("disturbed"),
                seconds_waiting=_number("seconds_waiting", fields.take("seconds_waiting")),
                quiet_us=_latency("quiet_us", fields.take("quiet_us")),
                references_us=fields.latencies("references_us"),
                dropped=fields.flag("dropped"),
                host=fields.text("host"),
            )
        case "Gauged":
            reply = Gauged(_latency("reference_us", fields.take("reference_us")), fields.text("host"))
        case "Settled":
            reply = Settled(fields.flag("finite"), fields.flag("positive"))
        case "ClockedReply":
            reply = ClockedReply(fields.numbers("cycles"))
        case "VerifiedReply":
            reply = VerifiedReply(
                ok=fields.flag("ok"),
                max_abs_error=fields.error("max_abs_error"),
                max_rel_error=fields.error("max_rel_error"),
                tolerance=_number("tolerance", fields.take("tolerance")),
                message=fields.text("message"),
                untuned_error=fields.error("untuned_error"),
            )
        case "ExportedReply":
            reply = ExportedReply()
        case "FailedReply":
            reply = FailedReply(fields.text("message"))
        case "Crashed":
            reply = Crashed(fields.text("message"))
        case "LostReply":
            reply = LostReply(fields.text("message"))
        case "Remark":
            reply = Remark(fields.text("message"))
        case other:
            raise WireError(f"unknown message type {other!r}")
    fields.finish()
    return reply


class _Fields:
    """The fields of a JSON object, each taken once and checked."""

    def __init__(self, content: dict[str, Any]) -> None:
        self._rest = dict(content)

    def take(self, name: str) -> Any:
        if name not in self._rest:
            raise WireError(f"field {name} is missing")
        return self._rest.pop(name)

    def finish(self) -> None:
        if self._rest:
            raise WireError(f"unexpected fields {sorted(self._rest)}")

    def text(self, name: str) -> str:
        value = self.take(name)
        if not isinstance(value, str) or len(value) > MAX_MESSAGE_CHARS:
            raise WireError(f"field {name} is no text of at most {MAX_MESSAGE_CHARS} characters")
        return value

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if not isinstance(value, bool):
            raise WireError(f"field {name} is no boolean")
        return value

    def index(self, name: str) -> int:
        value = self.take(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MAX_RUNS:
            raise WireError(f"field {name} is no index below {MAX_RUNS}")
        return value

    def stage(self, name: str) -> Stage:
        value = self.text(name)
        try:
            return Stage(value)
        except ValueError:
            raise WireError(f"unknown stage {value!r}") from None

    def error(self, name: str) -> float | None:
        value = self.take(name)
        return None if value is None else _number(name, value)

    def runs(self, name: str) -> tuple[tuple[float, ...], ...]:
        return tuple(_latencies(name, module) for module in _some(name, self.take(name)))

    def latencies(self, name: str) -> tuple[float, ...]:
        return _latencies(name, self.take(name))

    def numbers(self, name: str) -> tuple[float, ...]:
        return tuple(_number(name, value) for value in _some(name, self.take(name)))

    def slowdowns(self, name: str) -> tuple[float, ...]:
        numbers = self.numbers(name)
        if min(numbers) < 1:
            raise WireError(f"field {name} holds a slowdown of {min(numbers)}; it is at least 1")
        return numbers


def _latencies(name: str, value: Any) -> tuple[float, ...]:
    return tuple(_latency(name, run) for run in _some(name, value))


def _some(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_RUNS:
        raise WireError(f"field {name} holds no list of 1 to {MAX_RUNS} items")
    return value


def _number(name: str, value: Any) -> float:
    """A finite number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WireError(f"field {name} is no number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number < 0:
        raise WireError(f"field {name} is {number}, not a finite number of at least 0")
    return number


def _latency(name: str, value: Any) -> float:
    number = _number(name, value)
    if number <= 0:
        raise WireError(f"field {name} holds a latency of {number}")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
