"""The state of a run as its events tell it, which the terminal, the report and the dashboard share.

:mod:`colt.views.fold` takes the events in; here is what they came to, by task and for the whole run.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from colt.knobs import Schedule
from colt.views.seen import ROOT, Asking, Improvement, SeenAlteration, SeenCall, SeenMember, SeenNode, SeenTrial

MOST_MEMBERS = 200
"""Members that are told apart: many times as many as any pool has, and few enough for a chart of each."""
MOST_TASKS = 1000
"""Tasks that are told apart, likewise."""


@dataclass(slots=True)
class TaskState:
    """What belongs to one program of the run."""

    baseline_us: float | None = None
    nodes: dict[int, SeenNode] = field(default_factory=lambda: {ROOT: SeenNode(ROOT, -1, "")})
    trials: dict[int, SeenTrial] = field(default_factory=dict)
    best_trial: int | None = None
    best_us: float | None = None
    """The least latency that the tree was told."""
    alterations: list[SeenAlteration] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    """Expansions that gave no child, by reason."""
    scorer: str = ""
    told: int = 0
    """Trials that are back from the hardware, those without a latency included."""
    tickets: dict[int, Asking] = field(default_factory=dict)
    """Those that were handed out."""
    made_by_alteration: set[int] = field(default_factory=set)
    """Tickets of course alterations."""
    knobs: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """What the knobs of each variant and sketch are called; earlier versions did not tell."""
    measured_as: dict[Schedule, int] = field(default_factory=dict)
    """The trial of each schedule that went to the hardware."""
    brought: dict[tuple[str, str], str] = field(default_factory=dict)
    """Who brought each structure into the tree, by variant and sketch."""

    @property
    def back(self) -> list[SeenTrial]:
        """The trials that are back from the hardware, in the order in which they came."""
        return sorted((one for one in self.trials.values() if one.number), key=lambda one: one.number)

    @property
    def improvements(self) -> list[Improvement]:
        """Each new best, when it came back from the hardware; one that turned out to be wrong is none."""
        found: list[Improvement] = []
        for one in self.back:
            if one.latency_us is not None and (not found or one.latency_us < found[-1].latency_us):
                found.append(Improvement(one.id, one.number, one.timed_s or 0.0, one.usd, one.latency_us))
        return found

    def trial_of(self, node: SeenNode) -> SeenTrial | None:
        """The trial of the node's schedule, which another node may have asked for."""
        number = None if node.schedule is None else self.measured_as.get(node.schedule)
        return None if number is None else self.trials[number]

    def latency_of(self, node: SeenNode) -> float | None:
        """The measured latency of the node's schedule."""
        if node.id == ROOT:
            return self.baseline_us
        trial = self.trial_of(node)
        return None if trial is None else trial.latency_us

    def path_to(self, node: int) -> list[int]:
        """The nodes from the root to this one."""
        path = []
        while node in self.nodes:
            path.append(node)
            node = self.nodes[node].parent
        return path[::-1]

    @property
    def best_path(self) -> list[int]:
        """The nodes from the root to that of the best trial; empty if there is none."""
        return [] if self.best_trial is None else self.path_to(self.trials[self.best_trial].node)


@dataclass(slots=True)
class RunState:
    """A run, as far as its events have come in."""

    tasks: dict[str, TaskState] = field(default_factory=lambda: {"": TaskState()})
    """By name; a run of one program has one without a name."""
    turn: str = ""
    """The task that events are about."""
    of_model: dict[str, int] = field(default_factory=dict)
    """How often a run of the model calls each task's program; empty if the tasks are not those of a model."""
    form_of: dict[str, str] = field(default_factory=dict)
    """The task whose program a task computes in another form, by the latter's name."""
    phases: list[tuple[float, str]] = field(default_factory=list)
    members: dict[str, SeenMember] = field(default_factory=dict)
    calls: list[SeenCall] = field(default_factory=list)
    notes: list[tuple[float, str]] = field(default_factory=list)
    went_on: list[tuple[float, int]] = field(default_factory=list)
    """When the run went on after it had broken off or ended, and its trials from there on."""
    fallbacks: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """What was replaced or withdrawn: the member, the kind, the reason."""
    acting: str = ""
    told: int = 0
    """Trials of all tasks that are back from the hardware."""
    failed: int = 0
    """Those of them without a latency."""
    first_told_s: float | None = None
    last: SeenTrial | None = None
    usd: float = 0.0
    events: int = 0
    stray: int = 0
    """Events about nodes, trials or tickets that were never introduced."""
    seconds: float = 0.0
    """When the last event happened."""
    unlisted: SeenMember | None = None
    """What those did who came after :data:`MOST_MEMBERS` others."""
    beyond: TaskState | None = None
    """The last turn of a task that came after :data:`MOST_TASKS` others."""

    @property
    def task(self) -> TaskState:
        """The task whose turn it is."""
        found = self.tasks.get(self.turn, self.beyond)
        assert found is not None
        return found

    @property
    def model_us(self) -> tuple[float, float] | None:
        """What a run of the model takes: the sum of its programs as they are best so far, and untuned. ``None`` until
        all that run are timed."""
        known = {name: self.tasks[name] for name in self.of_model if name in self.tasks}
        untuned = {name: one.baseline_us for name, one in known.items() if one.baseline_us}
        best: dict[str, float] = {}
        for name, baseline_us in untuned.items():
            program = self.form_of.get(name, name)
            best[program] = min(known[name].best_us or baseline_us, best.get(program, math.inf))
        if not best:
            return None
        sums = [sum(self.of_model[name] * us[name] for name in best if name in us) for us in (best, untuned)]
        return sums[0], sums[1]

    @property
    def phase(self) -> str:
        """What the run is at, in words."""
        return self.phases[-1][1] if self.phases else "starting"

    def member(self, name: str) -> SeenMember:
        """The member of that name, from now on in ``members`` if there is room."""
        if name not in self.members:
            if len(self.members) >= MOST_MEMBERS:
                self.unlisted = self.unlisted or SeenMember()
                return self.unlisted
            self.members[name] = SeenMember()
        return self.members[name]
