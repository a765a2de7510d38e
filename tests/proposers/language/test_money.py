"""Ceilings hold for any interleaving of calls."""

from __future__ import annotations

import threading
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from colt.errors import InputError
from colt.proposers.language.money import (
    BudgetRefused,
    Ceilings,
    Ledger,
    Limit,
    Prices,
    Reservation,
    Spending,
    Usage,
    dollars,
)

PRICES = Prices(Decimal("0.25"), Decimal(2), Decimal("0.025"))
CALL = Usage(1000, 500)


def test_prices_are_per_million_tokens() -> None:
    assert dollars(PRICES.cost(Usage(1_000_000, 0))) == Decimal("0.25")
    assert dollars(PRICES.cost(Usage(0, 1_000_000))) == 2
    assert dollars(PRICES.cost(Usage(1_000_000, 0, cached=1_000_000))) == Decimal("0.025")
    assert dollars(PRICES.cost(Usage(3, 1, cached=1))) == Decimal("0.000002525")
    assert dollars(Prices(Decimal(1), Decimal(1)).cost(Usage(10, 0, cached=10))) == Decimal("0.00001")


def test_the_worst_case_does_not_count_on_the_cache() -> None:
    assert PRICES.worst_cost(CALL) == PRICES.cost(CALL)
    dear_to_cache = Prices(Decimal(1), Decimal(1), Decimal(3))
    assert dear_to_cache.worst_cost(CALL) == dear_to_cache.cost(Usage(1000, 500, cached=1000))


def test_a_price_too_fine_to_count_is_rounded_up() -> None:
    assert Prices(Decimal("0.0000001"), Decimal(0)).cost(Usage(1, 0)) == 1


def test_a_million_small_charges_do_not_drift() -> None:
    ledger = Ledger()
    cent = Prices(Decimal("0.1"), Decimal(0))
    for _ in range(1000):
        ledger.reserve("m", cent, Usage(1, 0)).used(Usage(1, 0))
    assert ledger.total().usd == Decimal("0.0001")


def refusal(ledger: Ledger, worst: Usage = CALL, prices: Prices | None = PRICES) -> BudgetRefused:
    with pytest.raises(BudgetRefused) as raised:
        ledger.reserve("m", prices, worst)
    return raised.value


def test_what_is_in_flight_counts_in_full_until_it_is_settled() -> None:
    cost = dollars(PRICES.cost(CALL))
    ledger = Ledger(Ceilings(usd=2 * cost))
    first, second = ledger.reserve("m", PRICES, CALL), ledger.reserve("m", PRICES, CALL)
    refused = refusal(ledger)
    assert refused.limit is Limit.USD
    assert not refused.final, "the calls in flight may turn out cheaper"
    assert "max-usd is 0.0025" in str(refused)
    first.used(CALL)
    assert refusal(ledger, Usage(2000, 500)).final, "what is spent already leaves no room for so much"
    second.unsent()
    ledger.reserve("m", PRICES, Usage(900, 500))


def test_each_ceiling_refuses_in_its_own_name() -> None:
    now = 0.0
    assert refusal(Ledger(Ceilings(calls=0))).limit is Limit.CALLS
    assert refusal(Ledger(Ceilings(tokens=1499))).limit is Limit.TOKENS
    assert refusal(Ledger(Ceilings(usd=Decimal(0)))).final
    assert refusal(Ledger(Ceilings(usd=Decimal(1000))), prices=None).limit is Limit.NO_PRICE
    ledger = Ledger(Ceilings(seconds=5), clock=lambda: now)
    ledger.reserve("m", None, CALL).unknown()
    assert ledger.remaining_s() == 5
    now = 5.0
    assert refusal(ledger).limit is Limit.SECONDS


def test_without_a_ceiling_of_dollars_a_model_needs_no_price() -> None:
    ledger = Ledger(Ceilings(calls=1, tokens=1500))
    assert ledger.reserve("m", None, CALL).unknown() == Spending(1, 1, 0, 1000, 0, 500, 0)


def test_how_a_call_ends_decides_what_is_charged() -> None:
    def spent(end: str, *of: Usage) -> Spending:
        charged: Spending = getattr(Ledger().reserve("m", PRICES, CALL), end)(*of)
        return charged

    assert spent("used", Usage(100, 50, 20)) == Spending(1, 0, 0, 100, 20, 50, PRICES.cost(Usage(100, 50, 20)))
    assert spent("unknown") == Spending(1, 1, 0, 1000, 0, 500, PRICES.cost(CALL))
    assert spent("refused") == Spending(1)
    assert spent("unsent") == Spending()


def test_more_than_was_allowed_is_charged_and_told() -> None:
    ledger = Ledger(Ceilings(usd=dollars(PRICES.cost(CALL))))
    charged = ledger.reserve("m", PRICES, CALL).used(Usage(1000, 5000))
    assert charged.overruns == 1
    assert ledger.total().picodollars == PRICES.cost(Usage(1000, 5000))
    assert refusal(ledger, Usage(1, 1)).final


