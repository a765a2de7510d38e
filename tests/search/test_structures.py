"""Models find structures, experts tune them: who works where, and who is credited with what."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from colt.knobs import Edit, Jump, Schedule, Transformation
from colt.moves import read_moves
from colt.options import SearchConfig
from colt.proposers.worth import WINDOW, why_stop_paying
from colt.search.policy import has_stalled
from colt.search.search import Search
from colt.search.structures import (
    FIRST_LOOK,
    NOISE,
    PROBATION,
    STALLED,
    Standing,
    Structure,
    promoted,
    records_of,
    since_gain,
    standing,
)
from colt.search.tree import Node
from colt.search.types import MemberSpec, Proposal, ProposalError
from tests.helpers.many_structures import (
    BEST,
    FINDS,
    FIRST,
    POLISHES,
    WORST,
    ExactScorer,
    ManyStructures,
    StructureRun,
)
from tests.helpers.toyworld import measure

EXPERT = MemberSpec("expert", 8.0, nominal=True)
AFTER = 3


def search_with(*members: MemberSpec, models: tuple[str, ...], after: int = AFTER) -> Search:
    """A search whose only opening is the first structure at its worst value, not measured yet."""
    space = ManyStructures()
    config = SearchConfig.preset("models", root_width=1, model_openings=0, structure_after=after, rollouts=0)
    search = Search(space, ExactScorer(space), members, config, models=models)
    search.open([(space.at(FIRST, WORST), "sampled")], 10_000.0)
    return search


def make(search: Search, by: str, structure: str | None, value: int, parent: int = 1) -> Node:
    """A child that a member makes and that is measured at once."""
    node = search.tree.nodes[parent]
    node.next_member = by
    while (ticket := search.select(benched=[name for name in search.pool.specs if name != by])) is not None:
        if ticket.node == parent:
            break
        search.commit(ticket, ProposalError("not here"))
    assert ticket is not None
    jump = () if structure is None else (Jump("plain", structure),)
    search.commit(ticket, Proposal(((*jump, Edit("k", value)),), by))
    child = search.tree.nodes[-1]
    search.tell(measure(search.setup.space, trial) for trial in search.trials.take([child.facts.schedule]))  # type: ignore[arg-type]
    return child


def stall(search: Search, structure: str = FIRST) -> None:
    """Measure the best of the structure, and enough after it."""
    space = search.setup.space
    schedules = [Schedule("plain", structure, (BEST + step,)) for step in range(AFTER + 1)]
    search.lead([(schedule, "sampled") for schedule in schedules])
    search.tell(measure(space, trial) for trial in search.trials.take(schedules))  # type: ignore[arg-type]


# ---- when a structure has stalled ----


def test_a_structure_has_a_gain_when_it_beats_its_own_best_by_more_than_noise() -> None:
    space = ManyStructures()
    first, other = space.at(FIRST, 0), space.at("bad-0", 0)
    latencies = [(first, 100.0), (other, 300.0), (first, 100 * (1 - NOISE / 2)), (first, math.inf), (other, 200.0)]
    found = records_of((schedule, "anyone", us) for schedule, us in latencies)
    assert (found["plain", FIRST].trials, found["plain", FIRST].since_gain) == (3, 2)
    assert (found["plain", "bad-0"].trials, found["plain", "bad-0"].since_gain) == (2, 0)


def test_a_run_has_a_gain_when_a_trial_beats_all_before_by_more_than_noise() -> None:
    assert since_gain([]) == 0
    assert since_gain([100.0, 99.0, math.inf, 200.0]) == 3
    assert since_gain([100.0, 200.0, 90.0]) == 0


def test_a_node_has_stalled_when_an_expert_knows_all_its_neighbours() -> None:
    search = search_with(FINDS, models=(FINDS.name,))
    ticket = search.select(feeder="tuner")
    assert ticket is not None
    search.commit(ticket, ProposalError("every neighbour was tried"))
    assert has_stalled(search.tree, search.tree.nodes[ticket.node], AFTER) is (ticket.node != 0)


# ---- who works where ----


def test_models_are_asked_only_where_a_structure_has_stalled() -> None:
    search = search_with(FINDS, models=(FINDS.name,))
    search.tree.root.dead_ends = search.config.dead_end_limit  # no place for further openings
    assert search.select() is None
    stall(search)
    ticket = search.select()
    assert ticket is not None
    assert ticket.acting == FINDS.name


def test_without_the_option_they_are_asked_at_once() -> None:
    search = search_with(FINDS, models=(FINDS.name,), after=0)
    search.tree.root.dead_ends = search.config.dead_end_limit
    assert search.select() is not None


def test_experts_of_the_pool_tune_what_has_not_stalled_and_models_change_the_rest() -> None:
    search = search_with(FINDS, EXPERT, models=(FINDS.name,))
    search.tree.root.dead_ends = search.config.dead_end_limit
    search.tree.nodes[1].next_member = FINDS.name
    first = search.select()
    assert first is not None
    assert first.acting == EXPERT.name
    search.commit(first, ProposalError("nothing"))
    stall(search)
    for node in search.tree.nodes[1:]:
        node.next_member = EXPERT.name
    second = search.select()
    assert second is not None
    assert second.acting == FINDS.name


def test_feeders_work_where_knobs_are_worth_tuning_and_anywhere_if_none_are() -> None:
    search = search_with(FINDS, models=(FINDS.name,))
    search.tree.root.dead_ends = search.config.dead_end_limit
    stall(search)
    anywhere = search.select(feeder="tuner")
    assert anywhere is not None
    fresh = make(search, FINDS.name, "good-0", WORST)
    ticket = search.select(feeder="tuner")
    assert ticket is not None
    assert ticket.node == fresh.id


def test_every_other_trial_of_experts_is_of_a_structure_that_has_not_stalled() -> None:
    search = search_with(FINDS, models=(FINDS.name,))
    stall(search)
    search.lead([(Schedule("plain", FIRST, (9,)), "sampled"), (Schedule("plain", "bad-0", (5,)), "sampled")])
    (tuned,) = search.trials.pick(1, tuning=True)
    assert tuned.schedule.sketch == "bad-0"


# ---- credit ----


def test_a_structure_is_judged_by_the_best_that_anybody_reaches_in_it() -> None:
    search = search_with(FINDS, models=(FINDS.name,))
    stall(search)
    brought = make(search, FINDS.name, "good-0", WORST)
    record = search.pool.records[FINDS.name]
    assert (record.measured_hits, record.measured_regressions) == (0, 1)
    search.lead([(Schedule("plain", "good-0", (BEST,)), "tuner")])
    search.tell(measure(search.setup.space, trial) for trial in search.trials.pick(1, by=["tuner"]))  # type: ignore[arg-type]
    assert (record.measured_hits, record.measured_regressions) == (1, 0)
    assert (record.structures, record.improvements, record.improvements_below) == (1, 0, 1)
    assert (brought.facts.measured_us or 0.0) > 1000.0, "its own knobs are worse than those of the first structure"


def test_what_brings_a_structure_is_no_regression_that_the_largest_member_redoes() -> None:
    search = search_with(POLISHES, MemberSpec("largest", 600.0), models=(POLISHES.name, "largest"))
    stall(search)
    for number in range(4):
        make(search, POLISHES.name, f"bad-{number}", WORST)
    assert search.tree.streak == 0
    assert search.pool.records[POLISHES.name].predicted_regressions == 0
    assert search.pool.records["largest"].alterations == 0


def test_trials_in_a_models_structure_are_to_its_credit_whoever_proposed_them() -> None:
    search = search_with(FINDS, models=(FINDS.name,))
    stall(search)
    make(search, FINDS.name, "good-0", WORST)
    search.lead([(Schedule("plain", "good-0", (BEST,)), "tuner")])
    (trial,) = search.trials.pick(1, by=["tuner"])
    assert search.trials.credited(trial.id) == {FINDS.name, "tuner"}


@pytest.mark.parametrize("seed", range(3))
def test_good_structures_with_bad_knobs_are_worth_more_than_bad_ones_with_good_knobs(seed: int) -> None:
    run = StructureRun(trials=240, seed=seed).finish()
    finds, polishes = (run.search.pool.records[spec.name] for spec in (FINDS, POLISHES))
    assert finds.measured_hit_rate > polishes.measured_hit_rate
    assert finds.calls > polishes.calls
    assert finds.improvements_below > 0
    assert polishes.improvements + polishes.improvements_below == 0
    assert run.search.trials.ranked()[0][1].schedule.sketch.startswith("good")


def test_calls_stop_paying_by_what_is_reached_in_the_models_structures() -> None:
    """Every trial that leads is the tuner's, in structures of a model: that keeps the calls paid."""
    run = StructureRun(trials=240).finish()
    trials = run.search.trials
    assert trials.asked > 2 * WINDOW
    assert why_stop_paying(trials, [FINDS.name], None) is None
    assert why_stop_paying(trials, [POLISHES.name], None) is not None


