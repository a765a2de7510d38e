"""The steps of the paper's loop (section 3) as functions of one tree. :mod:`colt.search.search` puts them together."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from colt import events
from colt.errors import IllegalEdit, Rejected
from colt.knobs import Transformation
from colt.search import policy
from colt.search.credit import is_structure
from colt.search.pool import MemberRecord, Pool
from colt.search.setup import Setup
from colt.search.tree import Facts, Node, Tree
from colt.search.types import (
    FailedProposal,
    MemberSpec,
    MemberView,
    NodeView,
    NotAsked,
    Observation,
    Progress,
    Proposal,
    ProposalError,
    Ticket,
)

RANDOM = "random"
"""Who makes the transformation that stands in for an unusable one."""
WORK = {True: "the structure is to be changed", False: "its knobs are tuned first"}
"""What is due at a node, by whether a language model does it."""


# ---- select, observe ----


def select(
    tree: Tree,
    setup: Setup,
    feeder: str | None = None,
    benched: Collection[str] = (),
    busy: Collection[str] = (),
) -> Ticket | None:
    """A ticket for the node that the tree policy chooses. See :meth:`colt.search.search.Search.select`."""
    pool, config = setup.pool, setup.config
    after = setup.structure_after
    if feeder:
        return _feed(tree, setup, feeder)
    stand_ins = {name: pool.fallback(name, benched) for name in benched}
    is_dormant = _dormancy(tree, setup)

    def acting_at(node: Node) -> str | None:
        turn = stand_ins.get(node.next_member, node.next_member)
        return policy.due_at(tree, node, turn, setup, benched) if after else turn

    if after:
        node = policy.descend(
            *(tree.root, pool.phi, config, tree.rng),
            passes=lambda node: is_dormant(node) or (who := acting_at(node)) is None or who in busy,
        )
    else:
        passed = [name for name in pool.specs if stand_ins.get(name, name) in busy] if busy else ()
        node = policy.descend(tree.root, pool.phi, config, tree.rng, passed, is_dormant)
    acting = None if node is None else acting_at(node)
    if node is None or acting is None:
        return None
    wanted = config.proposals_per_call
    if node.parent is None:
        wanted = max(wanted, config.model_openings)
    places = min(wanted, policy.room(node, config)) if wanted > 1 else 1
    ticket = hand_out(tree, setup, Ticket(tree.tickets, node.id, acting, places))
    tree.queue.append(ticket)
    if acting != node.next_member:
        pool.records[node.next_member].passed += 1
        why = "it is benched" if node.next_member in benched else WORK[acting in setup.models]
        setup.emit(events.FellBack(ticket.id, node.next_member, "model", f"{why}; {acting} is asked instead"))
    return ticket


def _feed(tree: Tree, setup: Setup, feeder: str) -> Ticket | None:
    """A feeder's ticket: at a node whose knobs are worth tuning, or at any if there is no such node."""
    phi, config, is_dormant = setup.pool.phi, setup.config, _dormancy(tree, setup)
    node = None
    if after := setup.structure_after:
        node = policy.descend(
            *(tree.root, phi, config, tree.rng),
            passes=lambda node: is_dormant(node) or policy.has_stalled(tree, node, after),
        )
    node = node or policy.descend(tree.root, phi, config, tree.rng, passes=is_dormant)
    return None if node is None else feed(tree, setup, node, feeder)


def feed(tree: Tree, setup: Setup, node: Node, feeder: str) -> Ticket:
    """A feeder's ticket at that node."""
    ticket = hand_out(tree, setup, Ticket(tree.tickets, node.id, feeder, feeding=True))
    tree.feeding.add(ticket.id)
    return ticket


def _dormancy(tree: Tree, setup: Setup) -> Callable[[Node], bool]:
    """Which nodes are not worth expanding, since their structure is on probation."""
    if not tree.has_moved:
        return lambda node: False
    return lambda node: tree.is_dormant(node, setup.models)


def hand_out(tree: Tree, setup: Setup, ticket: Ticket) -> Ticket:
    """Keep a new ticket's places free, and count it as a visit of value 0 (virtual loss)."""
    tree.tickets += 1
    node = tree.nodes[ticket.node]
    kept = 0 if ticket.alteration else ticket.places  # the contested child has an alteration's place
    node.pending += kept
    step: Node | None = node
    while step is not None:
        step.virtual += 1
        step = step.parent
    setup.emit(events.Selected(ticket.id, node.id, ticket.acting, ticket.alteration, kept))
    return ticket


