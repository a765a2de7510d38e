"""A finished call of a language model, as it is recorded, replayed and read into a proposal."""

from __future__ import annotations

from typing import Annotated, Self

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from colt.proposers.language.completion import ChatError, Completion, ErrorKind
from colt.proposers.language.money import Spending

Count = Annotated[int, Meta(ge=0, le=9 * 10**18)]


class Charge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a call was charged: :class:`~colt.proposers.language.money.Spending` in a recording."""

    calls: Count = 0
    unreported: Count = 0
    overruns: Count = 0
    input: Count = 0
    cached: Count = 0
    output: Count = 0
    picodollars: Count = 0

    @classmethod
    def of(cls, spending: Spending) -> Self:
        """The spending in the form that is recorded."""
        return cls(**{name: getattr(spending, name) for name in cls.__struct_fields__})

    def spending(self) -> Spending:
        """The charge in the form that adds up."""
        return Spending(**msgspec.structs.asdict(self))


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call: the model, its ticket and prompt, and the answer or the error. Holds no key."""

    ticket: Count
    model: str
    prompt: str
    """The node's text; the stable text before it is recorded once for the run."""
    text: str = ""
    """The answer: data, not to be trusted."""
    error: ErrorKind | None = None
    message: str = ""
    """What went wrong."""
    seconds: Annotated[float, Meta(ge=0, le=1e9)] = 0.0
    """From sending to the answer, including the waits for a free slot and between retries."""
    spent: Charge = Charge()
    retried: tuple[ErrorKind, ...] = ()
    """The errors of the requests that were retried."""
    served: str = ""
    """The model that answered, as the endpoint reports it."""
    in_reasoning: bool = False
    """Whether the answer came in the reasoning channel, where none was expected."""

    @classmethod
    def of(cls, ticket: int, model: str, prompt: str, outcome: Completion | ChatError, seconds: float) -> Self:
        """The record of a call with this outcome."""
        call = cls(
            ticket=ticket,
            model=model,
            prompt=prompt,
            seconds=round(seconds, 4),
            spent=Charge.of(outcome.spent),
            retried=outcome.retried,
        )
        if isinstance(outcome, ChatError):
            return replace(call, error=outcome.kind, message=str(outcome))
        return replace(call, text=outcome.answer, served=outcome.served_model, in_reasoning=not outcome.text)
