"""The chat client: asks a language model, within its budget, as often as it takes.

    complete:  is the model benched? -> attempts, with waits between them -> tell the breaker
    attempt:   a free slot -> reserve the worst case -> one request -> charge the usage -> read the reply
    request:   in a thread of its own, so that no caller waits until the library gives up

:mod:`colt.proposers.language.wire` makes the requests, whose content is from :mod:`colt.proposers.language.body`.
:mod:`colt.proposers.language.retry` decides on retries, :mod:`colt.proposers.language.money` on what may be spent and
:mod:`colt.proposers.language.breaker` on benching. :mod:`colt.proposers.language.completion` reads replies,
:mod:`colt.proposers.language.secret` masks the key.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from colt.proposers.language.body import request_body, worst_usage
from colt.proposers.language.breaker import Breaker
from colt.proposers.language.completion import (
    ChatError,
    ChatRequest,
    Completion,
    ErrorKind,
    RawReply,
    read_body,
)
from colt.proposers.language.money import BudgetRefused, Ledger, Reservation, Spending, Usage
from colt.proposers.language.retry import RetryPolicy
from colt.proposers.language.secret import Secret
from colt.proposers.language.wire import Delivery, Outcome, Wire
from colt.proposers.members import ModelMember

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
        key = member.key(environment)
        self._secret = Secret(key)
        self._slots = threading.BoundedSemaphore(member.concurrency)
        self._lock = threading.Lock()
        self._in_flight = 0
        self._closed = threading.Event()
        self._awaited: set[_Inbox] = set()
        self._wire = Wire(member, key, self._secret, self._timing.wall)

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
            raise self._wire.error(ErrorKind.BENCHED, f"benched for {wait:.0f} s after failures", retry_after_s=wait)
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
            for inbox in self._awaited:
                inbox.put(Outcome(error=self._wire.error(ErrorKind.CLOSED, "the client was closed before the reply")))
            idle = self._in_flight == 0
        if idle:
            self._wire.close()

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
                return self._wire.error(ErrorKind.CLOSED, "the client is closed")
            body = request_body(self.member, request)
            try:
                reservation = self._ledger.reserve(self.member.name, self.member.prices, worst_usage(self.member, body))
            except BudgetRefused as refused:
                return self._wire.error(ErrorKind.BUDGET, str(refused), final=refused.final)
            try:
                call.set_aside(call.spent + reservation.worst)
            except OSError as error:
                reservation.unsent()
                return self._wire.error(ErrorKind.CLOSED, f"what it may cost cannot be written down: {error.strerror}")
            call.attempts += 1
            started = self._timing.monotonic()
            try:
                sent = self._request(body)
            except BaseException:
                call.spent += reservation.unknown()
                raise
            latency = self._timing.monotonic() - started
        return self._settled(sent, reservation, call, latency)

    def _settled(
        self, sent: Outcome, reservation: Reservation, call: _Call, latency_s: float
    ) -> Completion | ChatError:
        """Charge the request and read the reply."""
        outcome: RawReply | ChatError
        if sent.error is not None:
            outcome = sent.error
        else:
            try:
                outcome = read_body(self.member.name, sent.body)
            except ChatError as error:
                outcome = error
        if outcome.usage is not None:
            charged = reservation.used(outcome.usage)
        elif sent.delivery is Delivery.UNSENT:
            charged = reservation.unsent()
        elif sent.delivery is Delivery.REFUSED:
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
            request_id=sent.request_id,
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

    def _request(self, body: Mapping[str, Any]) -> Outcome:
        """The outcome of a request. A request is given up when the client is closed, or when the server or the name
        look-up takes too long; the library's time-outs are for each read only."""
        timeout_s = self.member.timeout_s
        if (remaining := self._ledger.remaining_s()) is not None:
            timeout_s = max(0.1, min(timeout_s, remaining))
        inbox: _Inbox = SimpleQueue()
        with self._lock:
            if self._closed.is_set():
                return self._wire.failed(ErrorKind.CLOSED, "the client is closed", unsent=True)
            self._awaited.add(inbox)
            self._in_flight += 1
        try:
            threading.Thread(target=self._carry, args=(body, timeout_s, inbox), daemon=True).start()
            came = inbox.get(timeout=timeout_s + self._timing.grace_s)
        except Empty:
            came = None
        finally:
            with self._lock:
                self._awaited.remove(inbox)
        if came is None:
            return self._wire.failed(ErrorKind.TIMEOUT, f"no complete reply within {timeout_s:g} s", unsent=False)
        if isinstance(came, BaseException):
            raise came
        return came

    def _carry(self, body: Mapping[str, Any], timeout_s: float, inbox: _Inbox) -> None:
        """The thread of one request. The last one of a closed client closes the connections."""
        try:
            inbox.put(self._wire.send(body, timeout_s))
        except BaseException as error:  # noqa: BLE001  raised again by the waiting call
            inbox.put(error)
        finally:
            with self._lock:
                self._in_flight -= 1
                last = self._in_flight == 0 and self._closed.is_set()
            if last:
                self._wire.close()


@dataclass(slots=True)
class _Call:
    """What the attempts of a call used so far."""

    set_aside: SettingAside
    attempts: int = 0
    spent: Spending = field(default_factory=Spending)
    retried: list[ErrorKind] = field(default_factory=list)


_Inbox = SimpleQueue[Outcome | BaseException]
"""Receives one request's outcome, from its thread or from :meth:`ChatClient.close`; the first one counts."""
