"""Compute locations are settled last: which are legal shows only when the tiles beside them are in place.

One illegal location would cost a whole proposal. Here it is dropped by itself, and the model is told.
"""

from __future__ import annotations

import random
from collections.abc import Collection

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Edit, Jump, LocationKnob, Schedule, Transformation
from colt.proposers.language.reply import Catalogue, ReadReply, ReplyError
from colt.search.types import Observation, Proposal, Space


def settled(reply: ReadReply, observation: Observation, space: Space, catalogue: Catalogue) -> ReadReply:
    """The reply with each of its transformations settled.

    Raises
    ------
    ReplyError
        Nothing is left of any of them.
    """
    here = observation.node.schedule
    kept: dict[Transformation, None] = {}
    dropped = list(reply.dropped)
    errors = reply.errors
    for transformation in reply.proposal.transformations:
        jump = next((step for step in transformation if isinstance(step, Jump)), None)
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
    """The transformation without the edits of ``locations`` (knobs by name) that are illegal, and why they are.

    A transformation that is refused for something else comes back as it is: the search says what of it.
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


def _why_illegal(space: Space, schedule: Schedule, transformation: Transformation) -> str | None:
    try:
        space.apply(schedule, transformation, random.Random(0))
    except IllegalEdit as error:
        return str(error)
    except Rejected:
        return None  # legal, and useless: for the search to count
    return None
