"""A measurer whose answers come through the door of a run (:mod:`colt.world.world`): live, or from a recording."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from colt.errors import MeasureError, ReplayError
from colt.measure.base import (
    ExportError,
    Inputs,
    Job,
    Limits,
    Measurement,
    Measurer,
    Noise,
    NoLinker,
    Pair,
    Verification,
)
from colt.measure.muster import Muster
from colt.world.answers import (
    Clock,
    ClockedAnswer,
    ExportedAnswer,
    MeasuredAnswer,
    Mustered,
    Remarks,
    TimedInTurn,
    Totals,
    VerifiedAnswer,
)
from colt.world.world import World

A = TypeVar("A", MeasuredAnswer, VerifiedAnswer, TimedInTurn, ClockedAnswer, ExportedAnswer)
_NOTHING = Totals(building=0.0, timing=0.0, probes=0, disturbed=0, worst_slowdown=1.0, waiting=0.0)


class RecordableMeasurer(Measurer):
    """Asks the measurer that ``make`` makes. A replay makes none, builds nothing and times nothing.

    Questions name programs by their ``fingerprint``, so that a replay that would measure another program ends there.
    """

    def __init__(
        self,
        world: World,
        make: Callable[[], Measurer],
        fingerprint: Callable[[Any], str],
        clock: Callable[[], Clock | None] = lambda: None,
        fleet: bool = False,
    ) -> None:
        """``clock`` says where the run's time has gone; answers are recorded with it. ``fleet``: several hosts measure,
        so that who they are is a question."""
        self.seconds_building = 0.0
        self.seconds_timing = 0.0
        self.noise = Noise()
        self._world = world
        self._made = world.live(make)
        self._fingerprint = fingerprint
        self._clock = clock
        self._fleet = fleet
        self._mustered: Mustered | None = None
        self._more_news: list[str] = []
        """What the next muster tells beside what hosts remark."""
        self._decider = ""
        """The host that timed programs in turn last."""
        self._recorded = _NOTHING
        """The accounts of the recorded part of a resumed run."""

    def measure(
        self, jobs: Iterable[Job], best_us: float | None = None, limits: Limits | None = None
    ) -> Iterator[Measurement]:
        """See :meth:`Measurer.measure`."""
        left = iter(jobs)
        while self._world.recorded and (job := next(left, None)) is not None:
            result = self._answered(job, None)
            best_us = min((us for us in (best_us, result.latency_us) if us is not None), default=None)
            yield result
        if self._made is None:
            return
        begun: deque[Job] = deque()

        def handed_out() -> Iterator[Job]:
            for job in left:
                begun.append(job)
                yield job

        for measured in self._made.measure(handed_out(), best_us, limits):
            yield self._answered(begun.popleft(), measured)

    def expect(self, jobs: Iterable[Job], limits: Limits | None = None) -> None:
        """See :meth:`Measurer.expect`. It is no question, and nothing is recorded of it."""
        if not self._world.recorded:
            self._live.expect(jobs, limits)

    def _answered(self, job: Job, result: Measurement | None) -> Measurement:
        def answer() -> MeasuredAnswer:
            assert result is not None
            fields = asdict(result)
            del fields["trial"]
            return MeasuredAnswer(**fields, totals=self._live_totals())

        program = job.fingerprint or self._fingerprint(job.module)
        found = self._taken(f"measure {job.id}: {program}", MeasuredAnswer, answer)
        fields = msgspec.structs.asdict(found)
        del fields["totals"]
        return Measurement(trial=job.id, **fields)

    def verify(
        self, reference: Any, candidate: Any, seed: int = 0, limits: Limits | None = None, given: Any = None
    ) -> Verification:
        """See :meth:`Measurer.verify`."""

        def answer() -> VerifiedAnswer:
            done = self._live.verify(reference, candidate, seed, limits, given)
            return VerifiedAnswer(
                ok=done.ok,
                max_abs_error=_finite(done.max_abs_error),
                max_rel_error=_finite(done.max_rel_error),
                tolerance=done.tolerance,
                message=done.message,
                totals=self._live_totals(),
                untuned_error=done.untuned_error,
            )

        programs = f"{self._fingerprint(candidate)} against {self._fingerprint(reference)}"
        found = self._taken(f"verify {programs} with seed {seed}", VerifiedAnswer, answer)
        return Verification(
            found.ok,
            math.inf if found.max_abs_error is None else found.max_abs_error,
            math.inf if found.max_rel_error is None else found.max_rel_error,
            found.tolerance,
            found.message,
            found.untuned_error,
        )

    def foresee(self, pairs: Iterable[Pair], limits: Limits | None = None) -> None:
        """See :meth:`Measurer.foresee`. It is no question, and nothing is recorded of it."""
        if not self._world.recorded:
            self._live.foresee(pairs, limits)

    def interleave(
        self, modules: Sequence[Any], rounds: int, limits: Limits | None = None, inputs: Inputs | None = None
    ) -> list[list[float]]:
        """See :meth:`Measurer.interleave`."""

        def answer() -> TimedInTurn:
            done = self._live.interleave(modules, rounds, limits, inputs)
            host = self._here.decider if self._fleet else ""
            return TimedInTurn(latencies_us=tuple(map(tuple, done)), totals=self._live_totals(), host=host)

        programs = ", ".join(self._fingerprint(module) for module in modules)
        found = self._taken(f"time in turn, {rounds} rounds: {programs}", TimedInTurn, answer)
        if len(found.latencies_us) != len(modules):
            raise ReplayError(f"{len(modules)} programs are timed in turn, recorded are {len(found.latencies_us)}")
        self._decider = found.host
        return [list(latencies) for latencies in found.latencies_us]

    def clock(self, module: Any, parts: int, inputs: Inputs, limits: Limits | None = None) -> list[float] | None:
        """See :meth:`Measurer.clock`."""

        def answer() -> ClockedAnswer:
            cycles, problem = None, ""
            try:
                cycles = self._live.clock(module, parts, inputs, limits)
            except MeasureError as refused:
                problem = str(refused)
            return ClockedAnswer(cycles=tuple(cycles or ()), problem=problem, totals=self._live_totals())

        found = self._taken(f"time the parts of {self._fingerprint(module)}", ClockedAnswer, answer)
        if found.problem:
            raise MeasureError(found.problem)
        if found.cycles and len(found.cycles) != parts:
            raise ReplayError(f"{parts} parts of a program are timed, recorded are {len(found.cycles)}")
        return [*found.cycles] or None

    def export(self, module: Any, path: Path, limits: Limits | None = None) -> None:
        """See :meth:`Measurer.export`. A replay writes nothing."""

        def answer() -> ExportedAnswer:
            error, failed = None, False
            try:
                self._live.export(module, path, limits)
            except ExportError as refused:
                error, failed = str(refused), not isinstance(refused, NoLinker)
            return ExportedAnswer(error=error, failed=failed, totals=self._live_totals())

        found = self._taken(f"export {path.name}: {self._fingerprint(module)}", ExportedAnswer, answer)
        if found.error is not None:
            raise (ExportError if found.failed else NoLinker)(found.error)

    def take_remarks(self) -> list[str]:
        """See :meth:`Measurer.take_remarks`."""

        def answer() -> Remarks:
            return Remarks(texts=tuple(self._live.take_remarks()))

        return list(self._world.take("remarks", Remarks, answer, quiet=Remarks()).texts)

    def muster(self) -> Muster | None:
        """See :meth:`Measurer.muster`. It is no question where there is no fleet. :attr:`news` come with the answer."""
        if not self._fleet:
            return None

        def answer() -> Mustered:
            here = self._here
            more, self._more_news = self._more_news, []
            return Mustered(
                muster=replace(here, decider=here.decider or self._decider), news=(*more, *self._live.take_remarks())
            )

        recorded, before = self._world.recorded, self._mustered
        quiet = None if before is None else Mustered(muster=before.muster)
        self._mustered = self._world.take("fleet", Mustered, answer, quiet=quiet)
        if recorded and self._made is not None:
            self._made.follow(self._mustered.muster)
        return self._mustered.muster

    @property
    def news(self) -> tuple[str, ...]:
        """What the last :meth:`muster` has told beside who measures: of hosts that have gone, for instance."""
        return () if self._mustered is None else self._mustered.news

    def add_news(self, text: str) -> None:
        """Have the next :meth:`muster` tell that, so that it is recorded."""
        self._more_news.append(text)

    @property
    def hosts_here(self) -> tuple[str, ...]:
        """The names of hosts that measure for this process right now. It is no question."""
        return () if self._made is None else tuple(host.name for host in self._here.measuring)

    def close(self) -> None:
        """See :meth:`Measurer.close`."""
        if self._made is not None:
            self._made.close()

    @property
    def _here(self) -> Muster:
        return self._live.muster() or Muster()

    @property
    def _live(self) -> Measurer:
        assert self._made is not None, "a replay asks nobody"
        return self._made

    def _live_totals(self) -> Totals:
        """The accounts so far, those of a recorded part included."""
        live, before = self._live, self._recorded
        return Totals(
            building=before.building + live.seconds_building,
            timing=before.timing + live.seconds_timing,
            probes=before.probes + live.noise.probes,
            disturbed=before.disturbed + live.noise.disturbed,
            worst_slowdown=max(before.worst_slowdown, live.noise.worst_slowdown),
            waiting=before.waiting + live.noise.seconds_waiting,
            clock=self._clock(),
        )

    def _taken(self, asked: str, kind: type[A], ask: Callable[[], A]) -> A:
        """Take an answer and keep the accounts that come with it."""
        recorded = self._world.recorded
        found = self._world.take(asked, kind, ask)
        totals = found.totals
        if recorded:
            self._recorded = totals
        self.seconds_building, self.seconds_timing = totals.building, totals.timing
        self.noise = Noise(totals.probes, totals.disturbed, totals.worst_slowdown, totals.waiting)
        return found


def _finite(error: float) -> float | None:
    return error if math.isfinite(error) else None
