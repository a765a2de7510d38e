"""Kernels that run on a board: built here as files of objects, sent to it, linked and timed there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import tvm
import tvm_ffi
from tvm import IRModule
from tvm.target import Target

from colt.machine.queueing import NotWatched
from colt.tvm.devices.assumed import simd_of_target
from colt.tvm.programs.arrays import Array
from colt.tvm.space.recent import Recent
from colt.tvm.workers.arguments import ArgumentCache
from colt.tvm.workers.board import Board, BoardLost
from colt.tvm.workers.kernel import build_library, evaluate
from colt.tvm.workers.messages import Stage
from colt.tvm.workers.noise import Gauge
from colt.tvm.workers.reference import reference_arguments, reference_program
from colt.tvm.workers.rpc import Connection
from colt.tvm.workers.timing import Clocked
from colt.util.files import replacing

LIFETIME_SECONDS = 600.0
"""How long one connection serves requests; others may want the board."""
IDLE_SECONDS = 20.0
"""A connection ends after so long without a request."""
ARGUMENT_BYTES = 256 << 20
"""Argument arrays kept on the board for later kernels: boards have little memory."""
_QUEUE_SHARE = 0.7
"""The share of the time to connect that may be spent waiting for a board that others use."""
_LONG = 50
"""A run that takes as long as so many round trips is timed from here: the network hardly matters then."""


class OnBoard:
    """Implements :class:`~colt.tvm.workers.place.Place`. Built kernels are files in ``folder``, for all workers to
    use, at most ``files`` of them."""

    remote = True

    def __init__(self, board: Board, target: Target, threads: int, kernels: int, folder: Path, files: int) -> None:
        self._board = board
        self._target = target
        self._threads = threads
        self._kernels = kernels
        self._folder = folder
        self._files = files
        self._visit: _Visit | None = None
        self._gauges: dict[str, Gauge] = {}
        """The last one of each board, for what it knows."""

    @property
    def address(self) -> str:
        return self._here.connection.address

    @property
    def arguments(self) -> ArgumentCache:
        return self._here.arguments

    def connect(self, allowed: Mapping[Stage, float]) -> Sequence[str]:
        """A connection that outlasts a request, whose stages may be gone through twice."""
        needed = 2 * sum(allowed.values())
        if self._visit is not None and self._visit.usable(needed):
            return ()
        self._leave()  # before the next one begins: the board has room for one
        wait_seconds = allowed[Stage.CONNECTING] * _QUEUE_SHARE
        connection = Connection(self._board, self._target, self._threads, wait_seconds, LIFETIME_SECONDS + needed)
        connection.allow(allowed[Stage.CONNECTING])
        try:
            self._visit = _Visit(connection, self._kernels, self._gauge_on)
        except RuntimeError as error:
            connection.close()
            raise BoardLost(f"the reference kernel does not run on the board: {error}") from None
        if (before := self._gauges.get(connection.address)) is not None:
            self._visit.gauge.follow(before)
        self._gauges[connection.address] = self._visit.gauge
        return connection.remarks

    def allow(self, seconds: float) -> None:
        if self._visit is not None:
            self._visit.connection.allow(seconds)

    def rest(self) -> None:
        if self._visit is not None and not self.lost():
            self._visit.connection.allow(IDLE_SECONDS)
            self._visit.idle_since = monotonic()

    def lost(self) -> bool:
        if self._visit is not None and not self._visit.connection.alive():
            self._visit = None
            return True
        return False

    def build(self, module: IRModule) -> BoardKernel:
        return BoardKernel(self, self._built(module))

    def adopt(self, module: IRModule, library: bytes) -> None:
        raise ValueError("boards are sent what is built on this machine")

    def tensor(self, array: Array) -> Any:
        return self._here.tensor(array)

    def gauge(self) -> Gauge:
        return self._here.gauge

    def export(self, module: IRModule, path: Path, timed: bool = False) -> None:
        build_library(module, self._target).export_library(str(path))

    def bind(self, file: Path, arguments: Sequence[Any]) -> BoundBoardKernel:
        """A built kernel, on the board, with arguments."""
        return self._here.bind(file, arguments)

    def _leave(self) -> None:
        if self._visit is not None:
            self._visit.connection.close()
        self._visit = None

    @property
    def _here(self) -> _Visit:
        if self._visit is None:
            raise BoardLost("there is no connection to the board")
        return self._visit

    def _built(self, module: IRModule) -> Path:
        path = self._folder / f"{int(tvm_ffi.structural_hash(module)) % (1 << 64):016x}.tar"
        try:
            os.utime(path)
        except FileNotFoundError:
            library = build_library(module, self._target)
            with replacing(path, durable=False) as written:  # another worker may look
                library.export_library(str(written))
            self._forget_oldest()
        return path

    def _forget_oldest(self) -> None:
        found = [(entry.stat().st_mtime, entry.path) for entry in os.scandir(self._folder) if entry.name[0] != "."]
        for _, path in sorted(found)[: -self._files]:
            Path(path).unlink(missing_ok=True)

    def _gauge_on(self, visit: _Visit) -> Gauge:
        simd = simd_of_target(self._target)
        file = self._built(reference_program(self._threads, simd))
        arguments = [visit.tensor(array) for array in reference_arguments(self._threads, simd)]
        reference = visit.bind(file, arguments)
        reference.run()
        return Gauge(lambda: reference.once().us, NotWatched)


class BoardKernel:
    """A program built as a file of objects."""

    def __init__(self, place: OnBoard, file: Path) -> None:
        self._place = place
        self._file = file

    def bind(self, arguments: Sequence[Any], apart_bytes: int | None = None) -> BoundBoardKernel:
        """Send it, unless it is there already."""
        assert not apart_bytes, "models are not compiled for boards"
        return self._place.bind(self._file, arguments)


class BoundBoardKernel:
    """Implements :class:`~colt.tvm.workers.kernel.BoundKernel`."""

    def __init__(self, library: Any, connection: Connection, arguments: Sequence[Any]) -> None:
        self._library = library
        self._function = library["main"]
        self._connection = connection
        self._arguments = arguments

    def run(self) -> None:
        """See :meth:`~colt.tvm.workers.kernel.BoundKernel.run`."""
        self._function(*self._arguments)

    def once(self) -> Clocked:
        """One run, timed from here if it is long beside the network; else a second one, timed there."""
        start = perf_counter()
        self.run()
        seen_us, network_us = (perf_counter() - start) * 1e6, self._connection.round_trip_us
        return Clocked(seen_us - network_us) if seen_us > _LONG * network_us else self.repeated(1, 1)[0]

    def repeated(self, number: int, repeats: int) -> list[Clocked]:
        """TVM's own timing loop, on the board."""
        return list(map(Clocked, evaluate(self._library, self._connection.device, self._arguments, number, repeats)))


class _Visit:
    """All that is on the board as long as a connection lasts."""

    def __init__(self, connection: Connection, kernels: int, gauge_on: Callable[[_Visit], Gauge]) -> None:
        self.connection = connection
        self.arguments = ArgumentCache(ARGUMENT_BYTES, self.tensor)
        self.idle_since = monotonic()
        self._libraries: Recent[Path, Any] = Recent(kernels)
        self.gauge = gauge_on(self)

    def usable(self, seconds: float) -> bool:
        """Whether it will last so long."""
        return monotonic() - self.idle_since < IDLE_SECONDS and self.connection.lasts(seconds)

    def bind(self, file: Path, arguments: Sequence[Any]) -> BoundBoardKernel:
        """The kernel, sent and loaded unless it is there."""
        library = self._libraries.get(file)
        if library is None:
            library = self.connection.load(file)
            self._libraries.put(file, library)
        return BoundBoardKernel(library, self.connection, arguments)

    def tensor(self, array: Array) -> Any:
        """A tensor on the board, holding a copy."""
        return tvm.runtime.tensor(array, device=self.connection.device)
