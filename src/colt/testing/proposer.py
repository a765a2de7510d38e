"""The rules of a :class:`~colt.search.types.Proposer`, one function each."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterator

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Edit, Jump, Transformation, describe_transformation
from colt.options import SearchConfig
from colt.search.search import Search
from colt.search.types import MemberSpec, Observation, Proposal, ProposalError, Proposer, Scorer, Space
from colt.testing.cases import ProposerCase, require
from colt.testing.situations import Situation, situations


def check_proposer(
    make: Callable[[], Proposer], space: Space, scorer: Scorer, *, seed: int = 0, cases: int = 4
) -> None:
    """Run every check of :data:`PROPOSER_CHECKS`. Raises :class:`NotConforming` at the first broken rule.

    ``make`` is called several times and must make an equal proposer each time. All chance must come from
    ``observation.seed``.
    """
    case = ProposerCase(make, space, scorer, seed, cases)
    for check in PROPOSER_CHECKS:
        check(case)


def it_has_a_name_and_a_size(case: ProposerCase) -> None:
    """The size is finite and above 0, and neither changes."""
    proposer = case.make()
    spec = proposer.spec
    require(isinstance(spec, MemberSpec) and spec.name.strip() == spec.name != "", f"the spec is {spec!r}")
    require(
        0.0 < spec.size_b < math.inf, f"the size is {spec.size_b} billion parameters; it must be finite and above 0"
    )
    require(proposer.spec == spec and case.make().spec == spec, "the name or the size changes")


def it_answers_every_situation_or_says_why_not(case: ProposerCase) -> None:
    """The answer is a :class:`Proposal`, or a :class:`ProposalError` with a reason; mostly a proposal."""
    answered = asked = 0
    for _, reply in _answers(case):
        asked += 1
        if isinstance(reply, ProposalError):
            require(str(reply).strip() != "", "a ProposalError does not say why")
            continue
        answered += 1
        require(isinstance(reply, Proposal), f"the answer is {type(reply).__name__}, not a Proposal")
        require(isinstance(reply.why, str), f"the reason given is {reply.why!r}")
    require(2 * answered > asked, f"only {answered} of {asked} situations got a proposal")


def it_comes_to_an_end_where_every_schedule_is_known(case: ProposerCase) -> None:
    """It may have no answer: there is nothing new to propose."""
    proposer = case.make()
    for situation in _situations(case):
        reply = _answer(proposer, dataclasses.replace(situation.observation, known=_Everything()))
        require(isinstance(reply, Proposal | ProposalError), f"{situation.name}: the answer is {type(reply).__name__}")


def it_names_a_next_member_of_the_pool(case: ProposerCase) -> None:
    """One of ``observation.members``; it may name itself, and must if it is alone."""
    for situation, reply in _proposals(case):
        names = [member.spec.name for member in situation.observation.members]
        require(reply.next_member in names, f"{situation.name}: {reply.next_member!r} is not in the pool {names}")


def it_gives_one_to_as_many_alternatives_as_wanted(case: ProposerCase) -> None:
    """No alternative is empty, and none comes twice unless it leaves something to chance."""
    for situation, reply in _proposals(case):
        given, wanted = reply.transformations, situation.observation.proposals_wanted
        require(1 <= len(given) <= wanted, f"{situation.name}: {len(given)} alternatives, {wanted} wanted")
        settled = [one for one in given if all(isinstance(step, Edit) and step.value is not None for step in one)]
        require(len(set(settled)) == len(settled), f"{situation.name}: the same alternative twice")
        for transformation in given:
            plain = type(transformation) is tuple and all(isinstance(step, Edit | Jump) for step in transformation)
            require(plain and len(transformation) > 0, f"{situation.name}: {transformation!r} is no transformation")


def its_transformations_apply_or_are_refused_properly(case: ProposerCase) -> None:
    """Applying raises only :class:`IllegalEdit` and :class:`Rejected`, and some transformations do apply."""
    rng = random.Random(case.seed)
    applied = 0
    for situation, reply in _proposals(case):
        for transformation in reply.transformations:
            shown = _shown(transformation)
            try:
                case.space.apply(situation.observation.node.schedule, transformation, rng)
            except (IllegalEdit, Rejected):
                continue
            except Exception as error:  # noqa: BLE001  whatever else it raises would end a run
                require(False, f"{situation.name}: {shown} raises {type(error).__name__}: {error}")
            applied += 1
    require(applied > 0, "not one of its transformations applies")


def the_same_observation_gets_the_same_answer(case: ProposerCase) -> None:
    """One proposer asked twice gives it, and so does another made alike, whatever they were asked before."""
    proposer = case.make()
    first = [_answer(proposer, situation.observation) for situation in _situations(case)]
    again = [_answer(proposer, situation.observation) for situation in _situations(case)]
    fresh = [_answer(case.make(), situation.observation) for situation in _situations(case)]
    for situation, *replies in zip(_situations(case), first, again, fresh, strict=True):
        shown = [str(reply) if isinstance(reply, ProposalError) else reply for reply in replies]
        require(shown[0] == shown[1] == shown[2], f"{situation.name}: three different answers: {shown}")


def it_changes_nothing_but_itself(case: ProposerCase) -> None:
    """The observation stays as it was, and the module-wide random generator is not used."""
    proposer = case.make()
    state = random.getstate()
    for situation, kept in zip(_situations(case), _situations(case), strict=True):
        _answer(proposer, situation.observation)
        require(situation == kept, f"{situation.name}: the observation was changed")
    require(random.getstate() == state, "the module-wide random generator was used")


def it_drives_a_search(case: ProposerCase) -> None:
    """Alone, and beside a larger and a smaller partner."""
    proposer = case.make()
    spec = proposer.spec
    partner = MemberSpec("the-partner", spec.size_b * 2.0)
    for pool in ([spec], [spec, partner], [MemberSpec("the-partner", spec.size_b / 2.0), spec]):
        search = Search(case.space, case.scorer, pool, SearchConfig(rollouts=1), seed=case.seed)
        search.open([])

        def propose(observation: Observation) -> Proposal:
            if observation.acting.name == spec.name:
                return proposer.propose(observation)
            rng = random.Random(observation.seed)
            step = case.space.random_transformation(observation.node.schedule, rng)
            return Proposal((step,), rng.choice(observation.members).spec.name)

        for _ in range(6 * case.cases):
            if not search.iterate(propose):
                break
        made = len(search.tree.nodes) - 1
        require(made > 0, f"in a pool of {len(pool)} no node was made")


PROPOSER_CHECKS: tuple[Callable[[ProposerCase], None], ...] = (
    it_has_a_name_and_a_size,
    it_answers_every_situation_or_says_why_not,
    it_comes_to_an_end_where_every_schedule_is_known,
    it_names_a_next_member_of_the_pool,
    it_gives_one_to_as_many_alternatives_as_wanted,
    its_transformations_apply_or_are_refused_properly,
    the_same_observation_gets_the_same_answer,
    it_changes_nothing_but_itself,
    it_drives_a_search,
)


# ---- helpers ----


class _Everything:
    """Contains everything."""

    def __contains__(self, schedule: object) -> bool:
        return True


def _situations(case: ProposerCase) -> Iterator[Situation]:
    return situations(case.space, case.scorer, case.make().spec, case.seed, case.cases)


def _answers(case: ProposerCase) -> Iterator[tuple[Situation, Proposal | ProposalError]]:
    proposer = case.make()
    for situation in _situations(case):
        try:
            yield situation, _answer(proposer, situation.observation)
        except Exception as error:  # noqa: BLE001  whatever else it raises would end a run
            require(False, f"{situation.name}: it raises {type(error).__name__}, not ProposalError: {error}")


def _proposals(case: ProposerCase) -> Iterator[tuple[Situation, Proposal]]:
    for situation, reply in _answers(case):
        if isinstance(reply, Proposal):
            yield situation, reply


def _answer(proposer: Proposer, observation: Observation) -> Proposal | ProposalError:
    try:
        return proposer.propose(observation)
    except ProposalError as error:
        return error


def _shown(transformation: Transformation) -> str:
    return describe_transformation(transformation)[:200]