def observe(tree: Tree, setup: Setup, ticket: Ticket, told: int) -> Observation:
    """What the ticket's member is shown. ``told`` is how many trials have a result."""
    pool, node = setup.pool, tree.nodes[ticket.node]
    line = [node]
    while len(line) < 3 and line[-1].parent is not None:
        line.append(line[-1].parent)
    seen, *ancestors = views(line)
    contested = tree.contested.get(ticket.id)
    return Observation(
        acting=pool.specs.get(ticket.acting) or MemberSpec(ticket.acting, 1.0, nominal=True),
        node=seen,
        ancestors=tuple(ancestors),
        knobs=setup.space.knobs(node.facts.schedule),
        tried=views(node.tried),
        best=views(tree.leaders),
        members=member_views(pool),
        progress=Progress(told, setup.trials_total, tree.iterations),
        proposals_wanted=ticket.places,
        seed=setup.seed * 1_000_003 + ticket.id,
        known=tree.facts.keys(),
        stalled=tree.stalled,
        failed=None if contested is None else FailedProposal(contested.by, *views([contested])),
    )


def views(nodes: Iterable[Node]) -> tuple[NodeView, ...]:
    """Nodes as proposers see them."""
    return tuple(
        NodeView(
            node.id,
            node.facts.schedule,
            node.by,
            node.transformation,
            node.facts.predicted_us if node.facts.scorer else None,
            node.facts.measured_us,
            node.notes,
        )
        for node in nodes
    )


def member_views(pool: Pool) -> tuple[MemberView, ...]:
    """The members' records as proposers see them."""
    return tuple(
        MemberView(
            record.spec,
            record.calls,
            record.errors,
            record.predicted_hits,
            record.predicted_regressions,
            record.measured_hits,
            record.measured_regressions,
            record.alterations,
            record.structures,
            record.improvements,
            record.improvements_below,
        )
        for record in pool.records.values()
    )


# ---- answers come back ----


def accept(
    tree: Tree, setup: Setup, ticket: Ticket, reply: Proposal | ProposalError
) -> Iterator[tuple[Ticket, Proposal | ProposalError]]:
    """Take an answer in. Yields every answer that takes effect now, with its ticket, in the order of the queue.

    Raises :class:`ValueError` for a ticket that is not out.
    """
    queue, answers = tree.queue, tree.answers
    if (ticket.id not in tree.feeding if ticket.feeding else ticket not in queue) or ticket.id in answers:
        raise ValueError(f"ticket {ticket.id} is not out")
    if ticket.feeding:
        tree.feeding.remove(ticket.id)
        yield ticket, reply
        return
    if isinstance(reply, NotAsked) and not ticket.alteration:
        queue.remove(ticket)
        release(tree, setup, ticket, reply)
    else:
        answers[ticket.id] = reply
        if setup.config.commit_order == "arrival":
            queue.remove(ticket)
            queue.appendleft(ticket)
    while queue and queue[0].id in answers:
        first = queue.popleft()
        yield first, answers.pop(first.id)


def release(tree: Tree, setup: Setup, ticket: Ticket, reply: Proposal | ProposalError) -> Node:
    """Undo what :func:`hand_out` did, and tell what the answer was. Returns the ticket's node."""
    node = tree.nodes[ticket.node]
    node.pending -= 0 if ticket.alteration else ticket.places
    step: Node | None = node
    while step is not None:
        step.virtual -= 1
        step = step.parent
    acting = ticket.acting
    if isinstance(reply, NotAsked):
        setup.emit(events.Withdrawn(ticket.id, acting, str(reply)))
    elif isinstance(reply, ProposalError):
        setup.emit(events.Proposed(ticket.id, acting, (), "", "", str(reply)))
    else:
        setup.emit(events.Proposed(ticket.id, acting, reply.transformations, reply.next_member, reply.why, ""))
    return node


# ---- apply ----


