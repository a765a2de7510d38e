"""A language model as a proposer: from an observation to a prompt, from an answer to a proposal.

:meth:`LanguageModel.propose` asks and waits. A run overlaps calls instead: it sends what :meth:`LanguageModel.request`
returns to a desk, and hands the call that comes back to :meth:`LanguageModel.read`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from colt.proposers.language.calls import Call
from colt.proposers.language.completion import ChatError, ChatRequest, Completion, ReplySchema
from colt.proposers.language.node import NO_FACTS, RunFacts, node_text
from colt.proposers.language.prompt import Briefing, MemberInWords
from colt.proposers.language.reply import ReplyError, read_reply, schema
from colt.proposers.language.settle import settled
from colt.search.types import MemberSpec, NotAsked, Observation, Proposal, ProposalError, Space


class LanguageModel:
    """One model of a pool. Its next prompt says what was not usable in its last answer."""

    def __init__(
        self,
        spec: MemberSpec,
        pool: Sequence[MemberInWords],
        system: str,
        briefing: Briefing,
        space: Space,
        complete: Callable[[ChatRequest], Completion] | None = None,
        moves: bool = False,
    ) -> None:
        """``system`` is the stable text of the pool (:func:`~colt.proposers.language.prompt.stable_text`).

        ``complete`` sends a request and waits for the answer, as :meth:`ChatClient.complete` does; only
        :meth:`propose` needs it. ``moves``: whether answers may hold moves.
        """
        self.spec = spec
        self.unusable = 0
        """How many parts of its answers were dropped, as the receipt counts them."""
        self._complete = complete
        self._briefing = briefing
        self._space = space
        self._system = system
        self._schema = ReplySchema("proposals", schema([member.spec.name for member in pool], moves))
        self._untuned = space.untuned if moves else None
        self._told: tuple[str, ...] = ()

    def propose(self, observation: Observation) -> Proposal:
        """Ask, wait for the answer and read it. Raises as :meth:`read`; :class:`RuntimeError` without ``complete``."""
        if self._complete is None:
            raise RuntimeError(f"{self.spec.name} cannot be asked: it was made without `complete`")
        request = self.request(observation)
        outcome: Completion | ChatError
        try:
            outcome = self._complete(request)
        except ChatError as error:
            outcome = error
        return self.read(Call.of(0, self.spec.name, request.user, outcome, seconds=0.0), observation)

    def request(self, observation: Observation, facts: RunFacts = NO_FACTS) -> ChatRequest:
        """The prompt for an observation: the stable text, then the node."""
        return ChatRequest(self._system, node_text(observation, self._briefing, self._told, facts), self._schema)

    def read(self, call: Call, observation: Observation) -> Proposal:
        """The proposal in a finished call.

        Raises
        ------
        NotAsked
            The call was not made, or was given up, for reasons that say nothing about the model.
        ProposalError
            The call failed, or nothing in the answer is usable.
        """
        if call.error is not None:
            raise (NotAsked if call.error.blameless else ProposalError)(call.message)
        try:
            reply = settled(
                read_reply(call.text, observation, self._briefing, self._untuned),
                observation,
                self._space,
                self._briefing,
            )
        except ReplyError as error:
            self._told = error.dropped or (str(error),)
            self.unusable += max(1, len(error.dropped))
            raise
        self._told = reply.dropped
        self.unusable += reply.errors
        return reply.proposal
