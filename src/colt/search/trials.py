"""Trials: which schedules go to the hardware, and what the whole tree makes of the results."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Collection, Iterable

from colt import events
from colt.events import Emit
from colt.knobs import Schedule
from colt.measure.base import Fate
from colt.options import SearchConfig
from colt.search.expand import Expander
from colt.search.pool import Pool
from colt.search.tree import Facts, Node, Tree
from colt.search.types import Trial, TrialResult

LEADERS = 3
"""How many of the best schedules are shown to proposers."""
EQUALS = 4
"""Schedules of equal promise that are compared for how fast they build."""

BuildSeconds = Callable[[Schedule], float]
"""How long a schedule is expected to build."""
Ranked = tuple[float, int, Facts]
"""What a schedule is expected to measure, its node's id, and the schedule."""


class Trials:
    """All trials of a run. What follows from results is derived anew from the set of them, in the order of their ids:
    it does not matter in which order they came, nor how often.
    """

    def __init__(
        self,
        tree: Tree,
        pool: Pool,
        expander: Expander,
        config: SearchConfig,
        rng: random.Random,
        emit: Emit,
        build_seconds: BuildSeconds | None = None,
    ) -> None:
        self._tree = tree
        self._pool = pool
        self._expander = expander
        self._config = config
        self._rng = rng
        self._emit = emit
        self._build_seconds = build_seconds
        self._asked: list[Facts] = []
        self._results: dict[int, TrialResult] = {}
        self._seen = 1  # the untuned program, first of all facts, is no trial
        self._heap: list[Ranked] = []
        self._waiting: list[Facts] = []
        self._version = ""
        self._ranked = False
        self._valued_by = ""
        self.leaders: list[Node] = []

    @property
    def told(self) -> int:
        """How many trials have a result."""
        return len(self._results)

    @property
    def asked(self) -> int:
        """How many trials there are, told or not."""
        return len(self._asked)

    @property
    def charged(self) -> int:
        """How many trials count against the budget: all but those that were skipped, of which as many are free as there
        are others (so that a run ends even if nothing can be built)."""
        skipped = sum(result.fate is Fate.SKIPPED for result in self._results.values())
        return self.asked - min(skipped, self.asked - skipped)

    @property
    def results(self) -> list[TrialResult]:
        """The result that counts for each trial, in the order of their ids."""
        return [self._results[trial] for trial in sorted(self._results)]

    def ranked(self) -> list[tuple[float, Trial]]:
        """All trials that ran, fastest first, with their latencies in microseconds."""
        ran = [r for r in self.results if r.latency_us is not None]
        ran.sort(key=lambda r: (r.latency_us, r.trial))
        return [(r.latency_us or 0.0, self.trial(r.trial)) for r in ran]

    def trial(self, number: int) -> Trial:
        """The trial of that id."""
        facts = self._asked[number]
        assert facts.node is not None
        return Trial(number, facts.schedule, facts.node.by, facts.node.id)

    # ---- asking ----

    def waiting(self, by: Collection[str]) -> int:
        """How many schedules that these made were never asked for."""
        self._absorb()
        return sum(facts.trial < 0 and _made(facts, by) for facts in self._waiting)

    def pick(self, count: int, by: Collection[str] | None = None) -> list[Trial]:
        """Up to ``count`` distinct schedules that were never asked for, best predicted first, a share ε at random.

        Among schedules of equal promise the one that builds fastest goes first. ``by`` leaves out what others made.
        """
        self._absorb()
        trials: list[Trial] = []
        while len(trials) < count:
            by_chance = self._rng.random() < self._config.epsilon
            facts = self._random(by) if by_chance else self._best(by)
            if facts is None:
                break
            trials.append(self._ask(facts))
        return trials

    def _absorb(self) -> None:
        """Take in the schedules that have become known since last time; rank all anew if estimates have changed."""
        new = self._tree.known[self._seen :]
        self._seen += len(new)
        self._waiting.extend(new)
        version = self._expander.scorer_version
        if self._ranked and version == self._version:
            self._expander.predict(new)
            for facts in new:
                heapq.heappush(self._heap, _rank(facts))
            return
        self._ranked, self._version = True, version
        self._waiting = [facts for facts in self._waiting if facts.trial < 0]
        self._expander.predict(self._waiting)
        self._heap = [_rank(facts) for facts in self._waiting]
        heapq.heapify(self._heap)

    def _best(self, by: Collection[str] | None) -> Facts | None:
        best = self._pop(math.inf, by)
        if best is None or self._build_seconds is None or not self._config.equal_promise:
            return None if best is None else best[2]
        equals, limit = [best], best[0] * (1 + self._config.equal_promise)
        while len(equals) < EQUALS and (equal := self._pop(limit, by)) is not None:
            equals.append(equal)
        seconds = [self._build_seconds(facts.schedule) for _, _, facts in equals]
        fastest = equals.pop(seconds.index(min(seconds)))
        for equal in equals:
            heapq.heappush(self._heap, equal)
        return fastest[2]

    def _pop(self, limit: float, by: Collection[str] | None) -> Ranked | None:
        """The best schedule that was never asked for, unless it is expected to take longer than ``limit``."""
        others: list[Ranked] = []
        found = None
        while found is None and self._heap and self._heap[0][0] <= limit:
            ranked = heapq.heappop(self._heap)
            if ranked[2].trial < 0:
                if by is None or _made(ranked[2], by):
                    found = ranked
                else:
                    others.append(ranked)
        for ranked in others:
            heapq.heappush(self._heap, ranked)
        return found

    def _random(self, by: Collection[str] | None) -> Facts | None:
        """Any that was never asked for; what was is forgotten on the way, what others made is kept."""
        others: list[Facts] = []
        found = None
        while found is None and self._waiting:
            index = self._rng.randrange(len(self._waiting))
            self._waiting[index], self._waiting[-1] = self._waiting[-1], self._waiting[index]
            facts = self._waiting.pop()
            if facts.trial < 0:
                if by is None or _made(facts, by):
                    found = facts
                else:
                    others.append(facts)
        self._waiting += others
        return found

    def _ask(self, facts: Facts) -> Trial:
        assert facts.node is not None
        facts.trial = len(self._asked)
        self._asked.append(facts)
        trial = self.trial(facts.trial)
        self._emit(events.Asked(trial.id, trial.node, trial.proposed_by, facts.predicted_us))
        return trial

    # ---- telling ----

    def record(self, results: Iterable[TrialResult]) -> None:
        """Take results in and value everything anew.

        Raises :class:`ValueError`, and takes nothing in, for a trial that was never asked or a latency that does not
        go with its fate.
        """
        ordered = sorted(results, key=lambda r: r.trial)
        for result in ordered:
            self._check(result)
        for result in ordered:
            held = self._results.get(result.trial)
            if held is None or _weight(result) > _weight(held):
                self._results[result.trial] = result
                self._emit(events.Measured(result.trial, result.fate, result.latency_us, result.message))
        self.refresh()

    def _check(self, result: TrialResult) -> None:
        if not 0 <= result.trial < len(self._asked):
            raise ValueError(f"there is no trial {result.trial}")
        latency = result.latency_us
        if (latency is None) == result.fate.timed or not (latency is None or 0.0 < latency < math.inf):
            raise ValueError(f"trial {result.trial} is {result.fate} with latency {latency}")

    def keep_up(self) -> None:
        """Value everything anew if the scorer has changed: two of its versions are never compared."""
        if self._expander.scorer_version != self._valued_by:
            self.refresh()

    def refresh(self) -> None:
        """Derive best, residuals, values and the models' measured records from the set of results."""
        self._valued_by = self._expander.scorer_version
        for trial, result in self._results.items():
            latency = result.latency_us
            self._asked[trial].measured_us = math.inf if latency is None else latency
        self._find_best()
        self._tree.revalue()
        self._ranked = False
        self._count_verdicts()
        best = self._tree.values.best_us
        self._emit(events.Revalued(None if best == math.inf else best, len(self._tree.nodes), self._valued_by))

    def _find_best(self) -> None:
        """The measured latency that all others are compared with, and how far the scorer is off there."""
        tree, values = self._tree, self._tree.values
        measured = sorted(
            (self._asked[trial] for trial, result in self._results.items() if result.latency_us is not None),
            key=lambda facts: (facts.measured_us, facts.trial),
        )
        self.leaders = [facts.node for facts in measured[:LEADERS] if facts.node is not None]
        self._expander.predict(tree.known)
        predicted = measured[0].predicted_us if measured else min(facts.predicted_us for facts in tree.known)
        baseline = tree.root.facts.measured_us
        best = [us for us in (measured[0].measured_us if measured else None, baseline) if us is not None]
        values.best_us = min(best, default=predicted)
        values.general_residual = (best[0] if measured and best else values.best_us) / predicted

    def _count_verdicts(self) -> None:
        for record in self._pool.records.values():
            record.measured_hits = record.measured_regressions = 0
        for node in self._tree.nodes:
            if not node.counted or node.parent is None:
                continue
            before, after = node.parent.facts.measured_us, node.facts.measured_us
            if before is not None and after is not None:
                record = self._pool.records[node.by]
                record.measured_hits += after < before
                record.measured_regressions += after > before


def _made(facts: Facts, by: Collection[str]) -> bool:
    assert facts.node is not None
    return facts.node.by in by


def _rank(facts: Facts) -> Ranked:
    """By what the schedule is expected to measure: predicted, times the residual of the nearest measured ancestor."""
    assert facts.node is not None
    return facts.predicted_us * facts.node.residual, facts.node.id, facts


def _weight(result: TrialResult) -> tuple[float, float, str]:
    """Which of two results for one trial counts: a total order, so that it does not matter which came first."""
    latency = math.inf if result.latency_us is None else result.latency_us
    return (result.seconds_timed, latency, result.fate)