# ---- structures that experts' moves made ----

MOVE = " | parallel(C.i)"


class Believer(ExactScorer):
    """Takes whatever moves made for so many times as fast as it is."""

    def __init__(self, space: ManyStructures, times: float = 1.7) -> None:
        super().__init__(space)
        self._times = times

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        exact = super().predict(schedules)
        return [us / (self._times if MOVE in one.sketch else 1) for one, us in zip(schedules, exact, strict=True)]


def picked(*moved: str, trials: int = 40, times: float = 1.7) -> list[str]:
    """The sketches of trials, one by one, where many plain structures and those with this move wait."""
    space = ManyStructures()
    names = [f"{one}{MOVE}" for one in moved]
    space.allow(names)
    config = SearchConfig(root_width=1, rollouts=0, epsilon=0.0, equal_promise=0.0)
    search = Search(space, Believer(space, times), [EXPERT], config)
    search.open([(space.at(FIRST, BEST), "sampled")], 10_000.0)
    plain = [space.at(f"bad-{number}", BEST) for number in range(trials)]
    changed = [space.at(name, BEST + step) for name in names for step in range(3)]
    search.lead([(one, EXPERT.name) for one in (*plain, *changed)])
    seen = []
    for _ in range(trials):
        (trial,) = search.trials.pick(1)
        seen.append(trial.schedule.sketch)
        search.tell([measure(space, trial)])  # type: ignore[arg-type]
    return seen


