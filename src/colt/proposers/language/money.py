"""Ceilings that hold while calls are in flight: what a call may cost at worst is reserved before it is made.

A call's worst case is known beforehand: no token is shorter than a byte, so the bytes of the request bound its input,
and the maximum output that every request carries bounds its output. A :class:`Ledger` grants a :class:`Reservation`
only if everything spent, everything reserved and this call's worst case stay within every ceiling; what the server
reports to have used is then charged in its place. A call whose usage stays unknown is charged in full.

Money is counted in whole picodollars (1e-12 dollars): a price of any dollars per million tokens with up to six decimals
is a whole number of them per token, so that nothing is ever rounded.
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
"""In a dollar."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a call; ``cached`` is the part of ``input`` that the provider read from its cache."""

    input: int
    output: int
    cached: int = 0

    @property
    def total(self) -> int:
        """What counts against a ceiling on tokens."""
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars per million tokens; without a price of its own cached input costs as much as other input."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None

    def cost(self, usage: Usage) -> int:
        """Picodollars for that usage."""
        cached = self.input if self.cached_input is None else self.cached_input
        return (
            (usage.input - usage.cached) * _per_token(self.input)
            + usage.cached * _per_token(cached)
            + usage.output * _per_token(self.output)
        )

    def worst_cost(self, usage: Usage) -> int:
        """Picodollars for at most that many tokens, however many of them are cached."""
        return max(self.cost(replace(usage, cached=0)), self.cost(replace(usage, cached=usage.input)))


def _per_token(usd_per_million: Decimal) -> int:
    """Rounded up, should a price have more than six decimals: the ceiling must hold."""
    return int((usd_per_million * (PICODOLLARS // 10**6)).to_integral_value(ROUND_CEILING))


def dollars(picodollars: int) -> Decimal:
    """Exactly that amount."""
    return Decimal(picodollars) / PICODOLLARS


class Limit(StrEnum):
    """Why a call is refused."""

    USD = "usd"
    CALLS = "calls"
    TOKENS = "tokens"
    SECONDS = "seconds"
    NO_PRICE = "no-price"  # under a ceiling of dollars a model without known prices is not called


class BudgetRefused(ColtError):
    """A call was not made, since its worst case goes beyond a ceiling.

    ``final``: it would not fit either if all calls in flight turned out to cost nothing.
    """

    def __init__(self, limit: Limit, message: str, final: bool) -> None:
        super().__init__(message)
        self.limit = limit
        self.final = final


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What a run may spend on language models; ``None`` is no ceiling.

    ``usd`` and ``tokens`` (input and output together) are of all calls; ``calls`` counts requests, so a retry is a
    call; ``seconds`` is wall time since the ledger was opened, after which no call begins.
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
    """What was spent, as charged. The parts of a pool add up to the whole."""

    calls: int = 0
    """Requests sent, retries among them."""
    unreported: int = 0
    """Calls that were charged in full, since the server said nothing of what it used."""
    overruns: int = 0
    """Calls that the server says used more than they were allowed to."""
    input: int = 0
    cached: int = 0
    output: int = 0
    picodollars: int = 0
    """0 for models without known prices."""

    @property
    def tokens(self) -> int:
        """Input and output."""
        return self.input + self.output

    @property
    def usd(self) -> Decimal:
        """Exact."""
        return dollars(self.picodollars)

    def of(self, limit: Limit) -> int:
        """What counts against that ceiling: picodollars, calls or tokens."""
        return {Limit.USD: self.picodollars, Limit.CALLS: self.calls, Limit.TOKENS: self.tokens}[limit]

    def __add__(self, other: Spending) -> Spending:
        return Spending(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


def _shown(amount: int, limit: Limit) -> str:
    return f"{dollars(amount):f}" if limit is Limit.USD else str(amount)


class Ledger:
    """Who may still spend what. Safe to use from several threads."""

    def __init__(self, ceilings: Ceilings | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.ceilings = ceilings or Ceilings()
        self._clock = clock
        self._opened = clock()
        self._lock = threading.Lock()
        self._spent: dict[str, Spending] = {}
        self._reserved = Spending()
        usd = self.ceilings.usd
        self._picodollars = None if usd is None else int(usd * PICODOLLARS)

    def reserve(self, model: str, prices: Prices | None, worst: Usage) -> Reservation:
        """Set aside what a call may cost at worst. Raises :class:`BudgetRefused` if that goes beyond a ceiling."""
        if prices is None and self._picodollars is not None:
            raise BudgetRefused(Limit.NO_PRICE, f"the prices of {model} are not known, and there is a max-usd", True)
        cost = prices.worst_cost(worst) if prices else 0
        asked = Spending(calls=1, input=worst.input, output=worst.output, picodollars=cost)
        with self._lock:
            self._require_room(asked)
            self._reserved += asked
        return Reservation(self, model, prices, asked)

    def remaining_s(self) -> float | None:
        """Seconds until no call may begin any more, not below 0; ``None`` without such a ceiling."""
        limit = self.ceilings.seconds
        return None if limit is None else max(0.0, self._opened + limit - self._clock())

    def spent(self) -> dict[str, Spending]:
        """By model, all that was charged so far."""
        with self._lock:
            return dict(self._spent)

    def total(self) -> Spending:
        """Charged so far, over all models."""
        with self._lock:
            return self._total()

    def reserved(self) -> Spending:
        """Set aside for calls in flight."""
        with self._lock:
            return self._reserved

    def _total(self) -> Spending:
        return sum(self._spent.values(), Spending())

    def _require_room(self, asked: Spending) -> None:
        if self.remaining_s() == 0:
            raise BudgetRefused(Limit.SECONDS, f"the {self.ceilings.seconds:g} seconds for calls are over", True)
        spent, reserved = self._total(), self._reserved
        for limit, ceiling in (
            (Limit.USD, self._picodollars),
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
    """The worst case of one call, set aside. Exactly one of its methods ends it; each returns what was charged."""

    def __init__(self, ledger: Ledger, model: str, prices: Prices | None, asked: Spending) -> None:
        self._ledger = ledger
        self._model = model
        self._prices = prices
        self._asked = asked
        self._open = True

    def used(self, usage: Usage) -> Spending:
        """Charge what the server reported. More than was reserved is charged as well: then it has been spent."""
        cost = self._prices.cost(usage) if self._prices else 0
        asked = self._asked
        over = cost > asked.picodollars or usage.total > asked.tokens
        return self._end(Spending(1, 0, int(over), usage.input, usage.cached, usage.output, cost))

    def unknown(self) -> Spending:
        """Charge in full: the request was sent, and nobody says what it used."""
        return self._end(replace(self._asked, unreported=1))

    def refused(self) -> Spending:
        """Charge a call, but no tokens: the server turned the request away."""
        return self._end(Spending(calls=1))

    def unsent(self) -> Spending:
        """Charge nothing: no request left this machine."""
        return self._end(Spending())

    def _end(self, charged: Spending) -> Spending:
        if not self._open:
            raise RuntimeError("a reservation ends once")
        self._open = False
        self._ledger._settle(self._model, self._asked, charged)
        return charged
