"""A language model as a proposer: from an observation to a prompt, from an answer to a proposal."""

from __future__ import annotations

from collections.abc import Sequence

from colt.proposers.language.calls import Call
from colt.proposers.language.completion import ChatRequest, ReplySchema
from colt.proposers.language.prompt import Briefing, MemberInWords, node_text
from colt.proposers.language.reply import ReplyError, read_reply, schema
from colt.proposers.language.settle import settled
from colt.search.types import MemberSpec, NotAsked, Observation, Proposal, ProposalError, Space


class LanguageModel:
    """One model of a pool. It remembers what was not usable in its last answer, to be told so next time."""

    def __init__(
        self, spec: MemberSpec, pool: Sequence[MemberInWords], system: str, briefing: Briefing, space: Space
    ) -> None:
        """``system`` is the stable text of the pool (:func:`~colt.proposers.language.prompt.stable_text`)."""
        self.spec = spec
        self.dropped = 0
        """Parts of its answers that were not usable."""
        self._briefing = briefing
        self._space = space
        self._system = system
        self._schema = ReplySchema("proposals", schema([member.spec.name for member in pool]))
        self._told: tuple[str, ...] = ()

    def request(self, observation: Observation) -> ChatRequest:
        """What it is asked: the stable text, then the node."""
        return ChatRequest(self._system, node_text(observation, self._briefing, self._told), self._schema)

    def read(self, call: Call, observation: Observation) -> Proposal:
        """The proposal that came of a call.

        Raises
        ------
        NotAsked
            No request was made, for reasons that are none of the model's.
        ProposalError
            The call failed, or nothing of the answer is usable.
        """
        if call.error is not None:
            raise (NotAsked if call.error.blameless else ProposalError)(call.message)
        try:
            reply = settled(
                read_reply(call.text, observation, self._briefing), observation, self._space, self._briefing
            )
        except ReplyError as error:
            self._told = error.dropped or (str(error),)
            self.dropped += max(1, len(error.dropped))
            raise
        self._told = reply.dropped
        self.dropped += reply.errors
        return reply.proposal
