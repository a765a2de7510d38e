"""Ceilings that hold while calls are in flight: a call's worst case is reserved before the call is made.

The worst case is known beforehand: no token is shorter than a byte, so the bytes of the request bound its input, and
the maximum output that every request carries bounds its output. A :class:`Ledger` grants a :class:`Reservation` only if
the sum of everything spent, everything reserved and this call's worst case stays within every ceiling. The usage that
the server reports then replaces the worst case; a call of unknown usage is charged in full.

Money is counted in whole picodollars (1e-12 dollars). A price in dollars per million tokens with up to six decimals is
a whole number of picodollars per token, so nothing is rounded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum

from colt.errors import ColtError
from colt.options import TuneOptions
from colt.util.declared import options_of

PICODOLLARS = 10**12
"""Picodollars in a dollar."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of a call; ``cached`` is the part of ``input`` that the provider read from its cache."""

    input: int
    output: int
    cached: int = 0

    @property
    def total(self) -> int:
        """The tokens that count against a ceiling."""
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars per million tokens. Without ``cached_input``, cached input costs as much as other input."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None

    def cost(self, usage: Usage) -> int:
        """The price of that usage in picodollars."""
        cached = self.input if self.cached_input is None else self.cached_input
        return (
            (usage.input - usage.cached) * _per_token(self.input)
            + usage.cached * _per_token(cached)
            + usage.output * _per_token(self.output)
        )

    def worst_cost(self, usage: Usage) -> int:
        """The highest price of that many tokens in picodollars, however many of them are cached."""
        return max(self.cost(replace(usage, cached=0)), self.cost(replace(usage, cached=usage.input)))


