"""Whole runs with language models in the pool, quick enough that every fault of an endpoint can be met in one.

The endpoints are real servers on this machine, and so is everything between them and the receipt. Only the hardware
is made up: what these runs are about is calls, and measuring would take nearly all of their time.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Any, Self

import colt
from colt.events import Event
from colt.measure.base import Pace
from colt.proposers.language.money import Prices
from colt.proposers.language.retry import RetryPolicy
from colt.run.finish import Result
from colt.world.parts import Parts
from tests.helpers.chat_members import PRICES
from tests.helpers.chat_server import ChatServer, Part
from tests.helpers.simulated_model import simulated_reply
from tests.helpers.simulated_runs import THINK_LESS, simulated

KEY_VARIABLE = "COLT_TEST_KEY"
TRIALS = 10
SETTINGS: dict[str, Any] = {
    "proposals_per_call": 2,
    "model_openings": 2,
    "batch_size": 4,
    "structure_after": 0,
    **THINK_LESS,
}
"""Few alternatives in a call, and calls from the first trial on, so that few trials take many calls. Constructed
openings take most of the time."""
RETRY = RetryPolicy(attempts=3, base_s=0.01, total_s=0.5)
TIMEOUT_S = 0.3
"""Of calls to endpoints that take longer; others have time, since a machine with other loads is slow as well."""
SLOW = (Part.SLOW, Part.TRICKLE, Part.TRICKLE_HEADERS)
"""Of these a run may end before they do."""
TRIAL_S = 0.01
"""How long a trial takes: something has to come back meanwhile."""


class PoolRuns:
    """Endpoints, and runs with them in the pool. Closes the endpoints when it is left."""

    def __init__(self, folder: Path, program: str) -> None:
        self.folder = folder
        self.program = program
        self.events: list[Event] = []
        self._members: list[str] = []
        self._servers = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._servers.close()

    def model(
        self,
        name: str,
        size_b: float = 8.0,
        parts: Sequence[Part] = (),
        always: Part | None = None,
        prices: Prices | None = PRICES,
        successors: Iterable[str] = (),
        **fields: object,
    ) -> ChatServer:
        """Another model, at an endpoint of its own that answers with legal edits by chance, parts to play apart.

        It proposes its ``successors`` in turn as the model to be asked next; by chance if there are none.
        """
        server = self._servers.enter_context(ChatServer(parts, prices=prices))
        rng = random.Random(name)
        turns = cycle(successors)
        server.think = lambda body: simulated_reply(body, rng, next(turns, None))
        server.always = always
        server.slow_s = 2 * TIMEOUT_S
        timeout_s = 30.0 if set(SLOW).isdisjoint((*parts, always)) else TIMEOUT_S
        stated: dict[str, object] = {"name": name, "base_url": server.url, "size_b": size_b, "timeout_s": timeout_s}
        stated |= {"max_output_tokens": 400, **fields}
        lines = [f"{key} = {_toml(value)}" for key, value in stated.items()]
        if prices is not None:
            lines.append(f"prices = {{ input = {prices.input}, output = {prices.output} }}")
        self._members.append("\n".join(["[[member]]", *lines, ""]))
        return server

    def expert(self, name: str) -> None:
        """A built-in expert in the pool."""
        self._members.append(f'[[member]]\nexpert = "{name}"\n')

    @property
    def pool(self) -> Path:
        """The pool file, of all members so far."""
        path = self.folder / "pool.toml"
        path.write_text("\n".join(self._members))
        return path

    def tune(self, **options: Any) -> Result:
        """A run; notes its events."""
        config = colt.SearchConfig.preset("models", **(SETTINGS | options.pop("settings", {})))
        self.events = []
        return colt.tune(
            self.program,
            **{"trials": TRIALS, "config": config, "pool": self.pool, "on_event": [self.events.append], **options},
        )


def _toml(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value).replace("'", '"')


def quick_machine(in_turn_s: float = 0.0) -> Parts:
    """No hardware, and little patience with endpoints. A trial takes ``TRIAL_S``, the end of a run ``in_turn_s``."""
    return Parts(
        measurer=lambda limits, peak_gflops: simulated(trial_s=TRIAL_S, in_turn_s=in_turn_s),
        pace=Pace.hasty(),
        retry=RETRY,
        grace_s=0.1,
    )
