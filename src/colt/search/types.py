"""What the search and the world around it say to each other: proposals, observations, trials, and the contracts
of a space, a scorer and a proposer. Pure data and protocols; see ``colt.testing`` for what an implementation of
:class:`Space` or :class:`Proposer` must satisfy.
"""

from __future__ import annotations

import random
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from colt.knobs import Knob, Schedule, Sketch, Transformation


@dataclass(frozen=True, slots=True)
class MemberSpec:
    """One member of the pool as the tree policy sees it; ``size_b`` is its size in billions of parameters.

    A built-in expert is no model and has no parameters: its size is nominal.
    """

    name: str
    size_b: float
    nominal: bool = False


@dataclass(frozen=True, slots=True)
class AppliedSchedule:
    """A transformation carried out. ``notes`` name every value that was realised differently from what was asked."""

    schedule: Schedule
    notes: tuple[str, ...] = ()


class Space(Protocol):
    """The schedules of one workload. Schedules are identified by their realised values."""

    @property
    def sketches(self) -> Sequence[Sketch]:
        """All sketches of all variants, in a fixed order, those to be looked at in any case first."""
        ...

    @property
    def untuned(self) -> Schedule:
        """The program as it was given; it belongs to no sketch and has no knobs."""
        ...

    def knobs(self, schedule: Schedule) -> tuple[Knob, ...]:
        """The knobs of the schedule's sketch with the values that are legal in its state; none for ``untuned``."""
        ...

    def sample(self, rng: random.Random, sketch: Sketch | None = None) -> Schedule:
        """A random schedule, of the given sketch or of any. Raises :class:`~colt.errors.Rejected`."""
        ...

    def apply(self, schedule: Schedule, transformation: Transformation, rng: random.Random) -> AppliedSchedule:
        """Validate, carry out, read the realised values back.

        ``rng`` fills in what the transformation leaves open. Raises :class:`~colt.errors.IllegalEdit` for an edit
        that is not legal and :class:`~colt.errors.Rejected` for a legal one that gives no usable program.
        """
        ...

    def realise(self, schedule: Schedule) -> AppliedSchedule:
        """Carry out a schedule constructed from values alone (checked as edits are). Raises as :meth:`apply`."""
        ...

    def perturb(self, schedule: Schedule, rng: random.Random) -> Schedule:
        """A random legal edit carried out on the values alone, not realised: cheap, for rollouts."""
        ...

    def random_transformation(self, schedule: Schedule, rng: random.Random) -> Transformation:
        """A random legal edit of one knob, or now and then a jump; a jump for ``untuned``."""
        ...


class Scorer(Protocol):
    """Predicts latencies. Only ratios between predictions of one version mean anything."""

    @property
    def version(self) -> str:
        """Changes whenever predictions may change."""
        ...

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        """Predicted latencies in microseconds, all finite and > 0; deterministic for one version."""
        ...


@dataclass(frozen=True, slots=True)
class Proposal:
    """A joint action: what to do at this node, and which model to ask next at the child that comes of it.

    ``transformations`` holds one or several alternatives; each becomes a child of its own as far as there is room.
    """

    transformations: tuple[Transformation, ...]
    next_member: str
    why: str = ""


class ProposalError(Exception):
    """The acting model gave no usable proposal; the text says why and is told to it next time."""


class NotAsked(ProposalError):
    """The acting model could not be asked at all: its ticket is withdrawn, and nothing is held against it."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as a proposer sees it; latencies in microseconds, ``None`` where unknown."""

    id: int
    schedule: Schedule
    by: str
    transformation: Transformation
    predicted_us: float | None
    measured_us: float | None
    """``inf`` for a trial that failed."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MemberView:
    """A model's record so far; hits and regressions are of children scored on both ends."""

    spec: MemberSpec
    calls: int
    errors: int
    predicted_hits: int
    predicted_regressions: int
    measured_hits: int
    measured_regressions: int
    alterations: int


@dataclass(frozen=True, slots=True)
class FailedProposal:
    """What a small model did that the largest is asked to better: the proposal's child with its scores."""

    by: str
    child: NodeView


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the budget is used: trials told and iterations done."""

    trials: int
    trials_total: int | None
    iterations: int


@dataclass(frozen=True, slots=True)
class Observation:
    """All that the acting model is shown (section 3, *observe*). ``ancestors`` holds parent and grandparent."""

    acting: MemberSpec
    node: NodeView
    ancestors: tuple[NodeView, ...]
    knobs: tuple[Knob, ...]
    tried: tuple[NodeView, ...]
    best: tuple[NodeView, ...]
    members: tuple[MemberView, ...]
    progress: Progress
    proposals_wanted: int
    seed: int
    """Seeds whatever chance the proposer uses: the same observation gets the same proposal."""
    failed: FailedProposal | None = None
    """Set when this is a course alteration."""
    known: Container[Schedule] = field(default=frozenset(), compare=False, repr=False)
    """Every schedule that stands anywhere in the tree: proposing one again makes an alias, and no new trial."""


class Proposer(Protocol):
    """Whoever makes proposals. An expert gets the space and the scorer at construction, a language model a client."""

    @property
    def spec(self) -> MemberSpec:
        """Name and size."""
        ...

    def propose(self, observation: Observation) -> Proposal:
        """Answer with a joint action. Raises :class:`ProposalError` when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Ticket:
    """Permission to expand ``node``: ``acting`` is to be asked. Given out by ``select``, given back by ``commit``.

    ``alteration``: the largest model is to better what a small one did. ``feeding``: a built-in expert outside the
    pool fills the time while models answer. ``places``: children that are kept free for the answer's alternatives.
    """

    id: int
    node: int
    acting: str
    places: int = 1
    alteration: bool = False
    feeding: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """One distinct schedule to be measured. ``proposed_by`` is who made the node that first held it."""

    id: int
    schedule: Schedule
    proposed_by: str
    node: int
