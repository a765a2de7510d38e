"""Programs of one model in one run: trials go where the model's time is, and nothing is left as plain loops."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from colt import events
from colt.errors import InputError
from colt.events import Event
from colt.options import TuneOptions
from colt.plan import checked, checked_model
from colt.run.loop import CONSTRUCTED, run
from colt.run.resume import resume, to_the_end
from colt.run.scheduler import gain_us, leave_beaten, next_task, saving_per_trial, settle, worth_trying
from colt.run.task import Begun
from colt.tvm.programs.program import fingerprint
from colt.tvm.programs.source import load_program
from colt.tvm.space.space import TvmSpace
from tests.helpers.simulated_runs import Watched, measured_by, simulated

OPTIONS = TuneOptions(pool=["scout", "tuner"], use_records=False, trials=16)
NUMBERS = itertools.count()


@dataclass
class Part:
    """A program of a model, as far as the scheduler sees it."""

    calls: int = 1
    baseline_us: float = 100.0
    best_us: float = math.inf
    share: float | None = 0.3
    charged: int = 8
    since_best: int = 0
    of_model: bool = True
    exhausted: bool = False
    roofline_reached: bool = False
    settled: bool = False
    number: int = 0
    form_of: int | None = None
    known_us: float = math.inf
    beaten: bool = False
    begun: Any = field(init=False)
    search: Any = field(init=False)
    ceiling: Any = field(init=False)

    def __post_init__(self) -> None:
        self.number = next(NUMBERS)
        self.form_of = self.number if self.form_of is None else self.form_of
        self.begun = Begun(known_us=self.known_us)
        self.search = SimpleNamespace(trials=SimpleNamespace(since_best=self.since_best, best_us=self.best_us))
        self.ceiling = SimpleNamespace(share=lambda us: self.share)

    @property
    def latency_us(self) -> float:
        return min(self.baseline_us, self.best_us)

    @property
    def is_form(self) -> bool:
        return self.form_of != self.number

    def form(self, **changes: Any) -> Part:
        """Another form of the program."""
        return replace(self, form_of=self.number, **changes)


def chosen(*parts: Part) -> int:
    return parts.index(next_task(parts))  # type: ignore[arg-type]


def test_every_program_is_tried_first_and_the_heaviest_before_others() -> None:
    assert chosen(Part(best_us=90), Part(charged=0), Part(charged=0, calls=3)) == 2


def test_trials_go_where_they_may_save_most() -> None:
    assert chosen(Part(best_us=50), Part(best_us=50, calls=5), Part(best_us=50)) == 1
    assert chosen(Part(best_us=50, share=0.85), Part(best_us=50, share=0.4)) == 1


def test_a_program_that_finds_nothing_falls_behind() -> None:
    assert chosen(Part(best_us=50, calls=2, since_best=9), Part(best_us=50)) == 1
    once, twice = (saving_per_trial(Part(best_us=50, since_best=n), 50) for n in (0, 1))  # type: ignore[arg-type]
    assert twice == once / 2


def test_a_program_at_its_roofline_has_nothing_to_save() -> None:
    assert gain_us(Part(best_us=50, share=0.95), 50) == 0  # type: ignore[arg-type]
    assert gain_us(Part(best_us=50, share=None), 50) == pytest.approx(10)  # type: ignore[arg-type]


def test_what_could_save_next_to_nothing_is_settled() -> None:
    large, small, untried = Part(best_us=1e5, baseline_us=1e6), Part(best_us=20, share=0.5), Part(charged=0)
    settle([large, small, untried])  # type: ignore[list-item]
    assert [one.settled for one in (large, small, untried)] == [False, True, False]


def test_forms_that_promise_little_are_not_tried() -> None:
    plan = SimpleNamespace(of_model=True, form_of=(0, 0, 0, 3, 3, 5))
    limits = [400.0, 180.0, 100.0, 90.0, None, None]
    assert worth_trying(plan, limits) == [0, 2, 3, 4, 5]  # type: ignore[arg-type]
    assert worth_trying(SimpleNamespace(of_model=False), [1.0, 9.0]) == [0, 1]  # type: ignore[arg-type]


def at_limit(limit_us: float, part: Part) -> Part:
    """The part with a roofline at which a call takes so long."""
    part.ceiling = SimpleNamespace(share=lambda us: limit_us / us)
    return part


def test_a_form_that_cannot_catch_up_gets_one_batch() -> None:
    """And those whose rooflines are beyond the fastest get none."""
    direct = at_limit(40, Part(best_us=50, calls=2))
    slow, fast = at_limit(30, direct.form(best_us=90)), at_limit(10, direct.form(best_us=30, since_best=9))
    beyond, open_ = at_limit(35, direct.form(charged=0)), at_limit(20, direct.form(charged=0))
    parts = [direct, slow, fast, beyond, open_]
    settle(parts)  # type: ignore[arg-type]
    assert [one.settled for one in parts] == [True, True, False, True, False]


def test_the_most_promising_form_is_tried_first() -> None:
    direct = at_limit(40, Part(charged=0))
    forms = [at_limit(limit, direct.form()) for limit in (30, 10, 20)]
    assert chosen(direct, *forms) == 2


def test_a_model_takes_as_long_as_its_fastest_forms() -> None:
    """What could save next to nothing of the sum of these is settled."""
    direct = Part(best_us=1e5, baseline_us=1e6)
    fast, small = direct.form(best_us=100, share=0.9), Part(best_us=20, share=0.5)
    settle([direct, fast, small])  # type: ignore[list-item]
    assert not small.settled


def test_a_form_that_was_much_slower_when_it_was_tuned_is_left_out() -> None:
    direct = Part(known_us=100)
    parts = [
        direct,
        direct.form(known_us=60),
        direct.form(known_us=70),
        direct.form(known_us=math.inf),
        Part(known_us=900),
    ]
    leave_beaten(parts)  # type: ignore[arg-type]
    assert [one.beaten for one in parts] == [True, False, False, False, False]
    assert direct.begun == Begun()


def test_where_nothing_is_tried_forms_that_are_not_known_are_left_out() -> None:
    """Unless none of the program's forms is."""
    known, unknown = Part(known_us=100), Part()
    parts = [known, known.form(known_us=math.inf), unknown, unknown.form()]
    leave_beaten(parts, unknown=True)  # type: ignore[arg-type]
    assert [one.beaten for one in parts] == [False, True, False, False]


