"""The search: several models, one shared tree (paper, section 3; the words are the paper's).

One iteration is

    select     descend the shared tree by LLM-aware UCT to a node with room          policy.py
    observe    what the node's model is shown                                        observe.py
    propose    the model answers with a joint action: (transformation, next model)   colt.proposers
    apply      validate, carry out in the space, find transpositions                 expand.py
    score      predict the child, roll out                                           expand.py
    alter      after K regressions of small models the largest redoes the step       course.py
    backup     the child's value goes to all its ancestors, whoever made them        tree.py

and is split in two, so that slow models can be in flight: :meth:`Search.select` gives out a ticket,
:meth:`Search.commit` takes the answer. Every few iterations
:meth:`Search.ask` deals schedules to the hardware and :meth:`Search.tell` values the tree by what came back.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence

from colt import events
from colt.events import Emit
from colt.knobs import Schedule
from colt.options import SearchConfig
from colt.search import policy
from colt.search.course import Course
from colt.search.expand import Expander, Expansion
from colt.search.observe import Observer
from colt.search.pool import Pool
from colt.search.tree import Node, Tree, Values
from colt.search.trials import BuildSeconds, Trials
from colt.search.types import (
    MemberSpec,
    NotAsked,
    Observation,
    Proposal,
    ProposalError,
    Scorer,
    Space,
    Ticket,
    Trial,
    TrialResult,
)

Propose = Callable[[Observation], Proposal]


class Search:
    """One run's search. Deterministic for one seed and the same answers and results in the same order.

    ``build_seconds`` tells how long a schedule is expected to build, for choosing among those of equal promise.
    """

    def __init__(
        self,
        space: Space,
        scorer: Scorer,
        models: Sequence[MemberSpec],
        config: SearchConfig | None = None,
        *,
        seed: int = 0,
        trials_total: int | None = None,
        build_seconds: BuildSeconds | None = None,
        emit: Emit = lambda event: None,
    ) -> None:
        self.config = config or SearchConfig()
        self.pool = Pool(models)
        self.tree = Tree(space.untuned, self.pool.largest, Values(self.config.value))
        self.course = Course(self.config.alteration_period if len(models) > 1 else 0)
        self.iterations = 0
        self._emit = emit
        self._seed = seed
        self._rng = random.Random(seed)
        self._expander = Expander(space, scorer, self.tree, self.pool, self.config, emit)
        self.trials = Trials(
            self.tree, self.pool, self._expander, self.config, random.Random(seed + 1), emit, build_seconds
        )
        self._observer = Observer(space, self.tree, self.pool, self.trials, trials_total)
        self._tickets = 0
        self._queue: deque[Ticket] = deque()
        self._feeding: set[int] = set()
        self._answers: dict[int, Proposal | ProposalError] = {}
        self._contested: dict[int, Node] = {}

    # ---- the paper's loop ----

    def iterate(self, propose: Propose) -> bool:
        """One whole iteration with models that answer at once; false if no node can be expanded."""
        ticket = self.select()
        if ticket is None:
            return False
        pending = [ticket]
        while pending:
            due = pending.pop()
            pending.extend(self.commit(due, answer(propose, self.observe(due))))
        return True

    def select(self, feeder: str | None = None, out: Collection[str] = (), busy: Collection[str] = ()) -> Ticket | None:
        """A ticket for the node that the tree policy chooses, or ``None`` if none can be expanded now.

        With ``feeder``, the name of a built-in expert outside the pool, the ticket is the expert's: its child inherits
        the node's next model and stays out of the models' statistics. Models that are ``out`` cannot be asked at
        present (not all of them may be): their turns go to the fallback. Nodes of models that are ``busy`` are left
        for later.
        """

        def turn(node: Node) -> str:
            return self.pool.fallback(node.next_model, out) if node.next_model in out else node.next_model

        def ready(node: Node) -> bool:
            return feeder is not None or turn(node) not in busy

        node = policy.select(self.tree.root, self.pool.phi, self.config, self._rng, ready)
        if node is None:
            return None
        acting = feeder or turn(node)
        places = 1 if feeder else policy.places(node, self.config)
        ticket = Ticket(self._tickets, node.id, acting, places, feeding=feeder is not None)
        self._hand_out(ticket)
        if ticket.feeding:
            self._feeding.add(ticket.id)
            return ticket
        self._queue.append(ticket)
        if acting != node.next_model:
            self.pool.records[node.next_model].passed += 1
            reason = f"it is out at present; {acting} is asked"
            self._emit(events.FellBack(ticket.id, node.next_model, "model", reason))
        return ticket

    def observe(self, ticket: Ticket) -> Observation:
        """What the ticket's model is shown."""
        contested = self._contested.get(ticket.id)
        seed = self._seed * 1_000_003 + ticket.id
        return self._observer.observe(ticket, contested, self.iterations, seed)

    def commit(self, ticket: Ticket, reply: Proposal | ProposalError) -> list[Ticket]:
        """Take a ticket's answer; returns the tickets of course alterations that are due now.

        Answers take effect as they come, or in the order of their tickets (``commit_order``): one that comes early
        waits for those before it then, and a course alteration takes its cause's place in that order. A feeder's answer
        takes effect at once, and so does :class:`NotAsked`, which gives the ticket back as if it had not been handed
        out. Raises :class:`ValueError` for a ticket that is not out.
        """
        out = ticket.id in self._feeding if ticket.feeding else ticket in self._queue
        if not out or ticket.id in self._answers:
            raise ValueError(f"ticket {ticket.id} is not out")
        if ticket.feeding:
            self._feeding.remove(ticket.id)
            self._take_effect(ticket, reply)
            return []
        if isinstance(reply, NotAsked) and not ticket.alteration:
            self._queue.remove(ticket)
            self._take_back(ticket)
            self._emit(_proposed(ticket, reply))
        else:
            self._answers[ticket.id] = reply
        if self.config.commit_order == "arrival" and ticket.id in self._answers:
            self._queue.remove(ticket)
            self._queue.appendleft(ticket)
        alterations = []
        while self._queue and self._queue[0].id in self._answers:
            head = self._queue.popleft()
            alteration = self._take_effect(head, self._answers.pop(head.id))
            if alteration is not None:
                self._queue.appendleft(alteration)
                alterations.append(alteration)
        return alterations

    def ask(self, count: int, propose: Propose) -> list[Trial]:
        """Run ``iterations_per_trial * count`` iterations and return up to ``count`` distinct unmeasured schedules."""
        for _ in range(self.config.iterations_per_trial * count):
            if not self.iterate(propose):
                break
        return self.trials.pick(count)

    def tell(self, results: Iterable[TrialResult]) -> None:
        """Take measurements in. May be repeated, and the order within what one ``ask`` returned does not matter."""
        self.trials.record(results)

    # ---- before the loop ----

    def open(self, openings: Iterable[tuple[Schedule, str]], baseline_us: float | None = None) -> list[Node]:
        """Make the root's children: the ``root_width`` best and most diverse of ``(schedule, made by)``.

        ``baseline_us`` is the untuned program's measured latency. Places of ``model_openings`` stay free for an opening
        call: the first ticket is for them.
        """
        if baseline_us is not None:
            self.tree.root.facts.measured_us = baseline_us
            self.tree.values.best_us = baseline_us
        chosen = self._expander.best_openings(openings)
        rng = random.Random(self._seed + 2)
        dealt = sorted(self.pool.specs.values(), key=lambda model: model.size_b)
        nodes = []
        for index, opening in enumerate(chosen):
            to_largest = self.config.deal == "largest"
            model = self.pool.largest if to_largest else dealt[index % len(dealt)].name
            nodes.append(self._expander.open_child(opening, model, rng))
        self.trials.refresh()
        return nodes

    # ---- state ----

    @property
    def closed(self) -> bool:
        """Whether the whole tree is exhausted."""
        return self.tree.root.closed

    def in_flight(self) -> int:
        """Tickets that have been given out and have not taken effect."""
        return len(self._queue) + len(self._feeding)

    def coming(self) -> int:
        """Alternatives asked for by tickets of the pool that have not taken effect, answered or not."""
        return sum(ticket.places for ticket in self._queue)

    # ---- what a commit does ----

    def _take_effect(self, ticket: Ticket, reply: Proposal | ProposalError) -> Ticket | None:
        self._emit(_proposed(ticket, reply))
        self.trials.keep_up()
        node = self.tree.nodes[ticket.node]
        self._take_back(ticket)
        rng = random.Random(f"{self._seed}/apply/{ticket.id}")  # not the observation's: a fallback must not repeat it
        if ticket.alteration:
            self._settle(ticket, node, reply, rng)
            return None
        self.iterations += 1
        outcome = self._expander.expand(ticket, node, reply, rng)
        contested = self._off_course(ticket, outcome)
        for child in outcome.children:
            if child is not contested:
                self.tree.backup(child)
        if contested is not None:
            return self._alteration_ticket(node, contested)
        self._close_exhausted(node)
        return None

    def _off_course(self, ticket: Ticket, outcome: Expansion) -> Node | None:
        """The child that the largest model is to better, if this proposal makes a course alteration due.

        A proposal of several alternatives counts once, by its best child. Fallbacks and feeders leave the streak alone.
        """
        if ticket.feeding or not outcome.credited or not self.pool.is_small(ticket.acting):
            return None
        best = outcome.best()
        return best if self.course.note(outcome.regressed(best)) else None

    def _alteration_ticket(self, node: Node, contested: Node) -> Ticket:
        ticket = Ticket(self._tickets, node.id, self.pool.largest, alteration=True)
        self._hand_out(ticket)
        self._contested[ticket.id] = contested
        contested.held = True
        return ticket

    def _settle(self, ticket: Ticket, node: Node, reply: Proposal | ProposalError, rng: random.Random) -> None:
        """The better of the small model's child and the largest's stays; a tie is the largest's."""
        contested = self._contested.pop(ticket.id)
        rival = self._expander.alternative(ticket, node, reply, rng)
        kept, pruned = contested, rival
        if rival is not None and not self._expander.is_better(contested, rival):
            kept, pruned = rival, contested
        record = self.pool.records[ticket.acting]
        record.alterations_kept += kept is rival
        if pruned is not None:
            self.tree.prune(pruned)
        self.tree.backup(kept)
        self._emit(events.Altered(ticket.id, kept.id, pruned.id if pruned else -1))
        self._close_exhausted(node)

    def _hand_out(self, ticket: Ticket) -> None:
        self._tickets += 1
        node = self.tree.nodes[ticket.node]
        node.pending += _held_by(ticket)
        for step in node.path():
            step.virtual += 1
        self._emit(events.Selected(ticket.id, ticket.node, ticket.acting, ticket.alteration, _held_by(ticket)))

    def _take_back(self, ticket: Ticket) -> None:
        node = self.tree.nodes[ticket.node]
        node.pending -= _held_by(ticket)
        for step in node.path():
            step.virtual -= 1

    def _close_exhausted(self, node: Node) -> None:
        for step in node.path():
            if not policy.is_exhausted(step, self.config):
                break
            step.closed = True
            self._emit(events.Closed(step.id))


def answer(propose: Propose, observation: Observation) -> Proposal | ProposalError:
    """Ask; a model that has no usable proposal is an answer too."""
    try:
        return propose(observation)
    except ProposalError as error:
        return error


def _held_by(ticket: Ticket) -> int:
    """Places of its node that a ticket keeps; of a course alteration the contested child holds the place already."""
    return 0 if ticket.alteration else ticket.places


def _proposed(ticket: Ticket, reply: Proposal | ProposalError) -> events.Event:
    if isinstance(reply, NotAsked):
        return events.Withdrawn(ticket.id, ticket.acting, str(reply))
    if isinstance(reply, ProposalError):
        return events.Proposed(ticket.id, ticket.acting, (), "", "", str(reply))
    return events.Proposed(ticket.id, ticket.acting, reply.transformations, reply.next_model, reply.why, "")