def test_they_have_a_share_of_a_stalled_run_and_each_one_trial_before_any_has_two() -> None:
    seen = picked("bad-1", "bad-2")
    places = [place for place, sketch in enumerate(seen) if MOVE in sketch]
    assert places == [STALLED + 1, *range(STALLED + 1 + PROBATION, 40, PROBATION)]
    assert len({seen[place] for place in places[:2]}) == 2


def test_what_is_predicted_to_be_faster_by_far_has_that_share_before() -> None:
    seen = picked("bad-1", times=10)
    assert [place for place, sketch in enumerate(seen) if MOVE in sketch][:3] == [7, 15, 23]


def test_one_that_leads_by_more_than_noise_is_tuned_like_any_other() -> None:
    seen = picked("good-1", times=1.0)
    assert [MOVE in sketch for sketch in seen[STALLED + 1 : STALLED + 4]] == [True, True, True]


def test_those_of_language_models_have_no_such_share() -> None:
    space = ManyStructures()
    space.allow([f"bad-1{MOVE}"])
    search = Search(space, Believer(space), [FINDS], SearchConfig(root_width=1, rollouts=0), models=[FINDS.name])
    search.open([(space.at(FIRST, BEST), "sampled")], 10_000.0)
    search.lead([(space.at(f"bad-1{MOVE}", BEST), FINDS.name)])
    (trial,) = search.trials.pick(1)
    assert MOVE in trial.schedule.sketch


# ---- structures that are looked for on a schedule ----

A, B, C = ("plain", "a"), ("plain", "b"), ("plain", "c")


def test_moves_are_judged_beside_the_schedule_that_they_were_made_on() -> None:
    assert standing(90.0, 100.0, best_us=50.0) == 45.0
    assert standing(101.0, 100.0, best_us=200.0) == math.inf, "they have cost time"
    assert standing(90.0, None, best_us=50.0) == 90.0
    assert standing(90.0, math.inf, best_us=50.0) == 90.0


@pytest.mark.parametrize(
    ("tried", "untried", "waiting", "chosen"),
    [
        ({}, [B, A], "ab", B),
        ({A: (1, 90.0)}, [B], "ab", B),  # nothing to compare it with yet
        ({A: (1, 90.0), B: (1, 95.0)}, [C], "abc", A),
        ({A: (1, 90.0), B: (1, 95.0)}, [C], "bc", C),  # the faster half has nothing to be measured
        ({A: (2, 90.0), B: (1, 95.0)}, [C], "abc", C),  # it has had its second trial
        ({A: (2, 90.0), B: (2, 95.0), C: (1, 80.0)}, [], "abc", A),
        ({A: (3, 90.0), B: (2, 95.0), C: (1, 99.0)}, [], "abc", A),
        ({A: (1, 90.0)}, [], "a", A),  # the last one left
        ({A: (1, 151.0)}, [], "a", None),  # hopeless beside the fastest
        ({A: (1, math.inf), B: (1, math.inf)}, [], "ab", None),
        ({A: (16, 90.0)}, [], "a", None),  # it has had all that it gets
    ],
)
def test_trials_are_dealt_by_successive_halving(
    tried: dict[Structure, tuple[int, float]], untried: list[Structure], waiting: str, chosen: Structure | None
) -> None:
    standings = {name: Standing(*one) for name, one in tried.items()}
    assert promoted(standings, untried, [("plain", name) for name in waiting], best_us=100.0) == chosen


