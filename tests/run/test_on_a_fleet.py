"""How a run goes about having several hosts: everything is real but the fleet, which is handed in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import colt
from colt import events
from colt.errors import ArgumentError, InputError
from colt.fleet.cluster import Cluster
from colt.knobs import EDITION
from colt.measure.base import Job, Limits, Measurement
from colt.measure.batches import trials_at_once
from colt.measure.muster import HostSeen, Muster, joined, left_by
from colt.measure.simulated import SimulatedMeasurer
from colt.options import UNNAMED, SearchConfig
from colt.plan import plan
from colt.run.finish import Result
from colt.run.loop import run
from colt.run.replay import read_plan
from colt.tvm.devices.fleet import FleetDevice
from colt.tvm.programs.program import fingerprint
from colt.world.answers import Mustered
from colt.world.recording import read_recording
from tests.helpers.command import refused
from tests.helpers.simulated_runs import measured_by

HOSTS = tuple(HostSeen(name, "cpu", 2, 500.0 + place) for place, name in enumerate("abcdef"))


class Mustering(SimulatedMeasurer):
    """Says that there are hosts, which take turns; notes what it is told to expect and asked to measure."""

    def __init__(self, hosts: int = 6, **options: Any) -> None:
        super().__init__(fingerprint, **options)
        self.seen = Muster()
        for host in HOSTS[:hosts]:
            self.seen = joined(self.seen, host)
        self.told: list[tuple[str, list[int]]] = []
        self.followed: Muster | None = None

    def expect(self, jobs: Iterable[Job], limits: Limits | None = None) -> None:
        self.told.append(("expect", [job.id for job in jobs]))

    def measure(
        self, jobs: Iterable[Job], best_us: float | None = None, limits: Limits | None = None
    ) -> Iterator[Measurement]:
        chosen = list(jobs)
        self.told.append(("measure", [job.id for job in chosen]))
        for done in super().measure(chosen, best_us, limits):
            yield replace(done, host=HOSTS[done.trial % len(self.seen.hosts)].name)

    def muster(self) -> Muster:
        return self.seen

    def follow(self, before: Muster) -> None:
        self.followed = before


def tuned(folder: Path, program: str, measurer: Mustering, trials: int = 40, **options: Any) -> Result:
    made = plan(program, trials=trials, pool=["scout", "tuner"], config=options.get("config"), run_dir=folder)
    device = FleetDevice.recorded("auto", "cpu", made.target, made.threads)
    made = replace(made, options=replace(made.options, fleet="auto", fleet_cpu="cpu"), device=Looking(made, device))
    with measured_by(measurer):
        (result,) = run(made, options.get("listeners", ()))
    return result


class Looking:
    """A fleet that looks at this machine instead."""

    def __init__(self, made: Any, fleet: FleetDevice) -> None:
        self._here, self._fleet = made.device, fleet

    def __getattr__(self, name: str) -> Any:
        return getattr(self._here if name == "look" else self._fleet, name)


def in_flight(told: list[tuple[str, list[int]]]) -> int:
    """The most trials that were begun and not measured."""
    most, open_ = 0, set[int]()
    for kind, trials in told:
        if kind == "expect":
            open_ |= set(trials)
        most = max(most, len(open_))
        if kind == "measure":
            open_ -= set(trials)
    return most


def test_the_next_batch_is_begun_before_the_present_one_is_measured(own_program: str, tmp_path: Path) -> None:
    measurer = Mustering()
    result = tuned(tmp_path / "run", own_program, measurer)
    batches = [(kind, trials) for kind, trials in measurer.told if trials != [-1]]
    measured = [trial for kind, trials in batches if kind == "measure" for trial in trials]
    expected = [trial for kind, trials in batches if kind == "expect" for trial in trials]
    assert sorted(measured) == sorted(expected) == list(range(40))
    assert len(measured) == 40
    assert in_flight(batches) == trials_at_once(6)
    assert result.receipt.trials.total == 40
    for number, (kind, trials) in enumerate(batches):
        if kind == "measure":
            before = {trial for earlier, begun in batches[:number] if earlier == "expect" for trial in begun}
            assert set(trials) < before or before == set(range(40))


def test_a_size_of_batches_that_was_said_is_kept_to(own_program: str, tmp_path: Path) -> None:
    """Though it is the usual one; a run of before that has the usual one was not told so."""
    usual = SearchConfig().batch_size
    measurer = Mustering()
    tuned(tmp_path / "run", own_program, measurer, config={"batch_size": usual})
    assert in_flight([(kind, trials) for kind, trials in measurer.told if trials != [-1]]) == usual
    assert colt.replay(tmp_path / "run").identical
    for named in ({"batch_size": usual}, {"batch_size": usual, "batch_growth": "off"}):
        assert SearchConfig.preset("paper", **named).batch_growth == "off"
    assert SearchConfig.preset("paper", batch_size=usual, batch_growth="auto").batch_growth == "auto"
    assert UNNAMED["batch_growth"] == SearchConfig().batch_growth == "auto"


def test_it_replays_with_the_hosts_that_it_had(own_program: str, tmp_path: Path) -> None:
    measurer = Mustering()

    def lose(event: events.Event) -> None:
        if isinstance(event, events.Timed) and event.trial == 9:
            measurer.seen = left_by(replace(measurer.seen, lost=1, again=2), "b", "it died")

    receipt = tuned(tmp_path / "run", own_program, measurer, listeners=[lose]).receipt
    lines = read_recording(tmp_path / "run" / "recording.jsonl").lines
    assert sum(isinstance(line.answer, Mustered) for line in lines) == 2, "at first, and when it had changed"
    found = receipt.fleet
    assert found is not None
    assert [host.left for host in found.hosts] == ["", "it died", "", "", "", ""]
    assert (found.lost, found.measured_again, found.base) == (1, 2, "a")
    assert sorted(trial for host in found.hosts for trial in host.trials) == list(range(40))
    assert colt.replay(tmp_path / "run").identical


def test_it_goes_on_with_the_reference_that_it_had(own_program: str, tmp_path: Path) -> None:
    tuned(tmp_path / "run", own_program, Mustering(), trials=16)
    measurer = Mustering(hosts=3)
    with measured_by(measurer):
        receipt = colt.resume(tmp_path / "run", trials=32).receipt
    assert measurer.followed is not None
    assert (measurer.followed.base, measurer.followed.base_us) == ("a", 500.0)
    measured = [trial for kind, trials in measurer.told if kind == "measure" for trial in trials]
    assert sorted(measured) == list(range(16, 32))
    assert receipt.trials.total == 32
    assert receipt.messages.count("going on with 3 hosts: a, b, c") == 1
    assert colt.replay(tmp_path / "run").identical


def test_what_was_begun_when_a_run_is_stopped_is_measured_when_it_goes_on(own_program: str, tmp_path: Path) -> None:
    class Stopping(Exception):
        pass

    def stop(event: events.Event) -> None:
        if isinstance(event, events.Timed) and event.trial == 17:
            raise Stopping

    with pytest.raises(Stopping):
        tuned(tmp_path / "run", own_program, Mustering(), listeners=[stop])
    with measured_by(Mustering()):
        receipt = colt.resume(tmp_path / "run").receipt
    assert receipt.trials.total == 40
    assert colt.replay(tmp_path / "run").identical


def test_what_was_begun_counts_against_fewer_trials(own_program: str, tmp_path: Path) -> None:
    """That is two batches: the second is begun with before the first is measured."""

    class Stopping(Exception):
        pass

    def stop(event: events.Event) -> None:
        if isinstance(event, events.Timed) and event.trial == 17:
            raise Stopping

    measurer = Mustering()
    with pytest.raises(Stopping):
        tuned(tmp_path / "run", own_program, measurer, listeners=[stop])
    begun = {trial for kind, trials in measurer.told for trial in trials if kind == "expect"}
    assert len(begun) > 20
    refusal = f"has measured 18 trials already and begun {len(begun) - 18} more; --trials takes {len(begun)} or more"
    with measured_by(Mustering()):
        with pytest.raises(InputError, match=refusal):
            colt.resume(tmp_path / "run", trials=len(begun) - 1)
        assert colt.resume(tmp_path / "run", trials=len(begun)).receipt.trials.total == len(begun)
    assert colt.replay(tmp_path / "run").identical


def test_one_host_has_the_batches_of_a_machine(own_program: str, tmp_path: Path) -> None:
    measurer = Mustering(hosts=1)
    tuned(tmp_path / "run", own_program, measurer, trials=16)
    assert [len(trials) for _, trials in measurer.told if trials != [-1]] == [8, 8]


class Deciding(Mustering):
    """Times in turn on its second host, and loses the third one then. ``breaks`` where the kernel is to be written."""

    def __init__(self, breaks: bool = False, **options: Any) -> None:
        super().__init__(hosts=3, **options)
        self._breaks = breaks
        self._remarks: list[str] = []

    def interleave(self, *given: Any, **named: Any) -> list[list[float]]:
        if not self.seen.decider:
            self.seen = left_by(replace(self.seen, decider="b", lost=1), "c", "it died")
            self._remarks.append("host c was lost: it died")
        return super().interleave(*given, **named)

    def export(self, *given: Any, **named: Any) -> None:
        if self._breaks:
            raise Broken
        super().export(*given, **named)

    def take_remarks(self) -> list[str]:
        found, self._remarks = self._remarks, []
        return found


class Broken(Exception):
    """The driver dies."""


def test_who_decided_is_known_after_a_run_broke_off(own_program: str, tmp_path: Path) -> None:
    with pytest.raises(Broken):
        tuned(tmp_path / "run", own_program, Deciding(breaks=True), trials=16)
    heard: list[events.Event] = []
    measurer = Mustering(hosts=2)
    with measured_by(measurer):
        found = colt.resume(tmp_path / "run", on_event=[heard.append]).receipt.fleet
    assert measurer.seen.decider == "", "nothing was timed in turn any more"
    assert found is not None
    assert found.decided_on == "b"
    assert heard.count(events.Noted("going on with 2 hosts: a, b")) == 1
    assert colt.replay(tmp_path / "run").identical


def test_who_leaves_at_the_end_is_told_of(own_program: str, tmp_path: Path) -> None:
    receipt = tuned(tmp_path / "run", own_program, Deciding(), trials=16).receipt
    assert receipt.messages.count("host c was lost: it died") == 1
    assert not any(message.startswith("going on with") for message in receipt.messages)
    assert colt.replay(tmp_path / "run").identical


def test_a_run_goes_on_with_another_cluster(own_program: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    tuned(folder, own_program, Mustering(), trials=8)
    here = read_plan(folder, EDITION)
    assert here.on_cluster(None) is here
    there = here.on_cluster("head:6379")
    assert (there.device.address, there.options.fleet) == ("Ray cluster at head:6379", "head:6379")
    assert replace(there, device=here.device, options=here.options) == here
    for command in ("resume", "finish"):
        assert "--fleet is 'nowhere'; it takes HOST:PORT" in refused(command, str(folder), "--fleet", "nowhere")
    with measured_by(Mustering()):
        assert colt.resume(folder, trials=12, fleet="head:6379").receipt.trials.total == 12
    assert colt.replay(folder).identical


def test_a_run_whose_cluster_is_gone_says_how_to_go_on_with_another(
    own_program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connected(address: str, cores: int) -> Cluster:
        raise ArgumentError("fleet", f"finds no Ray cluster at {address}")

    tuned(tmp_path / "run", own_program, Mustering(), trials=4)
    monkeypatch.setattr(Cluster, "connected", connected)
    message = refused("resume", str(tmp_path / "run"), "--trials", "8")
    assert "--fleet finds no Ray cluster at auto; `colt resume DIR --fleet ADDRESS` goes on with another" in message


def test_a_run_on_this_machine_goes_on_with_no_cluster(own_program: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with measured_by(SimulatedMeasurer(fingerprint)):
        colt.tune(own_program, trials=4, pool=["scout"], run_dir=folder)
    message = refused("resume", str(folder), "--trials", "8", "--fleet", "head:6379")
    assert "--fleet goes with runs on a fleet; this one measures on this machine" in message
