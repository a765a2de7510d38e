"""Who is asked when, who is measured, and who waits for whom: in virtual time, on the toy space."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection

import pytest

from colt import events
from colt.proposers import dispatcher
from colt.proposers.cooldown import FIRST, IN_A_ROW
from colt.proposers.desk import BENCHED
from colt.proposers.language.completion import ErrorKind
from colt.search.types import MemberSpec, Ticket
from tests.helpers.operations import tree
from tests.helpers.toyworld import LARGE, SMALL
from tests.helpers.virtual_desk import NEVER, TRIAL_S, Run, VirtualDesk

ORDERS = ("arrival", "ticket")


def uneven(seed: int) -> VirtualDesk:
    """Some answers are there at once, others take many trials."""
    rng = random.Random(seed)
    return VirtualDesk(delays=lambda model: rng.choice((0.0, 0.3, 2.0, 9.0)) * TRIAL_S, seed=seed)


# ---- whose trials ----


@pytest.mark.parametrize("delay", [0.0, 0.5, 3.0, 20.0])
def test_models_that_answer_have_at_least_half_of_the_trials(delay: float) -> None:
    run = Run(VirtualDesk(delays=lambda model: delay * TRIAL_S)).finish()
    assert run.search.trials.told == 32
    assert 16 <= run.by_models < 32


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("seed", range(5))
def test_answers_may_come_in_any_order(order: str, seed: int) -> None:
    run = Run(uneven(seed), seed=seed, commit_order=order).finish()
    assert run.search.trials.told == 32
    assert run.by_models >= 16
    settled = [event.ticket for event in run.world.of(events.Proposed)]
    assert len(set(settled)) == len(settled)
    behind = {call.ticket for call in run.calls} - set(settled)
    assert not behind or order == "ticket"


def test_while_models_think_the_machine_measures_what_experts_propose() -> None:
    run = Run(VirtualDesk(delays=lambda model: 6 * TRIAL_S))
    run.step()
    assert run.desk.waited_s == 0
    assert run.made_by
    assert not set(run.made_by) & set(run.models)


def test_trials_are_distinct_schedules() -> None:
    run = Run(uneven(3)).finish()
    asked = [run.world.nodes[event.node].facts.schedule for event in run.world.of(events.Asked)]
    assert len(set(asked)) == len(asked) == 32


def test_the_same_answers_at_the_same_time_make_the_same_tree() -> None:
    first, again = (Run(uneven(7)).finish() for _ in range(2))
    assert tree(first.world) == tree(again.world)
    assert first.desk.sent == again.desk.sent


# ---- when they are called ----


@pytest.mark.parametrize("most", [1, 3, 8])
def test_no_more_calls_are_under_way_than_the_desk_takes(most: int) -> None:
    desk = uneven(1)
    desk.most = most
    seen: list[int] = []
    desk.on_send = lambda ticket, model: seen.append(desk.under_way + 1)
    run = Run(desk).finish()
    assert max(seen) == most
    assert run.search.trials.told == 32


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("trials", [4, 12, 40])
def test_no_call_is_made_once_what_waits_or_is_coming_suffices(trials: int, order: str) -> None:
    desk = uneven(2)
    run = Run(desk, trials=trials, alteration_period=0, commit_order=order)

    def check(ticket: int, model: str) -> None:
        alternatives = sum(event.places for event in run.world.of(events.Selected) if event.ticket in run.sent)
        brought = run.waiting + run.by_models
        fruitful = (brought + dispatcher.EXPECTED) / (alternatives - run.coming + dispatcher.OUT_OF)
        assert run.waiting + run.coming * fruitful < trials - run.search.trials.charged

    desk.on_send = check
    run.finish()
    assert run.calls


def test_the_first_calls_are_for_as_many_schedules_as_there_are_trials() -> None:
    run = Run(VirtualDesk(delays=lambda model: NEVER, most=8), trials=4)
    run.batch(4)
    assert [event.places for event in run.world.of(events.Selected) if event.acting in run.models] == [3, 2, 2]


@pytest.mark.parametrize("seed", range(3))
def test_as_much_is_asked_for_as_is_measured_while_a_call_is_under_way(seed: int) -> None:
    """So that a machine that is fast does not wait, and models that are fast know what was measured."""

    def most_under_way(delay: float) -> int:
        desk = VirtualDesk(delays=lambda model: delay * TRIAL_S, most=32, seed=seed)
        seen: list[int] = []
        desk.on_send = lambda ticket, model: seen.append(desk.under_way + 1)
        run = Run(desk, trials=64, seed=seed).finish()
        assert run.search.trials.told == 64
        assert desk.waited_s < 0.05 * 64 * TRIAL_S
        return max(seen)

    quick, slow = most_under_way(1), most_under_way(28)
    assert quick <= 8
    assert slow >= 2 * quick


def test_after_the_machine_has_waited_more_is_asked_for() -> None:
    """What is measured while a call is under way tells nothing, if the machine stood idle meanwhile."""
    call_s = 20 * TRIAL_S
    desk = VirtualDesk(delays=lambda model: call_s, most=64, benched={SMALL.name: BENCHED, LARGE.name: BENCHED})
    run = Run(desk, trials=256, alteration_period=0)
    while run.search.trials.charged < 128:
        run.step()
    desk.benched = {}
    run.finish()
    assert run.by_models >= 124
    assert desk.waited_s < 2 * call_s


def test_a_model_whose_slots_are_full_is_not_asked_and_nobody_takes_its_turn() -> None:
    desk = VirtualDesk(delays=lambda model: 20 * TRIAL_S, most=8, slots=2)
    run = Run(desk, trials=48, alteration_period=0)
    seen: Counter[str] = Counter()

    def count(ticket: int, model: str) -> None:
        under_way = Counter(name for _, name in desk.under_way_of)
        assert under_way[model] < desk.slots
        seen[model] = max(seen[model], under_way[model] + 1)

    desk.on_send = count
    run.finish()
    assert seen == {SMALL.name: 2, LARGE.name: 2}
    assert not any(record.passed for record in run.search.pool.records.values())
    assert run.search.trials.told == 48


def test_the_machine_waits_only_when_experts_have_had_their_half() -> None:
    desk = VirtualDesk(delays=lambda model: 30 * TRIAL_S)
    run = Run(desk)
    seen: list[int] = []
    desk.on_wait = lambda: seen.append(len(run.made_by) - run.by_models)
    run.finish()
    assert seen
    assert set(seen) == {16}


def test_patience_has_an_end() -> None:
    run = Run(VirtualDesk(delays=lambda model: NEVER), trials=8)
    while run.search.trials.charged < 4:
        run.step()
    assert run.desk.waited_s == 0
    assert run.step()
    assert run.desk.waited_s == pytest.approx(dispatcher.PATIENCE_S, abs=dispatcher.POLL_S)
    assert run.finish().search.trials.told == 8
    assert run.by_models == 0


def test_patience_grows_with_the_slowest_answer() -> None:
    """At most one batch beyond their half goes to experts: then it is known how long answers take."""
    run = Run(VirtualDesk(delays=lambda model: 1.5 * dispatcher.PATIENCE_S), trials=64).finish()
    assert len(run.made_by) - run.by_models <= 32 + run.search.config.batch_size // 2


def test_who_is_to_stop_waits_for_nobody() -> None:
    run = Run(VirtualDesk(delays=lambda model: NEVER), trials=8)
    while run.search.trials.charged < 4:
        run.step()
    run.stopped = lambda: True
    assert run.batch(4) == []
    assert run.desk.waited_s <= dispatcher.POLL_S


# ---- when they are called no more ----


@pytest.mark.parametrize("seed", range(4))
def test_when_paying_ends_it_is_told_once_and_no_call_is_made(seed: int) -> None:
    """Answers under way are still taken, but what they make due is not asked for."""
    rng = random.Random(seed)
    desk = VirtualDesk(delays=lambda model: rng.randint(1, 16) * TRIAL_S, most=8)
    run = Run(desk, seed=seed, alteration_period=1)
    run.why_stop = lambda: "they are no better" if run.search.trials.told >= 8 else None
    while run.dispatcher.calls_ended is None:
        run.step()
    before = len(run.desk.sent)
    run.finish()
    assert run.notes == ["no more calls of language models are made: they are no better"]
    assert len(run.desk.sent) == before == len(run.calls)
    assert run.search.trials.told == 32


def test_course_alterations_are_asked_of_the_largest() -> None:
    run = Run(uneven(5), alteration_period=1).finish()
    alterations = {event.ticket for event in run.world.of(events.Selected) if event.alteration}
    assert alterations
    assert {model for ticket, model in run.desk.sent if ticket in alterations} == {LARGE.name}


def test_course_alterations_are_done_without_while_the_largest_is_benched() -> None:
    run = Run(VirtualDesk(benched={LARGE.name: BENCHED}), alteration_period=1).finish()
    altered = run.world.of(events.Altered)
    assert altered
    assert all(event.pruned == -1 for event in altered)
    assert {model for _, model in run.desk.sent} == {SMALL.name}
    assert run.search.pool.records[LARGE.name].passed > 0
    assert run.search.trials.told == 32
    assert run.by_models >= 16


def test_with_all_models_benched_experts_go_on_and_it_is_said_loudly_once_for_each_time() -> None:
    desk = VirtualDesk(benched={SMALL.name: BENCHED, LARGE.name: "max-calls is 0"})
    run = Run(desk)
    run.step()
    run.step()
    assert run.dispatcher.all_benched
    said = f"no language model can be asked, the built-in experts go on alone (small: {BENCHED}; large: max-calls is 0)"
    assert run.notes == [said]
    desk.benched = {}
    run.step()
    desk.benched = {SMALL.name: BENCHED, LARGE.name: "max-calls is 0"}
    run.finish()
    assert run.notes == [said, said]
    assert run.search.trials.told == 32
    assert run.by_models > 0
    assert run.dispatcher.times_benched(SMALL.name) == 2
    assert run.dispatcher.times_benched(LARGE.name) == 0


def test_a_strict_run_says_that_it_stops() -> None:
    run = Run(VirtualDesk(benched={SMALL.name: BENCHED, LARGE.name: BENCHED}), strict=True)
    run.step()
    (note,) = run.notes
    assert note.startswith("no language model can be asked, the run stops (")


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_calls_that_fail_cost_no_trial(kind: ErrorKind) -> None:
    run = Run(VirtualDesk(answers={SMALL.name: kind}), models=(SMALL, LARGE)).finish()
    assert run.search.trials.told == 32
    record = run.search.pool.records[SMALL.name]
    assert (record.calls == record.errors == 0) == kind.blameless
    assert SMALL.name not in run.made_by


# ---- answers of no use ----


def test_a_model_whose_answers_are_of_no_use_cools_down() -> None:
    """Each answer is paid for, and none would ever be measured."""
    run = Run(VirtualDesk(most=1, answers={SMALL.name: "I would rather not."}), trials=FIRST).finish()
    useless = [model for _, model in run.desk.sent].count(SMALL.name)
    assert useless == IN_A_ROW
    assert run.dispatcher.times_benched(SMALL.name) == 1
    (note,) = run.notes
    assert "small is not asked for a while: its last 4 answers were of no use" in note
    assert run.by_models >= FIRST // 2


def test_after_a_cooldown_one_answer_decides() -> None:
    desk = VirtualDesk(answers={SMALL.name: "no"}, delays=lambda model: 2 * TRIAL_S)
    run = Run(desk, models=(SMALL,), trials=FIRST + 16)
    while run.dispatcher.times_benched(SMALL.name) == 0:
        run.step()
    before = len(desk.sent)
    while len(desk.sent) == before:
        run.step()
    assert len(desk.sent) == before + 1
    assert run.search.trials.charged >= FIRST
    run.finish()
    assert run.dispatcher.times_benched(SMALL.name) == 2


# ---- experts in the pool ----

TUNER = MemberSpec("tuner", 8.0)


@pytest.mark.parametrize("size", [1.0, 8.0, 100.0])
def test_models_beside_experts_are_asked(size: float) -> None:
    model = MemberSpec("model", size)
    run = Run(VirtualDesk(), models=[model], experts=[TUNER], trials=40).finish()
    assert run.search.trials.told == 40
    assert run.by_models >= 10
    assert run.search.pool.records["tuner"].calls > 0


def test_experts_take_turns_that_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tree may have nothing for a model for as long as it likes."""
    run = Run(VirtualDesk(), models=[MemberSpec("model", 1.0)], experts=[TUNER])
    select = run.search.select

    def without(feeder: str | None = None, benched: Collection[str] = (), busy: Collection[str] = ()) -> Ticket | None:
        return select(feeder, {*benched, "model"}, busy)

    monkeypatch.setattr(run.search, "select", without)
    run.finish()
    assert run.search.trials.told == 32
    assert run.search.pool.records["tuner"].calls <= 2 * 32


def test_experts_of_the_pool_go_on_when_its_model_is_benched() -> None:
    model = MemberSpec("model", 1.0)
    run = Run(VirtualDesk(benched={"model": BENCHED}), models=[model], experts=[TUNER]).finish()
    assert run.search.trials.told == 32
    assert run.made_by.count("tuner") > 4