def test_accounts_are_kept_by_model() -> None:
    ledger = Ledger()
    for model, tokens in (("a", 1), ("b", 2), ("a", 3)):
        ledger.reserve(model, PRICES, CALL).used(Usage(tokens, 0))
    assert {model: spent.input for model, spent in ledger.spent().items()} == {"a": 4, "b": 2}
    assert ledger.total().calls == 3


def test_a_reservation_ends_once() -> None:
    reservation = Ledger().reserve("m", PRICES, CALL)
    reservation.unknown()
    with pytest.raises(RuntimeError):
        reservation.unsent()


@pytest.mark.parametrize(
    "wrong",
    [
        {"usd": Decimal(-1)},
        {"usd": Decimal("NaN")},
        {"usd": Decimal("Infinity")},
        {"usd": 1.5},
        {"calls": -1},
        {"calls": 1.0},
        {"tokens": True},
        {"seconds": 0},
        {"seconds": float("nan")},
    ],
)
def test_ceilings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"max_{next(iter(wrong))} is"):
        Ceilings(**wrong)  # type: ignore[arg-type]


AMOUNTS = st.integers(0, 3000)
PRICE = st.decimals(0, 100, places=4)


class AnyInterleaving(RuleBasedStateMachine):
    """Calls begin and end in any order; a provider keeps its own account of them."""

    @initialize(
        usd=st.none() | st.decimals(0, 1, places=6),
        calls=st.none() | st.integers(0, 20),
        tokens=st.none() | st.integers(0, 20_000),
        prices=st.builds(Prices, PRICE, PRICE, st.none() | PRICE),
    )
    def open(self, usd: Decimal | None, calls: int | None, tokens: int | None, prices: Prices) -> None:
        self.ceilings = Ceilings(usd, calls, tokens)
        self.ledger = Ledger(self.ceilings)
        self.prices = prices
        self.flying: list[tuple[Reservation, Usage]] = []
        self.billed = self.calls = self.tokens = 0

    @rule(given=AMOUNTS, made=AMOUNTS)
    def begin(self, given: int, made: int) -> None:
        worst = Usage(given, made)
        try:
            self.flying.append((self.ledger.reserve("m", self.prices, worst), worst))
        except BudgetRefused:
            return

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        reservation, worst = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        how = data.draw(st.sampled_from(["used", "unknown", "refused", "unsent"]))
        if how in ("refused", "unsent"):
            getattr(reservation, how)()
            self.calls += how == "refused"
            return
        given = data.draw(st.integers(0, worst.input))
        usage = Usage(given, data.draw(st.integers(0, worst.output)), data.draw(st.integers(0, given)))
        self.billed += self.prices.cost(usage)
        self.calls += 1
        self.tokens += usage.total
        if how == "used":
            reservation.used(usage)
        else:
            reservation.unknown()

    @invariant()
    def no_ceiling_is_exceeded(self) -> None:
        if not hasattr(self, "ledger"):
            return
        spent, reserved = self.ledger.total(), self.ledger.reserved()
        usd, calls, tokens = self.ceilings.usd, self.ceilings.calls, self.ceilings.tokens
        assert usd is None or dollars(spent.picodollars + reserved.picodollars) <= usd
        assert calls is None or spent.calls + reserved.calls <= calls
        assert tokens is None or spent.tokens + reserved.tokens <= tokens

    @invariant()
    def the_ledger_is_never_below_the_bill(self) -> None:
        if hasattr(self, "ledger"):
            spent = self.ledger.total()
            assert spent.picodollars >= self.billed
            assert spent.calls == self.calls
            assert spent.tokens >= self.tokens
            assert spent.overruns == 0

    @invariant()
    def nothing_stays_reserved_when_nothing_flies(self) -> None:
        if hasattr(self, "ledger") and not self.flying:
            assert self.ledger.reserved() == Spending()


AnyInterleaving.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyInterleaving = AnyInterleaving.TestCase


def test_threads_do_not_get_past_the_ceiling_together() -> None:
    """All threads ask at once, many times over, for more than there is."""
    ledger = Ledger(Ceilings(usd=dollars(10 * PRICES.cost(CALL))))
    granted: list[Reservation] = []
    together = threading.Barrier(8)

    def grab() -> None:
        together.wait()
        for _ in range(50):
            try:
                granted.append(ledger.reserve("m", PRICES, CALL))
            except BudgetRefused:
                continue

    threads = [threading.Thread(target=grab) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 10


@settings(max_examples=200)
@given(PRICE, PRICE, st.none() | PRICE, AMOUNTS, AMOUNTS, st.data())
def test_no_usage_within_the_bound_costs_more_than_the_worst_case(
    listed: Decimal, result: Decimal, cached: Decimal | None, given: int, made: int, data: st.DataObject
) -> None:
    prices = Prices(listed, result, cached)
    used = data.draw(st.integers(0, given))
    usage = Usage(used, data.draw(st.integers(0, made)), data.draw(st.integers(0, used)))
    assert prices.cost(usage) <= prices.worst_cost(Usage(given, made))
