"""The desk: where language models are asked, several at a time, while everything else goes on.

A question goes out with :meth:`Desk.send`; answers come back from :meth:`Desk.arrived`, which is asked now and then.
Whatever depends on the world outside comes in there and nowhere else, so that a recording of it replays a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from colt.proposers.language.calls import Call
from colt.proposers.language.completion import ChatRequest

BENCHED = "benched after failures"
"""How the reason begins why a model is out whose circuit breaker is open."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Calls that have come back since the last time, and the models that cannot be asked at present, and why."""

    calls: tuple[Call, ...] = ()
    out: Mapping[str, str] = field(default_factory=dict)


class Desk(Protocol):
    """Where language models are asked."""

    @property
    def most(self) -> int:
        """Calls that may be under way at once."""
        ...

    def send(self, ticket: int, model: str, request: ChatRequest) -> None:
        """Ask; returns at once. The call comes back in some :meth:`arrived`, whatever becomes of it."""
        ...

    def arrived(self, wait_s: float = 0.0) -> Arrivals:
        """What has come back; waits so long for the first if there is nothing yet."""
        ...
