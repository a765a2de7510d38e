"""Settles what only the space can tell of a proposal: compute locations, and moves.

Whether a location is legal depends on the tiles beside it. An illegal one would cost the whole proposal: it alone is
dropped, and the model is told. A proposal with a move that is not possible is dropped whole, and the model told why.
"""

from __future__ import annotations

import random
from collections.abc import Collection

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Edit, Jump, LocationKnob, Schedule, Transformation
from colt.moves import Move
from colt.proposers.language.reply import Catalogue, ReadReply, ReplyError
from colt.search.types import Observation, Proposal, Space


def settled(reply: ReadReply, observation: Observation, space: Space, catalogue: Catalogue) -> ReadReply:
    """The reply with all its transformations settled.

    Raises
    ------
    ReplyError
        Nothing is left of any transformation.
    """
    here = observation.node.schedule
    kept: dict[Transformation, None] = {}
    dropped = list(reply.dropped)
    errors = reply.errors
    for transformation in reply.proposal.transformations:
        jump = next((step for step in transformation if isinstance(step, Jump)), None)
        if any(isinstance(step, Move) for step in transformation):
            if (why := _why_useless(space, here, transformation)) is None:
                kept[transformation] = None
            else:
                errors += 1
                dropped.append(why)
            continue
        knobs = observation.knobs if jump is None else catalogue.knobs(jump.variant, jump.sketch)
        locations = {knob.name for knob in knobs if isinstance(knob, LocationKnob)}
        steps, messages = settle(space, here, transformation, locations)
        errors += len(messages)
        dropped += messages
        if steps:
            kept[steps] = None
    if not kept:
        raise ReplyError("; ".join(dropped[:2]), dropped)
    return ReadReply(Proposal(tuple(kept), reply.proposal.next_member, reply.proposal.why), tuple(dropped), errors)


def settle(
    space: Space, schedule: Schedule, transformation: Transformation, locations: Collection[str]
) -> tuple[Transformation, tuple[str, ...]]:
    """The transformation without its illegal edits of ``locations`` (names of knobs), and why each is illegal.

    A transformation that is illegal for another reason is returned unchanged: the search reports it.
    """
    if _why_illegal(space, schedule, transformation) is None:
        return transformation, ()
    placing = [step for step in transformation if isinstance(step, Edit) and step.knob in locations]
    kept = tuple(step for step in transformation if step not in placing)
    if not placing or (kept and _why_illegal(space, schedule, kept) is not None):
        return transformation, ()
    messages = []
    for edit in placing:
        why = _why_illegal(space, schedule, (*kept, edit))
        if why is None:
            kept = (*kept, edit)
        else:
            messages.append(why)
    return kept, tuple(messages)


def _why_useless(space: Space, schedule: Schedule, transformation: Transformation) -> str | None:
    """Why a proposal with moves gives no schedule: what TVM says of a move is the model's to know as well."""
    try:
        space.apply(schedule, transformation, random.Random(0))
    except (IllegalEdit, Rejected) as error:
        return str(error)
    return None


def _why_illegal(space: Space, schedule: Schedule, transformation: Transformation) -> str | None:
    try:
        space.apply(schedule, transformation, random.Random(0))
    except IllegalEdit as error:
        return str(error)
    except Rejected:
        return None  # legal but useless: the search counts it
    return None