def apply(
    tree: Tree, setup: Setup, ticket: Ticket, node: Node, reply: Proposal | ProposalError, rng: random.Random
) -> Iterator[Node]:
    """Yield a new child for each usable alternative, as far as there is room; one at most in a course alteration.

    If no alternative is usable, a random transformation stands in, except in a course alteration.
    """
    if isinstance(reply, NotAsked):
        return
    record = None if ticket.feeding else setup.pool.records[ticket.acting]
    if record is not None:
        record.calls += not ticket.alteration
        record.alterations += ticket.alteration
    next_member = choose_next(setup, ticket, node, reply, record)
    alternatives = () if isinstance(reply, ProposalError) else reply.transformations
    if not alternatives:
        refuse(tree, setup, ticket, record, str(reply) if isinstance(reply, ProposalError) else "no transformation")
        node.enumerated = node.enumerated or ticket.feeding
    made = 0
    for transformation in alternatives:
        if made and (ticket.alteration or policy.room(node, setup.config) <= 0):
            break
        try:
            child = make_child(tree, setup, ticket, node, transformation, ticket.acting, next_member, rng)
        except (IllegalEdit, Rejected) as error:
            refuse(tree, setup, ticket, record, str(error))
            continue
        made += 1
        child.alteration, child.counted = ticket.alteration, record is not None and not ticket.alteration
        yield child
    if not made and not ticket.alteration:
        if record is not None:
            record.fallbacks += 1
        yield from apply_by_chance(tree, setup, ticket, node, next_member, rng)


def apply_by_chance(
    tree: Tree, setup: Setup, ticket: Ticket, node: Node, next_member: str, rng: random.Random
) -> Iterator[Node]:
    """A child by a random transformation; if several tries give none, the expansion fails: a visit of value 0."""
    for _ in range(setup.config.fallback_tries):
        try:
            transformation = setup.space.random_transformation(node.facts.schedule, rng)
            child = make_child(tree, setup, ticket, node, transformation, RANDOM, next_member, rng)
        except (IllegalEdit, Rejected):
            continue
        yield child
        return
    node.dead_ends += 1
    node.failed_visits += 1
    for step in node.path():
        step.n += 1
    setup.emit(events.Failed(ticket.id, node.id, "no new legal schedule was found from here"))


def make_child(
    tree: Tree,
    setup: Setup,
    ticket: Ticket,
    parent: Node,
    transformation: Transformation,
    by: str,
    next_member: str,
    rng: random.Random,
) -> Node:
    """Apply in the space. Raises :class:`IllegalEdit` or :class:`Rejected` if that gives no new child."""
    applied = setup.space.apply(parent.facts.schedule, transformation, rng)
    schedule, notes = tree.known_as(applied), applied.notes
    alias = schedule in tree.facts
    if alias and tree.repeats(parent, schedule):
        raise Rejected("the schedule equals this node, one tried from it before, or one that it came from")
    child = tree.add(parent, schedule, by, next_member)
    child.transformation, child.notes = transformation, notes
    setup.emit(events.Applied(ticket.id, child.id, parent.id, by, next_member, transformation, schedule, notes, alias))
    return child


def choose_next(
    setup: Setup, ticket: Ticket, node: Node, reply: Proposal | ProposalError, record: MemberRecord | None
) -> str:
    """Who is asked next at the children: whom the reply names, else the fallback; for a feeder's, as at the node."""
    if ticket.feeding:
        return node.next_member
    if isinstance(reply, ProposalError):
        return setup.pool.fallback(ticket.acting)
    if reply.next_member in setup.pool.specs:
        return reply.next_member
    if record is not None:
        record.errors += 1
        record.fallbacks += 1
    reason = f"there is no member {reply.next_member!r} in the pool"
    setup.emit(events.FellBack(ticket.id, ticket.acting, "next-model", reason))
    return setup.pool.fallback(ticket.acting)


def refuse(tree: Tree, setup: Setup, ticket: Ticket, record: MemberRecord | None, reason: str) -> None:
    """Count and tell that a transformation is not usable."""
    tree.refusal = reason
    if record is not None:
        record.errors += 1
    setup.emit(events.FellBack(ticket.id, ticket.acting, "transformation", reason))


# ---- score, credit ----


