"""A measurer and a desk whose answers all come in through the door of a run (:mod:`colt.world.world`): from now, or
from then."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from colt.errors import ReplayError
from colt.measure.base import ExportError, Job, Limits, Measurement, Measurer, Noise, Verification
from colt.proposers.desk import Arrivals
from colt.tvm.programs.program import fingerprint
from colt.world.answers import ExportedAnswer, MeasuredAnswer, Remarks, Returned, TimedInTurn, Totals, VerifiedAnswer
from colt.world.world import World

if TYPE_CHECKING:
    from colt.proposers.language.chat_desk import ChatDesk
    from colt.proposers.language.completion import ChatRequest


class RecordableMeasurer(Measurer):
    """Asks the measurer that ``make`` makes; in a replay nothing is made, built or timed.

    Questions name programs by their fingerprints: a replay that would measure another one ends there.
    """

    def __init__(self, outside: World, make: Callable[[], Measurer]) -> None:
        self.seconds_building = 0.0
        self.seconds_timing = 0.0
        self.noise = Noise()
        self._outside = outside
        self._made = outside.live(make)

    def measure(
        self, jobs: Iterable[Job], best_us: float | None = None, limits: Limits | None = None
    ) -> Iterator[Measurement]:
        """See :meth:`Measurer.measure`."""
        if self._made is None:
            yield from (self._measured(job, None) for job in jobs)
            return
        begun: deque[Job] = deque()

        def handed_out() -> Iterator[Job]:
            for job in jobs:
                begun.append(job)
                yield job

        for result in self._made.measure(handed_out(), best_us, limits):
            yield self._measured(begun.popleft(), result)

    def _measured(self, job: Job, result: Measurement | None) -> Measurement:
        def answer() -> MeasuredAnswer:
            assert result is not None
            fields = asdict(result)
            del fields["job"]
            return MeasuredAnswer(**fields, totals=self._live_totals())

        found = self._outside.take(f"measure {job.id}: {fingerprint(job.module)}", MeasuredAnswer, answer)
        self._keep(found.totals)
        fields = msgspec.structs.asdict(found)
        del fields["totals"]
        return Measurement(job=job.id, **fields)

    def verify(self, reference: Any, candidate: Any, seed: int = 0, limits: Limits | None = None) -> Verification:
        """See :meth:`Measurer.verify`."""

        def answer() -> VerifiedAnswer:
            done = self._live.verify(reference, candidate, seed, limits)
            return VerifiedAnswer(
                ok=done.ok,
                max_abs_error=_finite(done.max_abs_error),
                max_rel_error=_finite(done.max_rel_error),
                tolerance=done.tolerance,
                message=done.message,
                totals=self._live_totals(),
            )

        asked = f"verify {fingerprint(candidate)} against {fingerprint(reference)} with seed {seed}"
        found = self._outside.take(asked, VerifiedAnswer, answer)
        self._keep(found.totals)
        return Verification(
            found.ok,
            math.inf if found.max_abs_error is None else found.max_abs_error,
            math.inf if found.max_rel_error is None else found.max_rel_error,
            found.tolerance,
            found.message,
        )

    def interleave(self, modules: Sequence[Any], rounds: int, limits: Limits | None = None) -> list[list[float]]:
        """See :meth:`Measurer.interleave`."""

        def answer() -> TimedInTurn:
            done = self._live.interleave(modules, rounds, limits)
            return TimedInTurn(latencies_us=tuple(map(tuple, done)), totals=self._live_totals())

        programs = ", ".join(fingerprint(module) for module in modules)
        found = self._outside.take(f"time in turn, {rounds} rounds: {programs}", TimedInTurn, answer)
        if len(found.latencies_us) != len(modules):
            raise ReplayError(f"{len(modules)} programs are timed in turn, recorded are {len(found.latencies_us)}")
        self._keep(found.totals)
        return [list(latencies) for latencies in found.latencies_us]

    def export(self, module: Any, path: Path, limits: Limits | None = None) -> None:
        """See :meth:`Measurer.export`; a replay writes nothing."""

        def answer() -> ExportedAnswer:
            error = None
            try:
                self._live.export(module, path, limits)
            except ExportError as refused:
                error = str(refused)
            return ExportedAnswer(error=error, totals=self._live_totals())

        found = self._outside.take(f"export {path.name}: {fingerprint(module)}", ExportedAnswer, answer)
        self._keep(found.totals)
        if found.error is not None:
            raise ExportError(found.error)

    def take_remarks(self) -> list[str]:
        """See :meth:`Measurer.take_remarks`."""

        def answer() -> Remarks:
            return Remarks(texts=tuple(self._live.take_remarks()))

        return list(self._outside.take("remarks", Remarks, answer, quiet=Remarks()).texts)

    def close(self) -> None:
        """See :meth:`Measurer.close`."""
        if self._made is not None:
            self._made.close()

    @property
    def _live(self) -> Measurer:
        assert self._made is not None, "a replay asks nobody"
        return self._made

    def _live_totals(self) -> Totals:
        live = self._live
        return Totals(
            building=live.seconds_building,
            timing=live.seconds_timing,
            probes=live.noise.probes,
            disturbed=live.noise.disturbed,
            worst_slowdown=live.noise.worst_slowdown,
            waiting=live.noise.seconds_waiting,
        )

    def _keep(self, totals: Totals) -> None:
        self.seconds_building, self.seconds_timing = totals.building, totals.timing
        self.noise = Noise(totals.probes, totals.disturbed, totals.worst_slowdown, totals.waiting)


class RecordableDesk:
    """Asks language models at the desk that ``make`` makes; in a replay nobody is asked. A :class:`Desk`.

    A replay whose prompts are other ones ends there, unless they are ``reworded``.
    """

    def __init__(self, outside: World, make: Callable[[], ChatDesk], most: int, reworded: bool = False) -> None:
        """``reworded``: an older version of COLT recorded these prompts, in other words."""
        self.most = most
        self._reworded = reworded
        self._outside = outside
        self._made = outside.live(make)
        self._out: Mapping[str, str] = {}
        self._prompts: dict[int, str] = {}
        """Of the calls under way, by ticket."""

    def send(self, ticket: int, model: str, request: ChatRequest) -> None:
        """See :meth:`Desk.send`."""
        self._prompts[ticket] = request.user
        if self._made is not None:
            self._made.send(ticket, model, request)

    def arrived(self, wait_s: float = 0.0) -> Arrivals:
        """See :meth:`Desk.arrived`; a replay does not wait."""
        return self._taken("calls", lambda: self._live.arrived(wait_s))

    def close(self) -> Arrivals:
        """What has come back by now; the rest is given up."""
        return self._taken("last calls", lambda: self._live.close())

    def _taken(self, asked: str, ask: Callable[[], Arrivals]) -> Arrivals:
        def answer() -> Returned:
            arrivals = ask()
            return Returned(calls=arrivals.calls, out=None if arrivals.out == self._out else dict(arrivals.out))

        found = self._outside.take(asked, Returned, answer, quiet=Returned())
        for call in found.calls:
            if self._prompts.pop(call.ticket, None) != call.prompt and not self._reworded:
                raise ReplayError(
                    f"{call.model} was not asked what it is recorded to have been, at ticket {call.ticket}"
                )
        if found.out is not None:
            self._out = found.out
        return Arrivals(found.calls, self._out)

    @property
    def _live(self) -> ChatDesk:
        assert self._made is not None, "a replay asks nobody"
        return self._made


def _finite(error: float) -> float | None:
    return error if math.isfinite(error) else None
