"""The actor of a host: the one process that measures there, for one run at a time.

It holds the host's lock from before anything is timed until it ends, however it ends. Its methods return at once or
within seconds, so that silence tells the driver that the host is gone: a request is served by a thread of its own, and
what comes of it is taken away bit by bit.
"""

from __future__ import annotations

import math
import os
import pickle
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cached_property
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from colt.errors import MeasureError
from colt.fleet.wire import (
    HostAccounts,
    HostBuilt,
    HostDone,
    HostFailed,
    HostHardware,
    HostHeld,
    HostMeasured,
    HostReady,
    HostReport,
    HostTimed,
    HostVerified,
    Item,
    cut,
    encode,
)
from colt.machine import Hardware, detect
from colt.measure.base import Limits, Measurer, Pace
from colt.util.lock import Busy, HostLock
from colt.util.text import why

_MOST_TAKEN = 256
"""Messages in one answer."""


class Side(Protocol):
    """What a host does: a value that is made in the driver, pickled, and used on the host."""

    def report(self) -> HostReport:
        """What the host is."""
        ...

    def hardware(self, target: str, threads: int) -> tuple[Hardware, tuple[str, ...]]:
        """The host with its peaks, and notes. Raises :class:`MeasureError`."""
        ...

    def measurer(self, target: str, threads: int, limits: Limits, pace: Pace) -> Measurer:
        """Whoever measures there."""
        ...

    def references_us(self, measurer: Measurer) -> Sequence[float]:
        """What the reference kernel takes there, several times over."""
        ...


def cpu_here() -> str:
    """The processor of this machine."""
    return detect().cpu


