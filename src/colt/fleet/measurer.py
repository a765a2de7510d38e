"""The measurer whose workers are the hosts of a fleet.

Candidates go to whichever host is free, and come back in order. Latencies are told in the microseconds of the first
host, by the reference kernel that every host times beside its candidates. What decides, verifying aside, is timed on
one host: the first that is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from colt.errors import MeasureError
from colt.fleet.host import INTERLEAVE, MEASURE, VERIFY
from colt.fleet.roster import MOST_WORKERS
from colt.fleet.session import Session
from colt.fleet.share import Blamed, HostTold, Share
from colt.fleet.wire import HostFailed, HostMeasured, HostTimed, HostVerified, Item
from colt.measure.base import Fate, Inputs, IRModule, Job, Limits, Measurement, Measurer, Noise, Pair, Verification
from colt.measure.muster import HostSeen, Muster


@dataclass(slots=True)
class _Call:
    """The best latency that is known where candidates are measured."""

    best_us: float = math.inf


class FleetMeasurer(Measurer):
    """Measures on the hosts of a session, which is closed with it.

    Parameters
    ----------
    session
        Hosts that are equipped.
    limits
        Those of calls that state none.
    fingerprint
        Tells programs apart.
    here
        Makes the measurer that writes libraries: they are built on this machine, and none of a host's is loaded here.
    """

    def __init__(
        self, session: Session, limits: Limits, fingerprint: Callable[[IRModule], str], here: Callable[[], Measurer]
    ) -> None:
        self.seconds_building = 0.0
        self.seconds_timing = 0.0
        self.noise = Noise()
        self._session = session
        self._limits = limits
        self._fingerprint = fingerprint
        self._make_here = here
        self._here: Measurer | None = None
        self._remarks: dict[str, bool] = {}
        self._share: Share | None = None
        self._call = _Call()
        self._expected: dict[tuple[int, str | None], int] = {}
        """The numbers of jobs in the share that were not asked for yet."""
        self._foreseen: dict[tuple[Any, ...], Verification | MeasureError] = {}

    # ---- candidates ----

    def expect(self, jobs: Iterable[Job], limits: Limits | None = None) -> None:
        """See :meth:`Measurer.expect`; the hosts begin with them as soon as they are free."""
        share = self._candidates(limits or self._limits)
        for job in jobs:
            self._expected[job.id, job.fingerprint] = share.add((job, self._call))
        share.close()
        self._session.wake()

    def measure(
        self, jobs: Iterable[Job], best_us: float | None = None, limits: Limits | None = None
    ) -> Iterator[Measurement]:
        """See :meth:`Measurer.measure`."""
        share = self._candidates(limits or self._limits)
        self._call = call = _Call(math.inf if best_us is None else best_us)
        begun: list[tuple[Job, int]] = []
        told = 0
        try:
            for job in jobs:
                begun.append((job, self._begin(share, job, call)))
                self._session.wake()
            share.close()
            self._session.wake()
            for job, number in begun:
                result = self._measured(job, share.answer(number))
                if result.latency_us is not None:
                    call.best_us = min(call.best_us, result.latency_us)
                told += 1
                yield result
        finally:
            if told < len(begun):  # nobody waits for the others
                share.give_up()
                self._session.wake()

    def _candidates(self, limits: Limits) -> Share:
        """The share of candidates that are measured within such limits; hosts go on with it beside others."""
        if self._share is None or self._share.given_up or self._share.limits != limits:
            if self._share is not None:
                self._share.give_up()
            self._expected.clear()
            self._share = Share(MEASURE, limits, self._arguments, self._is_measured, runs=limits.ahead * MOST_WORKERS)
            self._session.share(self._share)
        return self._share

    def _begin(self, share: Share, job: Job, call: _Call) -> int:
        """The number of a job in the share, which it may have already."""
        number = self._expected.pop((job.id, job.fingerprint), None)
        return share.add((job, call)) if number is None else number

    def _arguments(self, host: HostSeen, items: Sequence[Any]) -> tuple[Any, ...]:
        """What a host is asked with; the best latency known is as that host would feel it."""
        best_us = max(call.best_us for _, call in items)
        felt = None if math.isinf(best_us) else self._session.reference.felt(best_us, host.reference_us)
        return ([job for job, _ in items], felt, self._share.limits if self._share is not None else self._limits)

    def _is_measured(self, item: Item) -> bool:
        if not isinstance(item, HostMeasured):
            return False
        latencies_us = item.runs_us if item.latency_us is None else (item.latency_us, *item.runs_us)
        return self._session.reference.is_credible(latencies_us, item.reference_us)

    def _measured(self, job: Job, answer: HostTold | Blamed) -> Measurement:
        if isinstance(answer, Blamed):
            return Measurement(job.id, Fate.CRASH, message=answer.why)
        self._account(answer, self._hosts)
        if not isinstance(answer.item, HostMeasured):
            raise _failure(answer)
        done = answer.item.measurement(job.id)
        return replace(self._session.reference.of(done), host=answer.host.name)

    # ---- programs ----

    def verify(
        self,
        reference: IRModule,
        candidate: IRModule,
        seed: int = 0,
        limits: Limits | None = None,
        given: Any = None,
    ) -> Verification:
        """See :meth:`Measurer.verify`; on any host."""
        pair = Pair(reference, candidate, seed, given)
        found = self._foreseen.pop(self._key(pair), None)
        if found is None:
            (found,) = self._verified([pair], limits or self._limits)
        if isinstance(found, MeasureError):
            raise found
        return found

    def foresee(self, pairs: Iterable[Pair], limits: Limits | None = None) -> None:
        """See :meth:`Measurer.foresee`; all hosts compare at the same time."""
        new = {key: pair for pair in pairs if (key := self._key(pair)) not in self._foreseen}
        self._foreseen |= zip(new, self._verified(list(new.values()), limits or self._limits), strict=True)

    def _verified(self, pairs: Sequence[Pair], limits: Limits) -> list[Verification | MeasureError]:
        def arguments(host: HostSeen, items: Sequence[Any]) -> tuple[Any, ...]:
            (pair,) = items
            return (pair.reference, pair.candidate, pair.seed, limits, pair.given)

        def answered(item: Item) -> bool:
            return isinstance(item, HostVerified)

        share = Share(VERIFY, limits, arguments, answered)
        with self._sharing(share):
            for pair in pairs:
                share.add(pair)
            share.close()
            self._session.wake()
            return [self._verification(share.answer(number)) for number in range(len(pairs))]

    def _verification(self, answer: HostTold | Blamed) -> Verification | MeasureError:
        if isinstance(answer, Blamed):
            return Verification(False, math.inf, math.inf, 0.0, answer.why)
        self._account(answer, self._hosts)
        if isinstance(answer.item, HostVerified):
            return answer.item.verification()
        return _failure(answer)

    def interleave(
        self, modules: Sequence[IRModule], rounds: int, limits: Limits | None = None, inputs: Inputs | None = None
    ) -> list[list[float]]:
        """See :meth:`Measurer.interleave`; all of it on one host, or again on another if that is lost."""
        limits = limits or self._limits

        def arguments(host: HostSeen, items: Sequence[Any]) -> tuple[Any, ...]:
            return (list(modules), rounds, limits, inputs)

        def answered(item: Item) -> bool:
            return (
                isinstance(item, HostTimed)
                and [len(series) for series in item.latencies_us] == [rounds] * len(modules)
                and self._session.reference.is_credible(chain(*item.latencies_us), item.reference_us)
            )

        share = Share(INTERLEAVE, limits, arguments, answered, runs=rounds * len(modules), alone=True)
        with self._sharing(share):
            share.add(None)
            share.close()
            self._session.wake()
            answer = share.answer(0)
        if isinstance(answer, Blamed):
            raise MeasureError(f"timing in turn failed: {answer.why}")
        self._account(answer, 1)
        if not isinstance(answer.item, HostTimed):
            raise _failure(answer)
        self._session.decided_by(answer.host.name)
        reference, beside_us = self._session.reference, answer.item.reference_us or answer.host.reference_us
        return [[reference.told(us, beside_us) for us in series] for series in answer.item.latencies_us]

    def export(self, module: IRModule, path: Path, limits: Limits | None = None) -> None:
        """See :meth:`Measurer.export`; built on this machine."""
        if self._here is None:
            self._here = self._make_here()
        self._here.export(module, path, limits)

    # ---- the fleet ----

    def muster(self) -> Muster:
        """See :meth:`Measurer.muster`."""
        return self._session.muster

    def follow(self, before: Muster) -> None:
        """See :meth:`Measurer.follow`."""
        self._session.follow(before)

    def take_remarks(self) -> list[str]:
        """See :meth:`Measurer.take_remarks`; they are about hosts that come and go, and what these remark."""
        for remark in self._session.take_remarks():
            self._remarks[remark] = False
        new = [remark for remark, told in self._remarks.items() if not told]
        self._remarks.update(dict.fromkeys(new, True))
        return new

    def close(self) -> None:
        """See :meth:`Measurer.close`."""
        self._session.close()
        if self._here is not None:
            self._here.close()

    @property
    def _hosts(self) -> int:
        return max(1, len(self._session.muster.measuring))

    def _sharing(self, share: Share) -> _Sharing:
        return _Sharing(self._session, share)

    def _key(self, pair: Pair) -> tuple[Any, ...]:
        return self._fingerprint(pair.reference), self._fingerprint(pair.candidate), pair.seed, id(pair.given)

    def _account(self, answer: HostTold, hosts: int) -> None:
        """Keep the accounts: wall time, of which each of the ``hosts`` at work has its part."""
        self.seconds_building += answer.spent.building / hosts
        self.seconds_timing += answer.spent.timing / hosts
        self.noise = Noise.together([self.noise, answer.spent.noise])
        for remark in answer.item.remarks:
            self._remarks.setdefault(f"{answer.host.name}: {remark}", False)


class _Sharing:
    """While within, the hosts do what a share holds."""

    def __init__(self, session: Session, share: Share) -> None:
        self._session = session
        self._share = share

    def __enter__(self) -> None:
        self._session.share(self._share)

    def __exit__(self, *error: object) -> None:
        self._share.give_up()
        self._session.wake()


def _failure(answer: HostTold) -> MeasureError:
    """What a host could not do, by no fault of its own."""
    assert isinstance(answer.item, HostFailed)
    return MeasureError(answer.item.message)