def _per_token(usd_per_million: Decimal) -> int:
    """Picodollars per token, rounded up if the price has more than six decimals: the ceiling must hold."""
    return int((usd_per_million * (PICODOLLARS // 10**6)).to_integral_value(ROUND_CEILING))


def dollars(picodollars: int) -> Decimal:
    """That amount in dollars, exactly."""
    return Decimal(picodollars) / PICODOLLARS


class Limit(StrEnum):
    """The ceiling that refuses a call."""

    USD = "usd"
    CALLS = "calls"
    TOKENS = "tokens"
    SECONDS = "seconds"
    NO_PRICE = "no-price"  # under max-usd, a model of unknown price is not called


class BudgetRefused(ColtError):
    """A call was not made because its worst case exceeds a ceiling.

    ``final``: it would not fit even if all calls in flight cost nothing.
    """

    def __init__(self, limit: Limit, message: str, final: bool) -> None:
        super().__init__(message)
        self.limit = limit
        self.final = final


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What a run may spend on language models; ``None`` means no ceiling.

    ``usd`` and ``tokens`` (input and output together) are totals over all calls. ``calls`` counts requests, so a retry
    is a call. ``seconds`` is wall time since the ledger was opened, after which no call begins.
    """

    usd: Decimal | None = None
    calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.usd, Decimal | None):
            raise options_of(TuneOptions)["max_usd"].error(f"is {self.usd!r}; it takes a Decimal")
        for name in ("usd", "calls", "tokens", "seconds"):
            options_of(TuneOptions)[f"max_{name}"].check(getattr(self, name))


@dataclass(frozen=True, slots=True)
class Spending:
    """What was charged. The spendings of a pool's models add up to the total."""

    calls: int = 0
    """Requests sent, including retries."""
    unreported: int = 0
    """Requests charged in full because the server reported no usage."""
    overruns: int = 0
    """Requests that used more than they were allowed to, as the server reports."""
    input: int = 0
    cached: int = 0
    output: int = 0
    picodollars: int = 0
    """0 for models without known prices."""

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input + self.output

    @property
    def usd(self) -> Decimal:
        """The dollars charged, exactly."""
        return dollars(self.picodollars)

    def of(self, limit: Limit) -> int:
        """The amount that counts against that ceiling: picodollars, calls or tokens."""
        return {Limit.USD: self.picodollars, Limit.CALLS: self.calls, Limit.TOKENS: self.tokens}[limit]

    def __add__(self, other: Spending) -> Spending:
        return Spending(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


def _shown(amount: int, limit: Limit) -> str:
    return f"{dollars(amount):f}" if limit is Limit.USD else str(amount)


class Ledger:
    """Keeps what was spent and reserved, and refuses what exceeds a ceiling. Safe to use from several threads."""

    def __init__(self, ceilings: Ceilings | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.ceilings = ceilings or Ceilings()
        self._clock = clock
        self._opened = clock()
        self._lock = threading.Lock()
        self._spent: dict[str, Spending] = {}
        self._reserved = Spending()

    def reserve(self, model: str, prices: Prices | None, worst: Usage) -> Reservation:
        """Set aside a call's worst case. Raises :class:`BudgetRefused` if that exceeds a ceiling."""
        if prices is None and self.ceilings.usd is not None:
            raise BudgetRefused(Limit.NO_PRICE, f"the prices of {model} are not known, which max-usd requires", True)
        cost = prices.worst_cost(worst) if prices else 0
        asked = Spending(calls=1, input=worst.input, output=worst.output, picodollars=cost)
        with self._lock:
            self._require_room(asked)
            self._reserved += asked
        return Reservation(self, model, prices, asked)

    def charge(self, model: str, spending: Spending) -> None:
        """Count what another process has spent, which this one goes on for."""
        with self._lock:
            self._spent[model] = self._spent.get(model, Spending()) + spending

    def go_on(self, ceilings: Ceilings, elapsed_s: float) -> None:
        """Have other ceilings from now on, ``elapsed_s`` seconds after the ledger was opened."""
        with self._lock:
            self.ceilings = ceilings
            self._opened = self._clock() - elapsed_s

    def remaining_s(self) -> float | None:
        """Seconds left in which a call may begin, at least 0; ``None`` without such a ceiling."""
        limit = self.ceilings.seconds
        return None if limit is None else max(0.0, self._opened + limit - self._clock())

    def spent(self) -> dict[str, Spending]:
        """What was charged so far, by model."""
        with self._lock:
            return dict(self._spent)

    def total(self) -> Spending:
        """What was charged so far for all models together."""
        with self._lock:
            return self._total()

    def reserved(self) -> Spending:
        """What is set aside for calls in flight."""
        with self._lock:
            return self._reserved

    def _total(self) -> Spending:
        return sum(self._spent.values(), Spending())

    def _require_room(self, asked: Spending) -> None:
        if self.remaining_s() == 0:
            raise BudgetRefused(Limit.SECONDS, f"the {self.ceilings.seconds:g} seconds for calls are over", True)
        spent, reserved = self._total(), self._reserved
        for limit, ceiling in (
            (Limit.USD, None if self.ceilings.usd is None else int(self.ceilings.usd * PICODOLLARS)),
            (Limit.CALLS, self.ceilings.calls),
            (Limit.TOKENS, self.ceilings.tokens),
        ):
            gone, held, wanted = spent.of(limit), reserved.of(limit), asked.of(limit)
            if ceiling is not None and gone + held + wanted > ceiling:
                raise BudgetRefused(
                    limit,
                    f"max-{limit} is {_shown(ceiling, limit)}: {_shown(gone, limit)} spent, {_shown(held, limit)} "
                    f"reserved for calls in flight, and this call may take {_shown(wanted, limit)}",
                    final=gone + wanted > ceiling,
                )

    def _settle(self, model: str, reserved: Spending, charged: Spending) -> None:
        with self._lock:
            self._reserved = Spending(
                *(getattr(self._reserved, field.name) - getattr(reserved, field.name) for field in fields(Spending))
            )
            self._spent[model] = self._spent.get(model, Spending()) + charged


class Reservation:
    """The worst case of one call, set aside. End it with exactly one of its methods; each returns the charge."""

    def __init__(self, ledger: Ledger, model: str, prices: Prices | None, asked: Spending) -> None:
        self._ledger = ledger
        self._model = model
        self._prices = prices
        self._asked = asked
        self._open = True

    @property
    def worst(self) -> Spending:
        """What was set aside."""
        return self._asked

    def used(self, usage: Usage) -> Spending:
        """Charge what the server reported, even if that is more than was reserved."""
        cost = self._prices.cost(usage) if self._prices else 0
        asked = self._asked
        over = cost > asked.picodollars or usage.total > asked.tokens
        return self._end(Spending(1, 0, int(over), usage.input, usage.cached, usage.output, cost))

    def unknown(self) -> Spending:
        """Charge in full: the request was sent, and its usage is unknown."""
        return self._end(replace(self._asked, unreported=1))

    def refused(self) -> Spending:
        """Charge a call, but no tokens: the server turned the request away."""
        return self._end(Spending(calls=1))

    def unsent(self) -> Spending:
        """Charge nothing: no request left this machine."""
        return self._end(Spending())

    def _end(self, charged: Spending) -> Spending:
        if not self._open:
            raise RuntimeError("a reservation can end only once")
        self._open = False
        self._ledger._settle(self._model, self._asked, charged)
        return charged