def test_programs_that_are_not_of_a_model_get_equally_many() -> None:
    assert chosen(Part(of_model=False, calls=9, charged=8), Part(of_model=False, charged=4)) == 1


def tuned(own_program: str, **options: Any) -> tuple[list[Any], list[Event]]:
    """A model of two programs, tuned on a simulated machine."""
    seen: list[Event] = []
    programs = [load_program(one) for one in (own_program, "gemv")]
    plan = checked_model("m", programs, [3, 1], TuneOptions(pool=["scout", "tuner"], use_records=False, **options))
    with measured_by(simulated()):
        return run(plan, [seen.append]), seen


def test_a_run_of_a_model(own_program: str) -> None:
    results, seen = tuned(own_program, trials=24)
    assert [result.number for result in results] == [0, 1]
    assert sum(result.receipt.trials.total for result in results) == 24
    assert events.OfModel((("1-layer", 3), ("2-gemv", 1))) in seen
    assert all(result.receipt.verdict == "undecided" for result in results if result.best is not None)


def test_a_program_of_a_model_that_tvm_makes_no_schedule_of_is_left_out(
    own_program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So are its other forms; a run of that program alone fails."""
    generated, refused = TvmSpace.generated, fingerprint(load_program("gemv").module)

    def generate(module: Any, *given: Any, **options: Any) -> TvmSpace:
        if fingerprint(module) == refused:
            raise InputError("TVM can make no schedule for this program")
        return generated(module, *given, **options)

    monkeypatch.setattr(TvmSpace, "generated", generate)
    programs = [load_program(one) for one in (own_program, "gemv", "gemv")]
    happened: list[Event] = []
    with measured_by(simulated()):
        results = run(checked_model("m", programs, [3, 1, 1], OPTIONS, form_of=[0, 1, 1]), [happened.append])
        assert [result.number for result in results] == [0]
        notes = [one.message for one in happened if isinstance(one, events.Noted)]
        assert "gemv is left as it is: TVM can make no schedule for this program" in notes
        with pytest.raises(InputError, match="no schedule"):
            run(checked("gemv", OPTIONS))


def test_programs_of_a_model_are_timed_in_the_model_and_not_in_turn_before(own_program: str) -> None:
    watched = Watched()
    plan = checked_model("m", [load_program(own_program)], [3], OPTIONS)
    with measured_by(watched):
        (result,) = run(plan)
    assert result.best is not None
    assert set(watched.calls) == {"verify"}
    assert result.best.latency_us == min(one.latency_us for one in (result.best, *result.runners_up))


@pytest.mark.parametrize("close", [1.01, 1e3])
def test_a_model_has_others_to_choose_from_than_winners(
    own_program: str, close: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Correct schedules that are nearly as fast, fastest first, and no winner among them."""
    monkeypatch.setattr("colt.run.finish.CLOSE", close)
    results, _ = tuned(own_program, trials=24)
    assert [bool(result.runners_up) for result in results] == [close > 2] * 2
    for result in results:
        assert result.best is not None
        modules = [result.module, *(one.module for one in result.runners_up)]
        assert len(set(map(fingerprint, modules))) == len(modules)
        latencies = [result.best.latency_us, *(one.latency_us for one in result.runners_up)]
        assert latencies[1:] == sorted(latencies[1:])
        assert latencies[-1] <= close * latencies[0]


@pytest.mark.parametrize("share", [0.2, 0.7, 1.0])
def test_a_run_of_a_model_that_broke_off_goes_on(own_program: str, tmp_path: Path, share: float) -> None:
    """To the very events of the unbroken one."""
    plan = checked_model("m", [load_program(one) for one in (own_program, "gemv")], [3, 1], OPTIONS)
    folder, broken = tmp_path / "whole", tmp_path / "broken"
    with measured_by(simulated()):
        whole = run(replace(plan, run_dir=folder))
    shutil.copytree(folder, broken)
    lines = (folder / "recording.jsonl").read_bytes().splitlines(keepends=True)
    (broken / "recording.jsonl").write_bytes(b"".join(lines[: 1 + int(share * (len(lines) - 1))]))
    with measured_by(simulated()):
        results = to_the_end(replace(plan, run_dir=broken))
    assert [one.receipt.trials for one in results] == [one.receipt.trials for one in whole]
    assert events_of(broken) == events_of(folder)


def test_a_run_of_another_model_does_not_go_on(own_program: str, tmp_path: Path) -> None:
    plan = checked_model("m", [load_program(one) for one in (own_program, "gemv")], [3, 1], OPTIONS)
    with measured_by(simulated()):
        run(replace(plan, run_dir=tmp_path / "run"))
    other = checked_model("m", [load_program("gemv")], [3], OPTIONS)
    with pytest.raises(InputError, match="another than was measured"):
        to_the_end(replace(other, run_dir=tmp_path / "run"))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"fresh": True}, "fresh was False, now it is True"),
        ({"seed": 5}, "seed was 0, now it is 5"),
        ({"config": {"exploration": 9.0}}, "exploration was [0-9.]+, now it is 9.0"),
        ({"pool": ["scout"]}, "the pool was another"),
    ],
)
def test_a_run_of_a_model_does_not_go_on_with_other_options(
    own_program: str, tmp_path: Path, given: dict[str, Any], named: str
) -> None:
    """The message names the option, not the event that comes otherwise."""
    programs = [load_program(one) for one in (own_program, "gemv")]
    with measured_by(simulated()):
        run(replace(checked_model("m", programs, [3, 1], OPTIONS), run_dir=tmp_path / "run"))
    before = (tmp_path / "run" / "recording.jsonl").read_bytes()
    other = checked_model("m", programs, [3, 1], replace(OPTIONS, **given))
    with pytest.raises(InputError, match=f"begun with other options: .*{named}"):
        to_the_end(replace(other, run_dir=tmp_path / "run"))
    assert (tmp_path / "run" / "recording.jsonl").read_bytes() == before


