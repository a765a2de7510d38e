"""Trials: which schedules go to the hardware, what became of them, and what the whole tree makes of it."""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from colt import events
from colt.knobs import Schedule, Transformation
from colt.measure.base import Fate, Measurement, Verification
from colt.moves import Move, is_moved
from colt.search.credit import count_structures, count_verdicts, credited
from colt.search.setup import Setup
from colt.search.structures import (
    PROBATION,
    SURE,
    Standing,
    Structure,
    promoted,
    records_of,
    since_gain,
    standing,
    structure_of,
)
from colt.search.tree import Facts, Node, Tree, predict
from colt.search.types import Trial

LEADERS = 3
"""How many of the best schedules are shown to proposers."""
EQUALS = 4
"""How many schedules of equal promise are compared for how fast they build."""

BuildSeconds = Callable[[Schedule], float]
"""How long a schedule is expected to build."""
Fits = Callable[[Facts], bool]
"""Whether a schedule may be picked."""
Ranked = tuple[float, int, Facts]
"""What a schedule is expected to measure, its node's id, and the schedule."""


class Trials:
    """All trials of a search, and the one place that knows what became of them.

    A trial has a measurement once it is told, and a verification once it is judged. Everything else is derived anew
    from all of them (:meth:`refresh`): it does not matter in which order they came, nor how often.
    """

    def __init__(self, tree: Tree, setup: Setup, build_seconds: BuildSeconds | None = None) -> None:
        self.baseline_us: float | None = None
        """The untuned program's latency; it takes effect with :meth:`refresh`."""
        self.told = 0
        """How many trials have a result."""
        self._tree = tree
        self._setup = setup
        self._build_seconds = build_seconds
        self._rng = random.Random(setup.seed + 1)
        self._asked: list[Facts] = []
        self._measurements: dict[int, Measurement] = {}
        """By trial, in the order in which they were first told."""
        self._skipped = 0
        """How many of them were skipped; asked for at each ticket."""
        self._verifications: dict[int, Verification] = {}
        """By trial, in the order in which they were first judged."""
        self._seen = 1  # the untuned program, first of all facts, is no trial
        self._proven = 0
        """Trials since the last of a structure on probation."""
        self._heap: list[Ranked] = []
        self._waiting: list[Facts] = []
        self._ranked_by: str | None = None
        """The version of the scorer by which the heap is ordered; ``None`` if the order is out of date."""

    # ---- what became of them ----

    @property
    def asked(self) -> int:
        """How many trials there are, told or not."""
        return len(self._asked)

    @property
    def charged(self) -> int:
        """How many trials count against the budget.

        Skipped ones are free, but no more of them than there are others: a run ends even if nothing can be built.
        """
        return self.asked - min(self._skipped, self.asked - self._skipped)

    @property
    def results(self) -> list[Measurement]:
        """The result that counts for each trial, in the order of their ids.

        A trial that computes something else than the untuned program is WRONG, and its message is the verification's.
        """
        found = dict(self._measurements)
        for trial, verification in self._verifications.items():
            if not verification.ok:
                measured = found.get(trial) or Measurement(trial, Fate.WRONG)
                found[trial] = replace(measured, fate=Fate.WRONG, latency_us=None, message=verification.message)
        return [found[trial] for trial in sorted(found)]

    @property
    def latencies(self) -> dict[Schedule, float]:
        """Latencies in microseconds of the trials that ran and are not wrong, in the order in which they were told."""
        return {
            self._asked[trial].schedule: measurement.latency_us
            for trial, measurement in self._measurements.items()
            if measurement.latency_us is not None and not self._is_wrong(trial)
        }

    @property
    def best_us(self) -> float:
        """The least latency of a trial in microseconds; ``inf`` if none ran."""
        return min(self.latencies.values(), default=math.inf)

    @property
    def since_best(self) -> int:
        """How many trials were asked for since the best of those that ran."""
        ranked = self.ranked()
        return self.asked - 1 - ranked[0][1].id if ranked else self.asked

    @property
    def verifications(self) -> Mapping[int, Verification]:
        """By trial, in the order of judging."""
        return self._verifications

    def verification(self, trial: int) -> Verification | None:
        """How that trial compared with the untuned program; ``None`` if it was not compared."""
        return self._verifications.get(trial)

    def ranked(self) -> list[tuple[float, Trial]]:
        """All trials that ran, fastest first, with their latencies in microseconds."""
        ran = sorted((r.latency_us, r.trial) for r in self.results if r.latency_us is not None)
        return [(latency_us, self.trial(trial)) for latency_us, trial in ran]

    def trial(self, number: int) -> Trial:
        """The trial of that id."""
        facts = self._asked[number]
        return Trial(number, facts.schedule, facts.node.by, facts.node.id)

    def credited(self, trial: int) -> set[str]:
        """Who has a share in that trial. See :func:`colt.search.credit.credited`."""
        return credited(self._tree, self._setup, self._asked[trial].node)

    def _is_wrong(self, trial: int) -> bool:
        verification = self._verifications.get(trial)
        return verification is not None and not verification.ok

    # ---- asking ----

    def waiting(self, by: Collection[str]) -> int:
        """How many schedules that these made were never asked for."""
        self._absorb()
        return sum(facts.trial < 0 and facts.node.by in by for facts in self._waiting)

    def pick(self, count: int, by: Collection[str] | None = None, tuning: bool = False) -> list[Trial]:
        """Up to ``count`` distinct schedules that were never asked for, best predicted first, a share ε at random.

        Among schedules of equal promise the one that builds fastest goes first. ``by`` leaves out what others made,
        ``tuning`` what is of a structure that has stalled.
        """
        self._absorb()
        after = self._setup.structure_after if tuning else 0

        def fits(facts: Facts) -> bool:
            stalled = after and self._tree.record(facts.node).since_gain >= after
            return not stalled and (by is None or facts.node.by in by)

        trials: list[Trial] = []
        while len(trials) < count:
            by_chance = self._rng.random() < self._setup.config.epsilon
            facts = self._next(fits, by_chance)
            if facts is None:
                break
            trials.append(self._ask(facts))
        return trials

    def _next(self, fits: Fits, by_chance: bool) -> Facts | None:
        """The best that fits, or any. Structures on probation have a share, of a stalled run alone if nothing
        explores, and no more."""
        models = self._setup.models

        def is_proven(facts: Facts) -> bool:
            return fits(facts) and not self._tree.on_probation(facts, models)

        if self._tree.has_moved and self._proven + 1 >= PROBATION:
            if self._setup.explores:
                facts = self._promoted(fits)
            else:
                facts = self._on_probation(fits if self._tree.stalled else lambda one: fits(one) and self._is_sure(one))
            if facts is not None:
                self._proven = 0
                return facts
        self._proven += 1
        found = self._random(is_proven) if by_chance else self._best(is_proven)
        return found or self._on_probation(fits)

    def _is_sure(self, facts: Facts) -> bool:
        """Whether the schedule is predicted to be faster than the fastest one by far."""
        leaders = self._tree.leaders
        return bool(leaders) and SURE * facts.predicted_us <= leaders[0].facts.predicted_us

    def _promoted(self, fits: Fits) -> Facts | None:
        """The most promising of that structure on probation whose turn it is (:func:`promoted`)."""
        tree, models = self._tree, self._setup.models
        waiting: dict[Structure, Ranked] = {}
        for facts in self._waiting:
            if facts.trial < 0 and fits(facts) and tree.on_probation(facts, models):
                ranked, structure = _rank(facts), structure_of(facts.schedule)
                waiting[structure] = min(ranked, waiting.get(structure, ranked))
        asked = {structure_of(one.schedule) for one in self._asked}
        kinds = Counter(_kind(tree.brought[name]) for name in asked)
        untried = sorted(
            (name for name in waiting if name not in asked),
            key=lambda name: (kinds[_kind(tree.brought[name])], waiting[name]),
        )
        tried = {
            name: one for name, one in self._standings().items() if tree.on_probation(tree.brought[name].facts, models)
        }
        chosen = promoted(tried, untried, waiting, tree.values.best_us)
        return None if chosen is None else waiting[chosen][2]

    def _standings(self) -> dict[Structure, Standing]:
        """How each structure stands that moves made and that has a result."""
        tree = self._tree
        found: dict[Structure, Standing] = {}
        for number in self._measurements:
            facts = self._asked[number]
            name, us = structure_of(facts.schedule), facts.measured_us or math.inf
            if not is_moved(name[1]):
                continue
            us = standing(us, _before(facts.node), tree.values.best_us)
            known = found.get(name, Standing(0, math.inf))
            found[name] = Standing(known.trials + 1, min(us, known.us))
        return found

    def worth_repeating(self, leader: Node) -> list[Transformation]:
        """The moves that have made a schedule of the leader's structure faster, and were not made on the leader yet."""
        tree, found = self._tree, list[Transformation]()
        structure = structure_of(leader.facts.schedule)
        for name, one in self._standings().items() if self._tree.has_moved else ():
            node = tree.brought[name]
            if one.us < tree.values.best_us and node.parent is not None and node.parent is not leader:
                same = structure_of(node.parent.facts.schedule) == structure and _adds_moves(node)
                if same and (name, leader.id) not in tree.repeated:
                    tree.repeated.add((name, leader.id))
                    found.append(node.transformation)
        return found

    def _on_probation(self, fits: Fits) -> Facts | None:
        """The best predicted of the structures on probation that were tried least. The heap drops it later."""
        tree, models = self._tree, self._setup.models
        fresh = [f for f in self._waiting if f.trial < 0 and fits(f) and tree.on_probation(f, models)]
        return min(fresh, key=lambda f: (tree.record(f.node).trials, f.predicted_us, f.node.id), default=None)

    def take(self, schedules: Iterable[Schedule]) -> list[Trial]:
        """Trials of these very schedules of the tree, in their order; of those that were never asked for."""
        self._absorb()
        fresh = (self._tree.facts[schedule] for schedule in schedules)
        return [self._ask(facts) for facts in fresh if facts.trial < 0]

    def _ask(self, facts: Facts) -> Trial:
        facts.trial = len(self._asked)
        self._asked.append(facts)
        trial = self.trial(facts.trial)
        self._setup.emit(events.Asked(trial.id, trial.node, trial.proposed_by, facts.predicted_us))
        return trial

    def _absorb(self) -> None:
        """Take in the schedules that have become known since last time; rank all anew if estimates have changed."""
        scorer = self._setup.scorer
        new = self._tree.known[self._seen :]
        self._seen += len(new)
        self._waiting.extend(new)
        if self._ranked_by == scorer.version:
            predict(scorer, new)
            for facts in new:
                heapq.heappush(self._heap, _rank(facts))
            return
        self._ranked_by = scorer.version
        self._waiting = [facts for facts in self._waiting if facts.trial < 0]
        predict(scorer, self._waiting)
        # as _rank, without a call for each: there may be tens of thousands
        self._heap = [(facts.predicted_us * facts.node.residual, facts.node.id, facts) for facts in self._waiting]
        heapq.heapify(self._heap)

    def _best(self, fits: Fits) -> Facts | None:
        best, margin = self._pop(math.inf, fits), self._setup.config.equal_promise
        if best is None or self._build_seconds is None or not margin:
            return None if best is None else best[2]
        equals, limit = [best], best[0] * (1 + margin)
        while len(equals) < EQUALS and (equal := self._pop(limit, fits)) is not None:
            equals.append(equal)
        seconds = [self._build_seconds(facts.schedule) for _, _, facts in equals]
        fastest = equals.pop(seconds.index(min(seconds)))
        for equal in equals:
            heapq.heappush(self._heap, equal)
        return fastest[2]

    def _pop(self, limit: float, fits: Fits) -> Ranked | None:
        """The best that fits of what was never asked for, unless it is expected to take longer than ``limit``."""
        others: list[Ranked] = []
        found = None
        while found is None and self._heap and self._heap[0][0] <= limit:
            ranked = heapq.heappop(self._heap)
            if ranked[2].trial < 0:
                if fits(ranked[2]):
                    found = ranked
                else:
                    others.append(ranked)
        for ranked in others:
            heapq.heappush(self._heap, ranked)
        return found

    def _random(self, fits: Fits) -> Facts | None:
        """Any that fits of what was never asked for. Others are kept; what was asked for is dropped on the way."""
        others: list[Facts] = []
        found = None
        while found is None and self._waiting:
            index = self._rng.randrange(len(self._waiting))
            self._waiting[index], self._waiting[-1] = self._waiting[-1], self._waiting[index]
            facts = self._waiting.pop()
            if facts.trial < 0:
                if fits(facts):
                    found = facts
                else:
                    others.append(facts)
        self._waiting += others
        return found

    # ---- telling ----

    def tell(self, results: Iterable[Measurement]) -> None:
        """Take results in and value everything anew. See :meth:`colt.search.search.Search.tell`.

        Of two results for one trial the one that was timed longer counts (ties: the slower). Raises
        :class:`ValueError`, and takes nothing in, for a trial that was never asked or a latency that does not go with
        its fate.
        """
        ordered = sorted(results, key=lambda r: r.trial)
        for result in ordered:
            self._check(result)
        for result in ordered:
            held = self._measurements.get(result.trial)
            if held is None or _weight(result) > _weight(held):
                self._measurements[result.trial] = result
                self._skipped += (result.fate is Fate.SKIPPED) - (held is not None and held.fate is Fate.SKIPPED)
                if not self._is_wrong(result.trial):
                    self._setup.emit(events.Measured(result.trial, result.fate, result.latency_us, result.message))
        self.refresh()

    def judge(self, trial: int, verification: Verification) -> None:
        """Take in how a trial compared with the untuned program. One that is not ok counts as WRONG from now on.

        May come before the trial is told. Raises :class:`ValueError` for a trial that was never asked.
        """
        if not 0 <= trial < len(self._asked):
            raise ValueError(f"there is no trial {trial}")
        was_wrong = self._is_wrong(trial)
        self._verifications[trial] = verification
        if not verification.ok and not was_wrong:
            self._setup.emit(events.Measured(trial, Fate.WRONG, None, verification.message))
        if not verification.ok or was_wrong:
            self.refresh()

    def _check(self, result: Measurement) -> None:
        if not 0 <= result.trial < len(self._asked):
            raise ValueError(f"there is no trial {result.trial}")
        latency = result.latency_us
        if (latency is None) == result.fate.timed or not (latency is None or 0.0 < latency < math.inf):
            raise ValueError(f"trial {result.trial} is {result.fate} with latency {latency}")

    # ---- what follows for the tree ----

    def refresh(self) -> None:
        """Derive leaders, best, residuals, values and the members' measured records from all outcomes."""
        tree, setup = self._tree, self._setup
        tree.scorer = setup.scorer.version
        self._set_measured()
        asked = [self._asked[number] for number in sorted(self._measurements)]
        tree.reached = records_of((one.schedule, one.node.by, one.measured_us or math.inf) for one in asked)
        tree.since_gain = since_gain(one.measured_us or math.inf for one in asked)
        predict(setup.scorer, tree.known)
        self._find_best()
        tree.revalue()
        self._ranked_by = None
        count_verdicts(tree, setup)
        count_structures(tree, setup.pool)
        best_us = tree.values.best_us
        setup.emit(events.Revalued(None if best_us == math.inf else best_us, len(tree.nodes), tree.scorer))

    def _set_measured(self) -> None:
        """The only place where ``measured_us`` of a schedule or of the untuned program is set."""
        self._tree.root.facts.measured_us = self.baseline_us
        results = self.results
        self.told = len(results)
        for facts in self._asked:
            facts.measured_us = None
        for result in results:
            self._asked[result.trial].measured_us = math.inf if result.latency_us is None else result.latency_us

    def _find_best(self) -> None:
        """The measured latency that all others are compared with, and how far the scorer is off there."""
        tree, values = self._tree, self._tree.values
        ran = sorted(
            (facts.measured_us, trial)
            for trial, facts in enumerate(self._asked)
            if facts.measured_us is not None and facts.measured_us < math.inf
        )
        tree.leaders = [self._asked[trial].node for _, trial in ran[:LEADERS]]
        best_us = ran[0][0] if ran else None
        predicted_us = self._asked[ran[0][1]].predicted_us if ran else min(f.predicted_us for f in tree.known)
        values.best_us = min((us for us in (best_us, self.baseline_us) if us is not None), default=predicted_us)
        values.general_residual = (values.best_us if best_us is None else best_us) / predicted_us


def _kind(node: Node) -> frozenset[type]:
    """The kinds of moves that have made the node of its parent."""
    return frozenset(type(step) for step in node.transformation if isinstance(step, Move))


def _adds_moves(node: Node) -> bool:
    """Whether moves alone have made the node of its parent: its knobs are the same."""
    return bool(node.transformation) and all(isinstance(step, Move) for step in node.transformation)


def _before(node: Node) -> float | None:
    """What the node's parent took, if moves alone have made the node of it."""
    return node.parent.facts.measured_us if node.parent is not None and _adds_moves(node) else None


def _rank(facts: Facts) -> Ranked:
    """By what the schedule is expected to measure: predicted, times the residual of the nearest measured ancestor."""
    return facts.predicted_us * facts.node.residual, facts.node.id, facts


def _weight(result: Measurement) -> tuple[float, float, str]:
    """Which of two results for one trial counts: a total order, so that it does not matter which came first."""
    latency_us = math.inf if result.latency_us is None else result.latency_us
    return (result.seconds_timing, latency_us, result.fate)
