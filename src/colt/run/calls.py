"""The calls of language models: all tasks of a run share the endpoints and one ledger."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from colt.errors import ReplayError
from colt.plan import Plan
from colt.proposers.desk import Calls
from colt.proposers.language.calls import Charge
from colt.proposers.language.findings import recall
from colt.proposers.language.money import Ledger, Spending
from colt.proposers.shared_calls import SharedCalls
from colt.store.receipt import FoundPart
from colt.world.answers import Endpoints, StableText
from colt.world.calls import RecordableCalls
from colt.world.world import World


class ModelCalls:
    """Opened by the first task that has language models, and closed with the ``stack``."""

    def __init__(self, plan: Plan, world: World, stack: ExitStack) -> None:
        self.found: Mapping[str, FoundPart] = {}
        """What ``colt pool check`` found last of the endpoints, by model."""
        self._plan = plan
        self._world = world
        self._stack = stack
        self._ledger = Ledger(plan.ceilings)
        self._shared: SharedCalls | None = None

    def line(self) -> Calls:
        """One more task's calls."""
        if self._shared is None:
            plan, world = self._plan, self._world
            models = plan.pool.models
            recalled = world.take("endpoints", Endpoints, lambda: Endpoints(found=recall(models)))
            self.found = recalled.found
            calls = RecordableCalls(
                world, self._make, plan.calls_at_once, compare=world.same_words, charge=self._ledger.charge
            )
            self._shared = SharedCalls(calls)
        return self._shared.line()

    def require_same_text(self, text: str) -> None:
        """Raise :class:`ReplayError` if the recorded run's prompts began with another text."""
        recorded = self._world.take("stable text", StableText, lambda: StableText(text=text)).text
        if self._world.same_words and recorded != text:
            raise ReplayError("the text that every prompt begins with is another one")

    def go_on(self, plan: Plan, seconds: float) -> None:
        """Go on with what the plan allows, once the run has taken so many seconds."""
        self._plan = plan
        self._ledger.go_on(plan.ceilings, seconds)

    def _make(self) -> Calls:
        plan, parts = self._plan, self._world.parts
        if parts.calls is not None:
            return parts.calls()
        from colt.proposers.language.chat_calls import ChatCalls  # needs the extra ``models``
        from colt.proposers.language.client import CallTiming, ChatClient

        timing = CallTiming(grace_s=parts.grace_s)
        clients = [
            ChatClient(one, self._ledger, retry=parts.retry, seed=plan.seed, timing=timing) for one in plan.pool.models
        ]

        def set_aside(ticket: int, worst: Spending) -> None:
            self._world.set_aside(ticket, Charge.of(worst))

        return self._stack.enter_context(ChatCalls(clients, plan.calls_at_once, set_aside))