def test_a_run_of_a_model_may_be_given_another_budget(own_program: str, tmp_path: Path) -> None:
    """It has that which it began with: a layout that took long to compare leaves less."""
    programs = [load_program(one) for one in (own_program, "gemv")]
    with measured_by(simulated()):
        (whole, _) = run(replace(checked_model("m", programs, [3, 1], OPTIONS), run_dir=tmp_path / "run"))
        other = checked_model("m", programs, [3, 1], replace(OPTIONS, seconds=1000.0))
        (again, _) = to_the_end(replace(other, run_dir=tmp_path / "run"))
    assert again.receipt.trials == whole.receipt.trials


def test_resume_says_how_a_model_goes_on(own_program: str, tmp_path: Path) -> None:
    plan = checked_model("m", [load_program(one) for one in (own_program, "gemv")], [3, 1], OPTIONS)
    with measured_by(simulated()):
        run(replace(plan, run_dir=tmp_path / "run"))
    with pytest.raises(InputError, match="the same `colt compile` is given with --run again"):
        resume(tmp_path / "run")


def events_of(folder: Path) -> list[dict[str, Any]]:
    """All that happened, without times, and but for the going on itself."""
    records = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    times = ("t", "seconds_building", "seconds_timing")
    happened = [record for record in records if record["event"] not in ("wenton", "began")]
    return [{name: value for name, value in record.items() if name not in times} for record in happened]


def test_a_program_that_there_was_no_time_for_is_constructed(own_program: str) -> None:
    results, seen = tuned(own_program, trials=8)
    assert sorted(result.receipt.trials.total for result in results) == [CONSTRUCTED, 8]
    assert any(isinstance(event, events.Began) and event.phase.startswith("constructing schedules") for event in seen)
    assert all(result.best is not None for result in results)
