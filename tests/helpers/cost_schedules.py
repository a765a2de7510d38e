"""Random schedules of faults under a small ceiling of dollars, for the test of it and for the benchmark.

The provider here (:class:`~tests.helpers.chat_server.ChatServer`) bills as much as it may, also for replies that never
arrive, and keeps an account of its own.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal

from colt.proposers.language.breaker import Breaker
from colt.proposers.language.client import CallTiming, ChatClient
from colt.proposers.language.completion import ChatError, ChatRequest, ErrorKind
from colt.proposers.language.money import Ceilings, Ledger, Prices, Usage, dollars
from colt.proposers.language.retry import RetryPolicy
from colt.proposers.members import ModelMember
from tests.helpers.chat_members import member
from tests.helpers.chat_server import CHARGEABLE, ChatServer, Part

IN_FLIGHT = 8
CALLS = 80
FAULTS = 300
OUTPUT = 300
TYPICAL = Usage(1700, OUTPUT)
"""The worst case of a call here, about; ceilings are for a few of them."""


@dataclass(frozen=True)
class Outcome:
    """What one schedule came to, in dollars."""

    ceiling: Decimal
    billed: Decimal
    """By the server's account."""
    charged: Decimal
    """By ours."""
    requests: int
    answers: int
    refused: int
    reserved: int
    """Still set aside at the end: must be 0."""

    @property
    def holds(self) -> bool:
        """Whether nobody was billed or charged beyond the ceiling."""
        return self.billed <= self.charged <= self.ceiling and self.reserved == 0


class NeverBenching(Breaker):
    """A benched model spends nothing: a single 401 would end most of a schedule, and that would prove little."""

    def failed(self, trial: bool, at_once: bool = False, at_least_s: float = 0.0) -> None:
        """Let the next call be made as well."""


def run(seed: int) -> Outcome:
    """One schedule: eight calls in flight over two models, until all were made or refused."""
    rng = random.Random(seed)
    prices = Prices(Decimal(rng.randint(1, 300)) / 100, Decimal(rng.randint(1, 1500)) / 100, Decimal("0.01"))
    faulty = rng.random()
    parts = [rng.choice(CHARGEABLE) if rng.random() < faulty else Part.WELL for _ in range(FAULTS)]
    with ChatServer(parts, prices=prices, seed=seed) as server:
        server.slow_s = 0.25
        ceiling = dollars(int(prices.worst_cost(TYPICAL) * rng.uniform(0.5, 40)))
        ledger = Ledger(Ceilings(usd=ceiling))
        clients = [
            ChatClient(
                _member(server.url, name, prices),
                ledger,
                retry=RetryPolicy(attempts=3),
                breaker=NeverBenching(),
                seed=seed,
                timing=CallTiming(sleep=lambda _: None),
            )
            for name in ("small-8b", "large-70b")
        ]
        asks = [(clients[rng.randrange(2)], ChatRequest("be brief", "x" * rng.randint(0, 2000))) for _ in range(CALLS)]
        with ThreadPoolExecutor(IN_FLIGHT) as threads:
            kinds = list(threads.map(lambda ask: _kind(*ask), asks))
        for client in clients:
            client.close()
        total = ledger.total()
        deadline = time.monotonic() + 2
        while len(server.asked) < total.calls and time.monotonic() < deadline:
            time.sleep(0.01)  # a request that was given up may not have been read, and billed, yet
        return Outcome(
            ceiling=ceiling,
            billed=dollars(server.billed_picodollars),
            charged=total.usd,
            requests=len(server.asked),
            answers=kinds.count(None),
            refused=kinds.count(ErrorKind.BUDGET),
            reserved=ledger.reserved().picodollars,
        )


def _kind(client: ChatClient, request: ChatRequest) -> ErrorKind | None:
    try:
        client.complete(request)
    except ChatError as error:
        return error.kind
    return None


def _member(url: str, name: str, prices: Prices) -> ModelMember:
    return member(url, name=name, api_key_env=None, prices=prices, timeout_s=0.15, max_output_tokens=OUTPUT)
