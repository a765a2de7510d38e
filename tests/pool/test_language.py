"""A language model keeps the contract of a proposer, and is told what was not usable."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace

import pytest

from colt.proposers.language.calls import Call
from colt.proposers.language.completion import ErrorKind
from colt.proposers.language.model import LanguageModel
from colt.proposers.language.prompt import MemberInWords, stable_text
from colt.search.toy import ToyScorer, ToySpace
from colt.search.types import MemberSpec, NotAsked, Observation, Proposal, ProposalError
from colt.testing import PROPOSER_CHECKS, ProposerCase, rule
from tests.pool.simulated_model import simulated_reply
from tests.pool.toy_briefing import ACTING, ToyBriefing, observation

SPACE = ToySpace()
POOL = [MemberInWords(ACTING, 1.0, 2.0), MemberInWords(MemberSpec("small", 8.0), 0.0, 0.0)]


class LegibleBriefing(ToyBriefing):
    """Names sketches as a prompt of TVM's does, so that the simulated model finds them."""

    sketches = "## plain/flat\n## plain/cached"


def model() -> LanguageModel:
    return LanguageModel(ACTING, POOL, stable_text(LegibleBriefing(SPACE), POOL), LegibleBriefing(SPACE), SPACE)


def answered(text: str) -> Call:
    return Call(ticket=0, model=ACTING.name, prompt="", text=text)


@dataclass
class Conversation:
    """Somebody who answers at once, by chance."""

    model: LanguageModel

    @property
    def spec(self) -> MemberSpec:
        return self.model.spec

    def propose(self, seen: Observation) -> Proposal:
        request = self.model.request(seen)
        rng = random.Random(seen.seed)
        body = {"messages": [{"content": request.system}, {"content": request.user}]}
        reply = json.loads(simulated_reply(body, rng))
        reply["next_model"] = rng.choice(seen.members).spec.name
        return self.model.read(answered(json.dumps(reply)), seen)


@pytest.mark.parametrize("check", PROPOSER_CHECKS, ids=rule)
def test_it_is_a_proposer(check: object) -> None:
    assert callable(check)
    check(ProposerCase(lambda: Conversation(model()), SPACE, ToyScorer(SPACE)))


def test_what_was_not_usable_is_counted_and_told_next_time_alone() -> None:
    it, seen = model(), observation(SPACE)
    good = {"knob": "unroll", "value": next(value for value in (16, 64) if value not in seen.node.schedule.values)}
    edits = [good, {"knob": "no.such.knob", "value": 1}]
    proposals = [{"why": "", "sketch": None, "edits": edits}]
    proposal = it.read(answered(json.dumps({"proposals": proposals, "next_model": "small"})), seen)
    assert len(proposal.transformations) == 1
    assert it.dropped >= 1
    assert "no.such.knob" in it.request(seen).user
    proposals[0]["edits"] = [good]
    it.read(answered(json.dumps({"proposals": proposals, "next_model": "small"})), seen)
    assert "no.such.knob" not in it.request(seen).user


def test_an_answer_of_no_use_is_an_error_that_is_told() -> None:
    it, seen = model(), observation(SPACE)
    with pytest.raises(ProposalError) as caught:
        it.read(answered("I would rather not."), seen)
    assert it.dropped == 1
    assert str(caught.value) in it.request(seen).user


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_a_call_that_failed_is_held_against_the_model_if_it_is_to_blame(kind: ErrorKind) -> None:
    it, seen = model(), observation(SPACE)
    with pytest.raises(ProposalError, match="it broke") as caught:
        it.read(replace_error(kind), seen)
    assert isinstance(caught.value, NotAsked) == kind.blameless
    assert it.dropped == 0


def replace_error(kind: ErrorKind) -> Call:
    return Call(ticket=0, model=ACTING.name, prompt="", error=kind, message="it broke")


def test_the_stable_text_is_the_same_for_every_observation() -> None:
    it, seen = model(), observation(SPACE)
    assert it.request(seen).system == it.request(replace(seen, proposals_wanted=6)).system