class HostActor:
    """The process of a host. Ray calls one method at a time."""

    def __init__(self, name: str, side: bytes) -> None:
        with suppress(PermissionError):  # Ray's processes give way to others; what is timed must not
            os.setpriority(os.PRIO_PROCESS, 0, 0)
        self._name = name
        self._pickled = side
        self._lock: HostLock | None = None
        self._measurer: Measurer | None = None
        self._requests: SimpleQueue[tuple[int, bytes]] = SimpleQueue()
        self._messages: SimpleQueue[bytes] = SimpleQueue()
        self._libraries: dict[int, dict[int, bytes]] = {}
        """What others have built, by request and item."""
        self._linked: dict[tuple[int, int], bytes] = {}
        """What was built here for others, by request and item."""
        self._dropped = -1
        """The last request that nobody waits for."""

    @cached_property
    def _side(self) -> Side:
        """What the host does. To load it takes longer than to start the process."""
        side: Side = pickle.loads(self._pickled)
        return side

    def started(self) -> None:
        """Nothing: that this answers says that the process has started."""

    def report(self) -> bytes:
        """What the host is: :class:`HostReport`."""
        return encode(self._side.report())

    def hold(self) -> bytes:
        """Take the host's lock if nobody has it: :class:`HostHeld`."""
        if self._lock is None:
            try:
                self._lock = HostLock(self._name, alone=True)
            except Busy as busy:
                return encode(HostHeld(by=cut(str(busy))))
        return encode(HostHeld())

    def hardware(self, target: str, threads: int) -> bytes:
        """The host with its peaks: :class:`HostHardware`. It has to be held."""
        hardware, notes = self._side.hardware(target, threads)
        return encode(HostHardware(hardware=hardware, notes=tuple(map(cut, notes))))

    def equip(self, target: str, threads: int, settings: bytes) -> bytes:
        """Start the workers, and time the reference kernel: :class:`HostReady`. The host has to be held."""
        limits, pace = pickle.loads(settings)
        self._measurer = self._side.measurer(target, threads, limits, pace)
        found = self._side.references_us(self._measurer)
        threading.Thread(target=self._serve, daemon=True).start()
        quiet_us = min(found)
        return encode(HostReady(reference_us=quiet_us, disturbed=max(found) > limits.noise_threshold * quiet_us))

    def outfit(self, target: str, threads: int, settings: bytes) -> bytes:
        """Start the workers of a process that builds for others, and times nothing."""
        limits, pace = pickle.loads(settings)
        self._measurer = self._side.measurer(target, threads, limits, pace)
        threading.Thread(target=self._serve, daemon=True).start()
        return encode(HostHeld())

    def begin(self, number: int, request: bytes, places: tuple[int, ...] = (), *libraries: bytes) -> None:
        """Serve a request, a pickle of the driver's, after those that came before. ``libraries`` are what others have
        built of the items at these ``places``."""
        self._libraries[number] = dict(zip(places, libraries, strict=True))
        self._requests.put((number, request))

    def library(self, number: int, index: int) -> bytes:
        """What was built for an item of a request; it is kept by Ray from here on."""
        return self._linked.pop((number, index))

    def take(self, wait_s: float) -> list[bytes]:
        """What has been said since the last time; waits so long for something to be."""
        found = []
        try:
            found.append(self._messages.get(timeout=wait_s))
            while len(found) < _MOST_TAKEN:
                found.append(self._messages.get_nowait())
        except Empty:
            pass
        return found

    def drop(self, number: int) -> None:
        """End a request after the item that is being done: nobody waits for the others."""
        self._dropped = max(self._dropped, number)

    def process(self) -> int:
        """The id of this process."""
        return os.getpid()

    def close(self) -> None:
        """End the workers and give the lock back."""
        if self._measurer is not None:
            self._measurer.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # ---- serving ----

    def _serve(self) -> None:
        while True:
            number, request = self._requests.get()
            if number > self._dropped:
                kind, arguments = pickle.loads(request)
                for item in self._answers(number, kind, arguments):
                    self._messages.put(encode(item))
                    if number <= self._dropped:
                        break
            self._messages.put(encode(HostDone(request=number)))

    def _answers(self, number: int, kind: str, arguments: tuple[Any, ...]) -> Iterator[Item]:
        index = 0
        try:
            for item in _SERVES[kind](self, number, *arguments):
                index += 1
                yield item
        except MeasureError as error:
            yield self._failed(number, index, str(error), fault=kind in (MEASURE, BUILD))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong here is told to the driver
            yield self._failed(number, index, f"{type(error).__name__}: {why(error)}", fault=True)

    def _failed(self, number: int, index: int, message: str, fault: bool) -> HostFailed:
        return HostFailed(message=cut(message), fault=fault, **self._beside(number, index))

    def _measure(self, number: int, jobs: list[Any], best_us: float | None, limits: Limits | None) -> Iterator[Item]:
        built = self._libraries.pop(number, {})
        jobs = [replace(job, library=built[index]) if index in built else job for index, job in enumerate(jobs)]
        for index, done in enumerate(self._there.measure(jobs, best_us, limits)):
            fields = asdict(done)
            for name in ("trial", "host"):
                fields.pop(name, None)
            fields["message"] = cut(done.message)
            yield HostMeasured(**self._beside(number, index), **fields)

    def _build(self, number: int, jobs: list[Any], limits: Limits | None) -> Iterator[Item]:
        builder: Any = self._there
        for index, (build, library) in enumerate(builder.libraries(jobs, limits)):
            if library is not None:
                self._linked[number, index] = library
            yield HostBuilt(
                fate=build.fate,
                seconds=build.seconds,
                predicted_seconds=build.predicted_seconds,
                message=cut(build.message),
                linked=library is not None,
                **self._beside(number, index),
            )

    def _verify(
        self, number: int, reference: Any, candidate: Any, seed: int, limits: Limits | None, given: Any
    ) -> Iterator[Item]:
        found = self._there.verify(reference, candidate, seed, limits, given)
        yield HostVerified(
            ok=found.ok,
            max_abs_error=_finite(found.max_abs_error),
            max_rel_error=_finite(found.max_rel_error),
            tolerance=found.tolerance,
            message=cut(found.message),
            untuned_error=found.untuned_error,
            **self._beside(number, 0),
        )

    def _interleave(self, number: int, *arguments: Any) -> Iterator[Item]:
        found = self._there.interleave(*arguments)
        beside_us = getattr(self._there, "reference_us", None)  # a measurer without hardware has none
        yield HostTimed(latencies_us=tuple(map(tuple, found)), reference_us=beside_us, **self._beside(number, 0))

    @property
    def _there(self) -> Measurer:
        assert self._measurer is not None, "the host is equipped first"
        return self._measurer

    def _beside(self, number: int, index: int) -> dict[str, Any]:
        measurer, noise = self._there, self._there.noise
        accounts = HostAccounts(
            building=measurer.seconds_building,
            timing=measurer.seconds_timing,
            probes=noise.probes,
            disturbed=noise.disturbed,
            worst_slowdown=noise.worst_slowdown,
            waiting=noise.seconds_waiting,
        )
        remarks = tuple(map(cut, measurer.take_remarks()))
        return {"request": number, "index": index, "accounts": accounts, "remarks": remarks}


BUILD, MEASURE, VERIFY, INTERLEAVE = "build", "measure", "verify", "interleave"
"""The kinds of requests."""
_SERVES: dict[str, Any] = {
    BUILD: HostActor._build,
    MEASURE: HostActor._measure,
    VERIFY: HostActor._verify,
    INTERLEAVE: HostActor._interleave,
}


def _finite(error: float) -> float | None:
    return error if math.isfinite(error) else None
