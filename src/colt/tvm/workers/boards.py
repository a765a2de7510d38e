"""Boards of one key, several at a time: candidates are built here, and each is timed on whichever board is free.

Boards are leased, by any who ask; which ones there are may change at any time. So a seat (:mod:`colt.measure.seats`)
stands for a lease, not for a board: it asks the tracker for one that is free, times the reference kernel there, and
serves until the board is lost. What it was at is then timed on another. Latencies are told for the board that came
first (:mod:`colt.measure.relative`). Programs that are compared with each other, or timed in turn, are so on one board.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from tvm import IRModule
from tvm.target import Target

from colt.measure.base import (
    Build,
    Fate,
    Inputs,
    Job,
    Limits,
    Measurement,
    Measurer,
    Noise,
    Pace,
    Pair,
    Verification,
)
from colt.measure.muster import HostSeen, Muster, joined, left_by, resumed
from colt.measure.relative import Reference
from colt.measure.seats import SeatLost, Seats, WorkBroke
from colt.tvm.devices.host import available_cores
from colt.tvm.workers.board import Board
from colt.tvm.workers.drawings import Drawings
from colt.tvm.workers.local import MAX_WORKERS, LocalMeasurer
from colt.tvm.workers.messages import Away
from colt.util.interrupt import ENDLESS_S

_USUAL = Pace()
R = TypeVar("R")


class _Lease:
    """Implements :class:`~colt.measure.seats.Seat`: a board at a time, whichever the tracker lends."""

    def __init__(self, measurer: LocalMeasurer, admit: Callable[[str, float], None]) -> None:
        """``admit`` is told of each board that joins, with what the reference kernel takes there; it may raise
        :class:`SeatLost`."""
        self.measurer = measurer
        self._admit = admit

    def join(self) -> None:
        self._admit(*self.measurer.gauge())

    def interrupt(self) -> None:
        self.measurer.interrupt()

    def leave(self) -> None:
        self.measurer.interrupt(for_good=True)

    @property
    def beside_us(self) -> float:
        """What the reference kernel took there last."""
        assert self.measurer.reference_us is not None, "a seat that has joined has looked"
        return self.measurer.reference_us


@dataclass(slots=True)
class _Best:
    """The best latency known, of the first board."""

    us: float | None

    def learn(self, us: float | None) -> None:
        """Take in a latency."""
        if us is not None:
            self.us = us if self.us is None else min(self.us, us)


class BoardsMeasurer(Measurer):
    """Measures on up to ``boards`` boards of one key at the same time.

    Workers on this machine build, one per core and at most 8; one more for each board talks to it. Building goes on
    while kernels are timed, which it does not disturb. Results come in the order of the jobs. The times of building and
    timing are those of all workers and boards together. For one thread at a time.
    """

    def __init__(
        self,
        target: Target,
        threads: int,
        limits: Limits | None = None,
        *,
        board: Board,
        boards: int = 1,
        builders: int | None = None,
        pace: Pace = _USUAL,
    ) -> None:
        self.seconds_building = 0.0
        self.seconds_timing = 0.0
        self.noise = Noise()
        self._limits = limits or Limits()
        self._target = target
        self._threads = threads
        self._lock = Lock()
        """Held by whoever changes one of the following."""
        self._muster = Muster()
        self._remarks: dict[str, bool] = {}
        """What there is to remark, and whether it was taken."""
        self._folder = tempfile.TemporaryDirectory(prefix="colt-kernels-")
        self._count = builders or min(available_cores(), MAX_WORKERS)
        away = Away(board, self._folder.name, self._limits.kernels * (self._count + boards))
        self._drawings = Drawings()
        make = partial(LocalMeasurer, target, threads, self._limits, away=away, drawings=self._drawings, pace=pace)
        self._builder = make(workers=self._count)
        self._building = ThreadPoolExecutor(1, thread_name_prefix="colt-boards")
        self._leases = [_Lease(make(workers=1), self._admit) for _ in range(boards)]
        self._parts = [self._builder, *(lease.measurer for lease in self._leases)]
        self._seats: Seats[_Lease] = Seats(self._leases, self._tell_loss)
        self._best = _Best(None)
        self._expected: dict[tuple[int, str | None], Future[Measurement]] = {}
        self._builds: list[Future[None]] = []
        """What the builder has been asked for, and may be at."""

    # ---- boards ----

    @property
    def _first(self) -> Reference:
        """What is known of the board in whose microseconds latencies are told."""
        assert self._muster.base, "no work is done before a board has joined"
        return Reference(self._muster.base, self._muster.base_us)

    def muster(self) -> Muster:
        """See :meth:`Measurer.muster`."""
        with self._lock:
            return self._muster

    def follow(self, before: Muster) -> None:
        """See :meth:`Measurer.follow`."""
        with self._lock:
            self._muster = resumed(before, self._muster)

    def _admit(self, host: str, reference_us: float) -> None:
        """Take a board in. Raises :class:`SeatLost` for one of another kind than the first, or that is as slow now."""
        with self._lock:
            why = self._first.why_unlike(host, reference_us) if self._muster.base else None
            if why is not None:
                refused = {**dict(self._muster.refused), host: why}
                self._muster = replace(self._muster, refused=tuple(refused.items()))
                raise SeatLost(why)
            known = {each.name for each in self._muster.hosts}
            cpu = str(self._target.attrs.get("mcpu") or self._target.kind.name)
            self._muster = joined(self._muster, HostSeen(host, cpu, self._threads, reference_us))
            if host not in known:
                times = f"{reference_us / self._first.us:.2f} times as long as that of {self._first.host}"
                also = "" if host == self._first.host else f" too: its reference kernel takes {times}"
                self._remark(f"board {host} measures{also}")

    def _require_joined(self, host: str) -> None:
        """A lease ends after a while, and the next may be of another board, which has to join first."""
        with self._lock:
            if host not in {each.name for each in self._muster.measuring}:
                raise SeatLost(f"the lease is of {host} now, which has not joined yet")

    def _tell_loss(self, lease: _Lease, error: SeatLost, was_there: bool) -> None:
        with self._lock:
            what = "a board is missing"
            if was_there:
                gone = replace(self._muster, lost=self._muster.lost + 1)
                self._muster = left_by(gone, lease.measurer.host, str(error))
                what = f"board {lease.measurer.host} is lost (loss {gone.lost})"
            self._remark(f"{what}: {error}")

    def _remark(self, remark: str) -> None:
        if len(self._leases) > 1 or len(self._muster.hosts) > 1:
            self._remarks.setdefault(remark, False)

    def _on_board(self, work: Callable[[_Lease], R]) -> R:
        """Have it done on one of the boards."""
        done = self._seats.ask(work, first=True)
        try:
            return done.result(ENDLESS_S)
        except BaseException:
            if not done.done():
                self._seats.forget(interrupt=True)
            raise
        finally:
            self._account()

    def _account(self) -> None:
        self.seconds_building = sum(part.seconds_building for part in self._parts)
        self.seconds_timing = sum(part.seconds_timing for part in self._parts)
        self.noise = Noise.together(part.noise for part in self._parts)

    # ---- candidates ----

    def expect(self, jobs: Iterable[Job], limits: Limits | None = None) -> None:
        """See :meth:`Measurer.expect`; boards begin with them as soon as they are free."""
        waiting = list(jobs)
        for job, one in zip(waiting, self._begin(waiting, limits or self._limits), strict=True):
            self._expected[job.id, job.fingerprint] = one

    def measure(
        self, jobs: Iterable[Job], best_us: float | None = None, limits: Limits | None = None
    ) -> Iterator[Measurement]:
        """See :meth:`Measurer.measure`; up to ``limits.ahead`` jobs for each board are on their way at a time."""
        limits, left = limits or self._limits, iter(jobs)
        self._best = _Best(best_us)
        most = limits.ahead * max(len(self._leases), self._count)
        while chunk := list(islice(left, most)):
            begun = [self._expected.pop((job.id, job.fingerprint), None) for job in chunk]
            new = iter(self._begin([job for job, one in zip(chunk, begun, strict=True) if one is None], limits))
            yield from self._in_order([one or next(new) for one in begun])

    def _in_order(self, coming: Sequence[Future[Measurement]]) -> Iterator[Measurement]:
        try:
            for one in coming:
                result = one.result(ENDLESS_S)
                self._account()
                yield result
        except BaseException as error:  # nobody wants the others
            self._give_up(coming, interrupt=not isinstance(error, Exception | GeneratorExit))
            raise

    def _give_up(self, coming: Sequence[Future[Measurement]], interrupt: bool) -> None:
        """Leave undone what was begun with, and return when nobody is at it."""
        for one in (*coming, *self._expected.values()):
            one.cancel()
        self._expected.clear()
        if interrupt:
            self._builder.interrupt()
        wait(self._builds)
        self._seats.forget(interrupt)
        self._account()

    def _begin(self, jobs: Sequence[Job], limits: Limits) -> list[Future[Measurement]]:
        """Have the jobs built, and timed after that."""
        for inputs in {id(job.inputs): job.inputs for job in jobs}.values():
            if inputs is not None:
                self._on_board(partial(_settle, inputs=inputs, limits=limits))
        coming: list[Future[Measurement]] = [Future() for _ in jobs]
        self._builds = [one for one in self._builds if not one.done()]
        if jobs:
            self._builds.append(self._building.submit(self._build, jobs, coming, limits))
        return coming

    def _build(self, jobs: Sequence[Job], coming: Sequence[Future[Measurement]], limits: Limits) -> None:
        """Build the jobs, and hand each over to the boards as soon as it is built; in a thread."""

        def built(build: Build) -> None:
            job, one = jobs[build.job], coming[build.job]
            if build.fate is Fate.OK:
                self._hand_over(job, build, one, limits)
            else:
                _conclude(one, _failed(job, build, build.fate, build.message))

        numbered = [replace(job, id=number) for number, job in enumerate(jobs)]
        try:
            for start in range(0, len(jobs), 2 * self._count):
                if not coming[-1].cancelled():
                    self._builder.build(numbered[start : start + 2 * self._count], limits, built)
        except BaseException as error:  # noqa: BLE001  it is raised where results are awaited
            for one in coming:
                _conclude(one, error)

    def _hand_over(self, job: Job, build: Build, one: Future[Measurement], limits: Limits) -> None:
        tries = count()

        def timed(lease: _Lease) -> Measurement:
            if next(tries):
                with self._lock:
                    self._muster = replace(self._muster, again=self._muster.again + 1)
            return self._time(lease, job, build, limits)

        def finished(piece: Future[Measurement]) -> None:
            error = None if piece.cancelled() else piece.exception()
            if isinstance(error, WorkBroke):
                _conclude(one, _failed(job, build, Fate.CRASH, f"boards were lost while it ran: {error}"))
            elif not piece.cancelled():
                _conclude(one, error or piece.result())

        self._seats.ask(timed).add_done_callback(finished)

    def _time(self, lease: _Lease, job: Job, build: Build, limits: Limits) -> Measurement:
        best = self._best
        best_us = None if best.us is None else self._first.felt(best.us, lease.beside_us)
        measured = lease.measurer.time(job, build, best_us, limits)
        self._require_joined(lease.measurer.host)
        measured = replace(self._first.of(measured), host=lease.measurer.host)
        best.learn(measured.latency_us)
        return measured

    # ---- programs ----

    def verify(
        self,
        reference: IRModule,
        candidate: IRModule,
        seed: int = 0,
        limits: Limits | None = None,
        given: Any = None,
    ) -> Verification:
        """See :meth:`Measurer.verify`; both run on the same board."""
        return self._on_board(lambda lease: lease.measurer.verify(reference, candidate, seed, limits, given))

    def foresee(self, pairs: Iterable[Pair], limits: Limits | None = None) -> None:
        """See :meth:`Measurer.foresee`; nothing is done ahead."""

    def interleave(
        self, modules: Sequence[IRModule], rounds: int, limits: Limits | None = None, inputs: Inputs | None = None
    ) -> list[list[float]]:
        """See :meth:`Measurer.interleave`; all on the same board, in latencies of the first."""

        def in_turn(lease: _Lease) -> list[list[float]]:
            latencies = lease.measurer.interleave(modules, rounds, limits, inputs)
            with self._lock:
                self._muster = replace(self._muster, decider=lease.measurer.host)
            return [[self._first.told(us, lease.beside_us) for us in of_module] for of_module in latencies]

        return self._on_board(in_turn)

    def export(self, module: IRModule, path: Path, limits: Limits | None = None) -> None:
        """See :meth:`Measurer.export`."""
        self._building.submit(self._builder.export, module, path, limits).result(ENDLESS_S)
        self._account()

    def take_remarks(self) -> list[str]:
        """See :meth:`Measurer.take_remarks`; they are about the boards."""
        with self._lock:
            new = [remark for remark, taken in self._remarks.items() if not taken]
            self._remarks.update(dict.fromkeys(new, True))
        of_leases = [remark for lease in self._leases for remark in lease.measurer.take_remarks()]
        return new + list(dict.fromkeys(of_leases))

    def close(self) -> None:
        """End workers and leases at once. May be repeated."""
        self._seats.close()
        self._builder.interrupt(for_good=True)
        self._building.shutdown()
        for part in self._parts:
            part.close()
        self._folder.cleanup()


def _settle(lease: _Lease, inputs: Inputs, limits: Limits) -> None:
    lease.measurer.settle(inputs, limits)


def _failed(job: Job, build: Build, fate: Fate, message: str) -> Measurement:
    return Measurement(
        trial=job.id,
        fate=fate,
        message=message,
        seconds_building=build.seconds,
        predicted_build_seconds=build.predicted_seconds,
    )


def _conclude(one: Future[Measurement], outcome: Measurement | BaseException) -> None:
    """Say how it ended, unless nobody wants to know any more."""
    with suppress(InvalidStateError):
        if isinstance(outcome, BaseException):
            one.set_exception(outcome)
        else:
            one.set_result(outcome)
