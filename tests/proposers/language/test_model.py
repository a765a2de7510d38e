"""A language model keeps the contract of a proposer, and is told what was not usable."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from colt.proposers.language.calls import Call
from colt.proposers.language.client import ChatClient
from colt.proposers.language.completion import ChatRequest, Completion, ErrorKind
from colt.proposers.language.model import LanguageModel
from colt.proposers.language.money import Ledger
from colt.proposers.language.prompt import MemberInWords, stable_text
from colt.search.toy import ToyScorer, ToySpace
from colt.search.types import MemberSpec, NotAsked, ProposalError
from colt.testing import PROPOSER_CHECKS, ProposerCase, rule
from tests.helpers.chat_members import KEY, member
from tests.helpers.chat_server import ChatServer, Part
from tests.helpers.simulated_model import simulated_reply
from tests.helpers.toy_briefing import ACTING, ToyBriefing, observation

SPACE = ToySpace()
POOL = [MemberInWords(ACTING, 1.0, 2.0), MemberInWords(MemberSpec("small", 8.0), 0.0, 0.0)]


class LegibleBriefing(ToyBriefing):
    """Names sketches as a prompt of TVM's does, so that the simulated model finds them."""

    sketches = "## plain/flat\n## plain/cached"


def model(complete: Callable[[ChatRequest], Completion] | None = None) -> LanguageModel:
    briefing = LegibleBriefing(SPACE)
    return LanguageModel(ACTING, POOL, stable_text(briefing, POOL), briefing, SPACE, complete)


def answered(text: str) -> Call:
    return Call(ticket=0, model=ACTING.name, prompt="", text=text)


# ---- the contract of a proposer, over a loopback connection ----


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with ChatServer() as made:
        made.think = reply_to
        yield made


@pytest.fixture(scope="module")
def client(server: ChatServer) -> Iterator[ChatClient]:
    made = ChatClient(member(server.url), Ledger(), environment={"COLT_TEST_KEY": KEY})
    yield made
    made.close()


def reply_to(body: dict[str, Any]) -> str:
    """What the simulated model answers to a prompt, by chance that depends on nothing but the node."""
    user = body["messages"][1]["content"]
    node = re.sub(r"^Not usable in your last answer:\n(?:- .*\n)+", "", user, flags=re.MULTILINE)
    members = re.findall(r"^(\S+): \d+ calls?,", node, re.MULTILINE) or re.findall(r"You are (\S+)\.", node)
    rng = random.Random(node)
    return simulated_reply(body, rng, rng.choice(members))


@pytest.mark.parametrize("check", PROPOSER_CHECKS, ids=rule)
def test_it_conforms(check: Callable[[ProposerCase], None], client: ChatClient) -> None:
    check(ProposerCase(lambda: model(client.complete), SPACE, ToyScorer(SPACE)))


def test_proposing_is_asking_and_reading(server: ChatServer, client: ChatClient) -> None:
    it, seen = model(client.complete), observation(SPACE)
    proposal = it.propose(seen)
    prompt = server.asked[-1].body["messages"]
    assert [message["content"] for message in prompt] == [(request := model().request(seen)).system, request.user]
    assert proposal == model().read(answered(reply_to(server.asked[-1].body)), seen)


def test_a_call_that_fails_is_a_proposal_error(server: ChatServer, client: ChatClient) -> None:
    server.parts.append(Part.EMPTY)
    with pytest.raises(ProposalError, match="the answer is empty"):
        model(client.complete).propose(observation(SPACE))


def test_a_model_without_a_connection_says_so() -> None:
    with pytest.raises(RuntimeError, match="middle cannot be asked: it was made without `complete`"):
        model().propose(observation(SPACE))


# ---- what was not usable ----


def test_what_was_not_usable_is_counted_and_told_next_time_alone() -> None:
    it, seen = model(), observation(SPACE)
    good = {"knob": "unroll", "value": next(value for value in (16, 64) if value not in seen.node.schedule.values)}
    edits = [good, {"knob": "no.such.knob", "value": 1}]
    proposals = [{"why": "", "sketch": None, "edits": edits}]
    proposal = it.read(answered(json.dumps({"proposals": proposals, "next_model": "small"})), seen)
    assert len(proposal.transformations) == 1
    assert it.unusable >= 1
    assert "no.such.knob" in it.request(seen).user
    proposals[0]["edits"] = [good]
    it.read(answered(json.dumps({"proposals": proposals, "next_model": "small"})), seen)
    assert "no.such.knob" not in it.request(seen).user


def test_an_answer_of_no_use_is_an_error_that_is_told() -> None:
    it, seen = model(), observation(SPACE)
    with pytest.raises(ProposalError) as caught:
        it.read(answered("I would rather not."), seen)
    assert it.unusable == 1
    assert str(caught.value) in it.request(seen).user


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_a_call_that_failed_is_held_against_the_model_if_it_is_to_blame(kind: ErrorKind) -> None:
    it, seen = model(), observation(SPACE)
    with pytest.raises(ProposalError, match="it broke") as caught:
        it.read(replace_error(kind), seen)
    assert isinstance(caught.value, NotAsked) == kind.blameless
    assert it.unusable == 0


def replace_error(kind: ErrorKind) -> Call:
    return Call(ticket=0, model=ACTING.name, prompt="", error=kind, message="it broke")


def test_the_stable_text_is_the_same_for_every_observation() -> None:
    it, seen = model(), observation(SPACE)
    assert it.request(seen).system == it.request(replace(seen, proposals_wanted=6)).system