def score(setup: Setup, child: Node, rng: random.Random) -> None:
    """Predict the child and a few random legal edits of it (rollouts), in one call of the scorer."""
    schedule, facts, scorer = child.facts.schedule, child.facts, setup.scorer
    rollouts = [setup.space.perturb(schedule, rng) for _ in range(setup.config.rollouts)]
    version = scorer.version
    facts.predicted_us, *others = scorer.predict([schedule, *rollouts])
    facts.scorer = version
    child.rollout_ratios = tuple(latency_us / facts.predicted_us for latency_us in others)


def credit(tree: Tree, setup: Setup, children: Sequence[Node]) -> list[str]:
    """Judge each child against its parent, and credit the member that made it; returns the verdicts."""
    verdicts = []
    for child in children:
        assert child.parent is not None
        facts = child.facts
        outcome, measured = verdict(child.parent.facts, facts)
        if child.counted and not measured and not is_structure(tree, setup, child):
            record = setup.pool.records[child.by]
            record.predicted_hits += outcome == "hit"
            record.predicted_regressions += outcome == "regression"
        value = tree.values.own(child)
        setup.emit(events.Scored(child.id, facts.predicted_us, facts.scorer, value, outcome, measured))
        verdicts.append(outcome)
    return verdicts


def verdict(parent: Facts, child: Facts) -> tuple[str, bool]:
    """``hit``, ``regression`` or ``even``, and whether it was judged by measurements (on both ends or none)."""
    before, after = parent.measured_us, child.measured_us
    measured = before is not None and after is not None
    if before is None or after is None:
        before, after = parent.predicted_us, child.predicted_us
    return ("even" if after == before else "hit" if after < before else "regression"), measured


# ---- course alteration: when small members keep regressing, the largest takes over that step ----


def count_regression(
    tree: Tree, setup: Setup, ticket: Ticket, children: Sequence[Node], verdicts: Sequence[str]
) -> Node | None:
    """The child that the largest member is to better, if this proposal is the K-th regression in a row.

    A proposal of several alternatives counts once, by its best child. The largest member's own proposals, stand-ins,
    feeders, and what brings a structure leave the streak alone. K is ``alteration_period``; 0 turns course alteration
    off.
    """
    period = setup.config.alteration_period
    if not children or not children[0].counted or ticket.acting == setup.pool.largest:
        return None
    if any(is_structure(tree, setup, child) for child in children):
        return None
    best = min(range(len(children)), key=lambda index: children[index].facts.predicted_us)
    tree.streak = tree.streak + 1 if verdicts[best] == "regression" else 0
    return children[best] if tree.streak and period and tree.streak % period == 0 else None


def alter(tree: Tree, setup: Setup, node: Node, contested: Node) -> Ticket:
    """The ticket with which the largest member redoes a step; it takes its cause's place in the queue."""
    ticket = hand_out(tree, setup, Ticket(tree.tickets, node.id, setup.pool.largest, alteration=True))
    tree.queue.appendleft(ticket)
    tree.contested[ticket.id] = contested
    contested.held = True
    return ticket


def settle(tree: Tree, setup: Setup, ticket: Ticket, children: Sequence[Node]) -> list[Node]:
    """The better of the contested child and the largest member's stays; a tie is the largest's. The other is pruned."""
    contested = tree.contested.pop(ticket.id)
    rival = children[0] if children else None
    kept, pruned = contested, rival
    if rival is not None and verdict(rival.facts, contested.facts)[0] != "hit":
        kept, pruned = rival, contested
    setup.pool.records[ticket.acting].alterations_kept += kept is rival
    if pruned is not None:
        tree.prune(pruned)
    setup.emit(events.Altered(ticket.id, kept.id, pruned.id if pruned else -1))
    return [kept]


# ---- backup ----


def backup(tree: Tree, children: Sequence[Node]) -> None:
    """Each child's first visit: its own value goes to it and to all its ancestors, whoever made them."""
    for child in children:
        child.held = False
        value = tree.values.own(child)
        step: Node | None = child
        while step is not None:
            step.n += 1
            step.w += value
            step = step.parent


def close_exhausted(setup: Setup, node: Node | None) -> None:
    """Close the node and its ancestors, as far as nothing at or below them can be expanded, now or later."""
    config = setup.config
    while node is not None and not node.pending and all(child.closed for child in node.children):
        if node.dead_ends < config.dead_end_limit and policy.room(node, config) > 0:
            return
        node.closed = True
        setup.emit(events.Closed(node.id))
        node = node.parent
