"""What the search and the world around it say to each other: proposals, observations, trials, and the contracts
of a space, a scorer and a proposer. Pure data and protocols; ``colt.testing`` checks what an implementation of
:class:`Space`, :class:`Scorer` or :class:`Proposer` must satisfy.
"""

from __future__ import annotations

import random
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from colt.knobs import Knob, Schedule, Sketch, Transformation
from colt.moves import Move


@dataclass(frozen=True, slots=True)
class MemberSpec:
    """One member of the pool as the tree policy sees it; ``size_b`` is its size in billions of parameters.

    A built-in expert has no parameters: its size is ``nominal``.
    """

    name: str
    size_b: float
    nominal: bool = False


@dataclass(frozen=True, slots=True)
class AppliedSchedule:
    """A transformation carried out. ``notes`` name every value that was not realised as it was asked for.

    ``structure`` identifies what moves have made: structures that are the same have the same, however they are called.
    It is empty for a sketch of the space.
    """

    schedule: Schedule
    notes: tuple[str, ...] = ()
    structure: str = ""


class Space(Protocol):
    """The schedules of one workload. Schedules are identified by their realised values."""

    @property
    def sketches(self) -> Sequence[Sketch]:
        """All sketches of all variants, in a fixed order; those that must be looked at come first."""
        ...

    @property
    def untuned(self) -> Schedule:
        """The program as it was given. It belongs to no sketch and has no knobs."""
        ...

    def knobs(self, schedule: Schedule) -> tuple[Knob, ...]:
        """The knobs of the schedule's sketch, with the values that are legal in its state; none for ``untuned``."""
        ...

    def sample(self, rng: random.Random, sketch: Sketch | None = None) -> Schedule:
        """A random schedule of the given sketch, or of any. Raises :class:`~colt.errors.Rejected`."""
        ...

    def apply(self, schedule: Schedule, transformation: Transformation, rng: random.Random) -> AppliedSchedule:
        """Validate the transformation, carry it out, and read the realised values back.

        ``rng`` fills in what the transformation leaves open. Raises :class:`~colt.errors.IllegalEdit` for an illegal
        edit, and :class:`~colt.errors.Rejected` for a legal one that gives no usable program.
        """
        ...

    def realise(self, schedule: Schedule) -> AppliedSchedule:
        """Carry out a schedule that was constructed from values alone. Checks and raises as :meth:`apply`."""
        ...

    def perturb(self, schedule: Schedule, rng: random.Random) -> Schedule:
        """The schedule after a random legal edit of its values, not realised: cheap, for rollouts. Raises nothing."""
        ...

    def random_transformation(self, schedule: Schedule, rng: random.Random) -> Transformation:
        """A random legal edit of one knob, now and then a jump; always a jump from ``untuned``."""
        ...


class MovingSpace(Space, Protocol):
    """A space in which moves change the structure of schedules."""

    def random_moves(self, schedule: Schedule, rng: random.Random, count: int) -> tuple[Move, ...]:
        """Up to ``count`` moves that can be made on the schedule one after the other; none if none was found."""
        ...

    def suggested_moves(self, schedule: Schedule) -> Sequence[tuple[Move, ...]]:
        """Moves that change the schedule's structure as people do by hand. Not all of them can be made."""
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
    """A joint action: what to do at this node, and which member to ask next at the child that comes of it.

    ``transformations`` holds one or more alternatives. Each becomes a child of its own, as far as there is room.
    """

    transformations: tuple[Transformation, ...]
    next_member: str
    why: str = ""


class ProposalError(Exception):
    """The acting member gave no usable proposal. The text says why; a language model is told it next time."""


class NotAsked(ProposalError):
    """The acting member could not be asked at all: its ticket is withdrawn, and nothing is held against it."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as a proposer sees it. Latencies are in microseconds, ``None`` where unknown."""

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
    """A member's record so far. Hits and regressions are of children against their parents."""

    spec: MemberSpec
    calls: int
    errors: int
    predicted_hits: int
    predicted_regressions: int
    measured_hits: int
    measured_regressions: int
    alterations: int
    structures: int = 0
    """Structures that it brought into the tree."""
    improvements: int = 0
    """Trials of its own that became the fastest of the run, and of others in structures that it brought."""
    improvements_below: int = 0


@dataclass(frozen=True, slots=True)
class StructureView:
    """How far the structure of a node was tuned: its trials with a result, the best in microseconds (``None`` if none
    ran), the trials since the last gain, and who brought it. ``stalled``: its knobs are no longer worth tuning."""

    trials: int
    best_us: float | None
    since_gain: int
    by: str
    stalled: bool


@dataclass(frozen=True, slots=True)
class PendingQuestion:
    """A question under way: who was asked for how many alternatives, and for which schedule."""

    acting: str
    wanted: int
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class RankView:
    """Spearman's correlation of the present predictions with what so many schedules measured."""

    schedules: int
    correlation: float


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a language model is told beside the node: it cannot look for itself.

    ``pending`` are the questions under way, ``waiting`` the most promising schedules that were not measured yet,
    ``contrast`` a few measured ones that differ, good and bad, the fastest first. Latencies that differ by less than
    the share ``noise`` are equal. ``ranks`` says how far predictions can be trusted, ``ranks_here`` for the node's
    structure alone; ``None`` where too few were measured. ``visits`` and ``value`` are those of the node.
    """

    structure: StructureView
    visits: int
    value: float
    pending: tuple[PendingQuestion, ...]
    waiting: tuple[NodeView, ...]
    contrast: tuple[NodeView, ...]
    noise: float
    ranks: RankView | None
    ranks_here: RankView | None


@dataclass(frozen=True, slots=True)
class FailedProposal:
    """What a small member did and the largest is asked to better: the proposal's child with its scores."""

    by: str
    child: NodeView


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the budget is used: trials with a result, and iterations."""

    trials: int
    trials_total: int | None
    iterations: int


@dataclass(frozen=True, slots=True)
class Observation:
    """All that the acting member is shown (paper, section 3).

    ``ancestors`` holds the parent and the grandparent, ``tried`` the children made so far, ``best`` the fastest
    measured schedules.
    """

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
    """For whatever chance the proposer uses: the same observation gets the same proposal."""
    failed: FailedProposal | None = None
    """Set when this is a course alteration."""
    known: Container[Schedule] = field(default=frozenset(), compare=False, repr=False)
    """Every schedule in the tree: proposing one again makes an alias, and no new trial."""
    stalled: bool = False
    """Whether the structure of the fastest schedule has brought no gain for so long that another is worth a look."""
    around: Surroundings | None = None
    """For language models alone."""


class Proposer(Protocol):
    """Whoever makes proposals. It gets what else it needs, such as the space and the scorer, at construction."""

    @property
    def spec(self) -> MemberSpec:
        """Name and size."""
        ...

    def propose(self, observation: Observation) -> Proposal:
        """Answer with a joint action. Raises :class:`ProposalError` if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Ticket:
    """Permission to expand ``node`` by asking ``acting``. Handed out by ``select``, taken back by ``commit``.

    ``places`` are kept free at the node for the answer's alternatives. ``alteration``: the largest member is to better
    what a small one did. ``feeding``: a built-in expert outside the pool fills the time while language models answer.
    """

    id: int
    node: int
    acting: str
    places: int = 1
    alteration: bool = False
    feeding: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """One distinct schedule to measure. ``proposed_by`` made ``node``, which held it first."""

    id: int
    schedule: Schedule
    proposed_by: str
    node: int