class Blind(ExactScorer):
    """Sees nothing of moves."""

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        return super().predict([replace(one, sketch=one.sketch.partition(" | ")[0]) for one in schedules])


PAYS, COSTS = "prefetch(C.k, B, 8)", "unroll(C.k)"


class ExploringRun:
    """One trial after the other, of which the first ones are of the first structure, from its worst value on."""

    def __init__(self, moves: Mapping[str, float], known: Sequence[int] = (WORST, 22, 21, 20)) -> None:
        self.space = ManyStructures(moves)
        config = SearchConfig(root_width=1, rollouts=0, epsilon=0.0, equal_promise=0.0)
        self.search = Search(self.space, Blind(self.space), [EXPERT], config, explores=True)
        self.search.open([(self.space.at(FIRST, WORST), "sampled")], 10_000.0)
        others = [self.space.at(f"bad-{number}", WORST) for number in range(64)]
        self.search.lead([(one, EXPERT.name) for one in (*(self.space.at(FIRST, value) for value in known), *others)])
        self.looks: list[tuple[str, bool]] = []
        self.seen: list[Schedule] = []

    def look(self, fastest: Schedule, stalled: bool, rng: random.Random) -> list[Transformation]:
        self.looks.append((fastest.sketch, stalled))
        return [read_moves(move) for move in self.space.moves if move not in fastest.sketch]

    def measure(self, trials: int) -> ExploringRun:
        for _ in range(trials):
            self.search.explore(self.look, EXPERT.name)
            (trial,) = self.search.trials.pick(1)
            self.seen.append(trial.schedule)
            self.search.tell([measure(self.space, trial)])  # type: ignore[arg-type]
        return self

    @property
    def moved(self) -> list[tuple[int, Schedule]]:
        """Trials of structures that moves made, with their numbers."""
        return [(number, one) for number, one in enumerate(self.seen) if " | " in one.sketch]


def test_structures_are_looked_for_soon_and_again_when_another_leads_or_the_run_has_stalled() -> None:
    run = ExploringRun({PAYS: 0.5}, known=range(WORST, -1, -1))
    run.measure(FIRST_LOOK)
    assert run.looks == []
    run.measure(1)
    assert run.looks == [(FIRST, False)]
    run.measure(8)
    assert run.looks == [(FIRST, False), (f"{FIRST} | {PAYS}", False)]
    stuck = ExploringRun({}, known=range(WORST, -1, -1)).measure(24)
    assert stuck.looks == [(FIRST, False), (FIRST, True)]


@pytest.mark.parametrize(("move", "times", "again"), [(PAYS, 0.9, True), (COSTS, 1.3, False)])
def test_what_pays_on_one_schedule_is_tried_on_the_fastest_as_soon_as_that_is_another(
    move: str, times: float, again: bool
) -> None:
    """The look comes when the worst values of the knob have been measured, and the run does not stall meanwhile."""
    run = ExploringRun({move: times}).measure(FIRST_LOOK + 1)
    search, space = run.search, run.space
    search.lead([(space.at(FIRST, BEST), "tuner")])
    search.tell(measure(space, trial) for trial in search.trials.take([space.at(FIRST, BEST)]))  # type: ignore[arg-type]
    run.measure(PROBATION)
    assert run.looks[0] == (FIRST, False)
    assert not any(stalled for _, stalled in run.looks)
    assert [one.values[0] for _, one in run.moved[1:]] == [BEST] * again


def test_structures_that_are_looked_for_have_one_trial_in_eight_and_no_kind_has_all_of_them() -> None:
    moves = [f"unroll(C.k_{number})" for number in range(20)]
    run = ExploringRun(dict.fromkeys([*moves, PAYS], 1.1), known=range(WORST, -1, -1)).measure(56)
    assert [number for number, _ in run.moved] == [*range(FIRST_LOOK, 56, PROBATION)]
    assert PAYS in run.moved[1][1].sketch
