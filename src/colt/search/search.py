"""The search: several members, one shared tree (paper, section 3; the words are the paper's).

    select             descend the tree by LLM-aware UCT to a node with room (policy.py)
    observe            gather what the node's member is shown
    propose            the member answers with a joint action: transformation and next member (colt.proposers)
    apply              carry the transformation out in the space: a child
    score              predict the child, roll out
    credit             judge the child against its parent
    count_regression   after K regressions of small members in a row ...
    alter, settle      ... the largest member redoes the step, and the better child stays
    backup             add the child's value to all its ancestors
    close_exhausted    visit no more what can't be expanded any more

The steps are functions of one tree (``steps.py``); :meth:`Search.iterate` and :meth:`Search.commit` put them together.
There are two of these, so that slow members can be in flight: ``select`` hands a ticket out, ``commit`` takes the
answer. Every few iterations :meth:`Search.ask` picks schedules for the hardware, and :meth:`Search.tell` values the
tree by the results (``trials.py``).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from colt.events import Emit
from colt.knobs import Jump, Schedule, Transformation
from colt.measure.base import Measurement
from colt.moves import is_moved
from colt.options import SearchConfig
from colt.search.openings import open_leads, open_root
from colt.search.pool import Pool
from colt.search.setup import Setup
from colt.search.steps import (
    accept,
    alter,
    apply,
    backup,
    close_exhausted,
    count_regression,
    credit,
    feed,
    observe,
    release,
    score,
    select,
    settle,
)
from colt.search.structures import FIRST_LOOK, structure_of
from colt.search.surroundings import surroundings
from colt.search.tree import Node, Tree, Values
from colt.search.trials import BuildSeconds, Trials
from colt.search.types import MemberSpec, Observation, Proposal, ProposalError, Scorer, Space, Ticket, Trial

Propose = Callable[[Observation], Proposal]
Look = Callable[[Schedule, bool, random.Random], Sequence[Transformation]]
"""Finds transformations to structures that are worth trials, given the fastest schedule and whether the run has
stalled. They are of that schedule, or of the untuned program if they begin with a jump."""
Work = Callable[[int], AbstractContextManager[tuple[Space, Scorer]]]
"""What the answer to a ticket, given by its id, is carried out and scored with."""


class Search:
    """One search. Deterministic for one seed and the same answers and results in the same order.

    ``build_seconds`` tells how long a schedule is expected to build, to choose among those of equal promise.
    Tickets are numbered from ``first_ticket``. ``work`` gives the space and the scorer for a ticket's answer; they give
    the same results as ``space`` and ``scorer``. ``models`` names the members that are language models. ``explores``:
    structures are looked for on a schedule (:meth:`explore`).
    """

    def __init__(
        self,
        space: Space,
        scorer: Scorer,
        members: Sequence[MemberSpec],
        config: SearchConfig | None = None,
        *,
        seed: int = 0,
        trials_total: int | None = None,
        build_seconds: BuildSeconds | None = None,
        emit: Emit = lambda event: None,
        first_ticket: int = 0,
        work: Work | None = None,
        models: Collection[str] = (),
        explores: bool = False,
    ) -> None:
        self.config = config or SearchConfig()
        self.pool = Pool(members)
        self.setup = Setup(space, scorer, self.pool, self.config, emit, seed, trials_total, models, explores)
        self._work = work or (lambda ticket: nullcontext((space, scorer)))
        self.tree = Tree(space.untuned, self.pool.largest, Values(self.config.value), seed)
        self.tree.tickets = first_ticket
        self.trials = Trials(self.tree, self.setup, build_seconds)

    # ---- the paper's loop ----

    def iterate(self, propose: Propose) -> bool:
        """One iteration with members that answer at once; false if no node can be expanded."""
        ticket = select(self.tree, self.setup)
        due = [] if ticket is None else [ticket]
        while due:
            asked = due.pop()
            observation = observe(self.tree, self.setup, asked, self.trials.told)
            due += self.commit(asked, answer(propose, observation))
        return ticket is not None

    def commit(self, ticket: Ticket, reply: Proposal | ProposalError) -> list[Ticket]:
        """Take a ticket's answer; returns the tickets of course alterations that are due now.

        Answers take effect as they come, or in the order of their tickets (``commit_order``): then one that comes early
        waits for those before it, and a course alteration takes its cause's place. A feeder's answer takes effect at
        once. So does :class:`NotAsked`, which gives the ticket back as if it had not been handed out. Raises
        :class:`ValueError` for a ticket that is not out.
        """
        tree, setup, due = self.tree, self.setup, []
        for asked, said in accept(tree, setup, ticket, reply):
            node = release(tree, setup, asked, said)
            tree.iterations += not asked.alteration
            if tree.scorer != setup.scorer.version:  # two versions are never compared
                self.trials.refresh()
            children = self._make_children(asked, node, said)
            verdicts = credit(tree, setup, children)
            if asked.alteration:
                children = settle(tree, setup, asked, children)
            elif contested := count_regression(tree, setup, asked, children, verdicts):
                due.append(alter(tree, setup, node, contested))
                children.remove(contested)
            backup(tree, children)
            close_exhausted(setup, node)
        return due

    def _make_children(self, ticket: Ticket, node: Node, reply: Proposal | ProposalError) -> list[Node]:
        rng = random.Random(f"{self.setup.seed}/apply/{ticket.id}")  # not the observation's: stand-ins differ from it
        children = []
        with self._work(ticket.id) as (space, scorer):
            setup = replace(self.setup, space=space, scorer=scorer)
            for child in apply(self.tree, setup, ticket, node, reply, rng):
                score(setup, child, rng)
                children.append(child)
        return children

    # ---- for members that take their time ----

    def select(
        self, feeder: str | None = None, benched: Collection[str] = (), busy: Collection[str] = ()
    ) -> Ticket | None:
        """A ticket for the node that the tree policy chooses, or ``None`` if none can be expanded now.

        With ``feeder``, the name of a built-in expert outside the pool, the ticket is the expert's: its child inherits
        the node's next member and stays out of the members' statistics. The turns of ``benched`` members (not all of
        them may be) go to the fallback. Nodes of members that are ``busy`` are left for later. With
        ``structure_after`` language models get nodes of structures that have stalled, and experts the others.
        """
        return select(self.tree, self.setup, feeder, benched, busy)

    def observe(self, ticket: Ticket) -> Observation:
        """What the ticket's member is shown."""
        return observe(self.tree, self.setup, ticket, self.trials.told)

    def observe_in_full(self, ticket: Ticket) -> Observation:
        """The same with what a language model has to be told, since it cannot look for itself."""
        return replace(self.observe(ticket), around=surroundings(self.tree, self.setup, ticket))

    # ---- around the loop ----

    def open(self, openings: Iterable[tuple[Schedule, str]], baseline_us: float | None = None) -> list[Node]:
        """Make the root's children: the ``root_width`` best and most diverse of ``(schedule, made by)``.

        ``baseline_us`` is the untuned program's measured latency. Places of ``model_openings`` stay free for an opening
        call: the first ticket is for them.
        """
        nodes = open_root(self.tree, self.setup, openings)
        if baseline_us is not None:
            self.trials.baseline_us = baseline_us
        self.trials.refresh()
        return nodes

    def lead(self, leads: Sequence[tuple[Schedule, str]]) -> list[Schedule]:
        """Make children of the root from all of ``(schedule, made by)``; returns them without repetition, in order.

        They are to be measured first (:meth:`~colt.search.trials.Trials.take`), since somebody else found them good.
        """
        named = [(self._as_known(schedule), by) for schedule, by in leads]
        open_leads(self.tree, self.setup, named)
        self.trials.refresh()
        return list(dict.fromkeys(schedule for schedule, _ in named if schedule in self.tree.facts))

    def explore(self, look: Look, by: str) -> None:
        """Bring structures that are worth trials into the tree, if it is time to.

        It is time to look for some once ``FIRST_LOOK`` trials have a result, and again whenever another structure is
        the fastest, or the run has stalled. What moves have proved to be worth on one schedule is tried on the fastest
        one as soon as that is another. The structures are on probation (:mod:`colt.search.structures`).
        """
        tree = self.tree
        if not tree.leaders or self.trials.told < FIRST_LOOK:
            return
        leader = tree.leaders[0]
        about = structure_of(leader.facts.schedule), tree.stalled
        if about not in tree.explored:
            tree.explored |= {about, (about[0], False)}
            rng = random.Random(f"{self.setup.seed}/structures/{len(tree.explored)}")
            for steps in look(leader.facts.schedule, tree.stalled, rng):
                self._feed(tree.root if any(isinstance(step, Jump) for step in steps) else leader, by, steps)
        for steps in self.trials.worth_repeating(leader):
            self._feed(leader, by, steps)

    def _feed(self, node: Node, by: str, steps: Transformation) -> None:
        """Have a feeder make that child of the node."""
        ticket = feed(self.tree, self.setup, node, by)
        self.commit(ticket, Proposal((steps,), node.next_member, "another structure of the fastest"))

    def _as_known(self, schedule: Schedule) -> Schedule:
        """The schedule by the name under which its structure came first, if moves made it."""
        if not is_moved(schedule.sketch):
            return schedule
        return self.tree.known_as(self.setup.space.realise(schedule))

    def ask(self, count: int, propose: Propose) -> list[Trial]:
        """Run ``iterations_per_trial * count`` iterations and return up to ``count`` distinct unmeasured schedules."""
        for _ in range(self.config.iterations_per_trial * count):
            if not self.iterate(propose):
                break
        return self.trials.pick(count)

    def aim(self, trials_total: int) -> None:
        """Tell members from now on that the run is to have so many trials."""
        self.setup = replace(self.setup, trials_total=trials_total)

    def tell(self, results: Iterable[Measurement]) -> None:
        """Take measurements in. May be repeated, and the order within what one ``ask`` returned does not matter."""
        self.trials.tell(results)

    # ---- state ----

    @property
    def iterations(self) -> int:
        """Iterations that have taken effect."""
        return self.tree.iterations

    @property
    def closed(self) -> bool:
        """Whether the whole tree is exhausted."""
        return self.tree.root.closed

    def in_flight(self) -> int:
        """Tickets that have been handed out and have not taken effect."""
        return len(self.tree.queue) + len(self.tree.feeding)

    def coming(self) -> int:
        """Alternatives asked for by tickets of the pool that have not taken effect, answered or not."""
        return sum(ticket.places for ticket in self.tree.queue)


def answer(propose: Propose, observation: Observation) -> Proposal | ProposalError:
    """Ask; a member that has no usable proposal is an answer too."""
    try:
        return propose(observation)
    except ProposalError as error:
        return error
