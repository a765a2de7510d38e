"""A connection to a board through TVM's RPC tracker. Only here, in all of COLT, are sockets opened."""

from __future__ import annotations

import math
import socket
import statistics
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import tvm
from tvm import rpc
from tvm.rpc import base
from tvm.target import Target

from colt.tvm.workers.board import Board, BoardLost
from colt.tvm.workers.guard import guard_program
from colt.util.text import why

_REACH_SECONDS = 5.0
_GRACE_SECONDS = 2.0
_PINGS = 5
_PRIORITY = 1
_BIG_CORES = 1
"""TVM's name for filling the fastest cores first."""


def require_board(board: Board) -> None:
    """See that the tracker answers and knows the key. Raises :class:`BoardLost`."""
    with _sockets_wait(_REACH_SECONDS):
        _tracker(board).close()


class Connection:
    """A process on the board that is ours until it has been up for ``seconds``; threads are set, nothing runs there.

    Raises
    ------
    BoardLost
        The tracker or the board is not to be had within ``wait_seconds``, or cannot load kernels.
    """

    def __init__(self, board: Board, target: Target, threads: int, wait_seconds: float, seconds: float) -> None:
        self.remarks: list[str] = []
        """What the user should know about it."""
        self._ends = monotonic() + seconds
        with _sockets_wait(wait_seconds):
            tracker = _tracker(board)
            try:
                host, port, match = _lease(tracker, board.key)
                self._session: Any = rpc.connect(host, port, match, math.ceil(seconds))
            except (OSError, RuntimeError) as error:
                raise BoardLost(
                    f"no board with key {board.key!r} was free at {board.address} within {wait_seconds:g} s: "
                    f"{why(error)}"
                ) from None
            finally:
                tracker.close()
        self.address = f"{host}:{port}"
        """Where the board's server listens, by which boards of one key are told apart."""
        self.device: Any = self._session.cpu(0)
        self._enter(target, threads)
        self.round_trip_us = statistics.median(self._round_trip_us() for _ in range(_PINGS))
        """What a call takes beside the kernel itself."""

    def load(self, library: Path) -> Any:
        """A library of objects, linked and loaded there."""
        self._session.upload(str(library))
        return self._session.load_module(library.name)

    def allow(self, seconds: float) -> None:
        """End our process there, and with it the connection, so many seconds (and a few) from now."""
        self._guard["allow"](math.ceil(seconds + _GRACE_SECONDS))

    def lasts(self, seconds: float) -> bool:
        """Whether it is alive and will not be ended for its age within so many seconds."""
        return monotonic() + seconds < self._ends and self.alive()

    def alive(self) -> bool:
        """Whether the process there still answers."""
        try:
            self._round_trip_us()
        except (RuntimeError, OSError):
            return False
        return True

    def close(self) -> None:
        """Free the board at once: TVM would keep the connection until nothing on the board is referred to any more."""
        with suppress(RuntimeError, OSError):  # it never answers
            self._guard["leave"]()

    def _enter(self, target: Target, threads: int) -> None:
        with tvm.support.utils.tempdir() as folder:
            path = Path(folder.relpath("colt_guard.tar"))
            tvm.tirx.build(guard_program(threads), target=target).export_library(str(path))
            try:
                library = self.load(path)
                library["enter"]()
                self._guard = {name: library[name] for name in ("allow", "ping", "leave")}
                self._set_threads(threads)
            except (RuntimeError, OSError, AttributeError) as error:
                raise BoardLost(
                    "the board does not load what is sent to it as objects; it needs Linux, tar, a C compiler that "
                    f"links for it, and a processor as the target says: {why(error)}"
                ) from None

    def _set_threads(self, threads: int) -> None:
        try:
            configure = self._session.get_function("runtime.config_threadpool")
            used = self._session.get_function("runtime.NumThreads")
        except AttributeError:
            self.remarks.append(f"the board's TVM does not let its number of threads be set; {threads} were asked for")
            return
        configure(_BIG_CORES, threads)
        if int(used()) != threads:
            self.remarks.append(f"the board uses {int(used())} threads, though {threads} were asked for")

    def _round_trip_us(self) -> float:
        start = perf_counter()
        self._guard["ping"]()
        return (perf_counter() - start) * 1e6


def _tracker(board: Board) -> Any:
    """A session with the tracker, which knows the key."""
    try:
        # TVM's own client would try for a minute.
        socket.create_connection((board.host, board.port)).close()
        tracker = rpc.connect_tracker(board.host, board.port)
        summary = tracker.summary()
    except OSError as error:
        raise BoardLost(f"the RPC tracker at {board.address} cannot be reached: {why(error)}") from None
    except (RuntimeError, ValueError) as error:
        raise BoardLost(f"what listens at {board.address} is no RPC tracker: {why(error)}") from None
    keys = sorted({server["key"].partition(":")[2] for server in summary["server_info"]})
    if board.key not in keys:
        raise BoardLost(f"the RPC tracker at {board.address} has no board with key {board.key!r}, only {keys}")
    return tracker


def _lease(tracker: Any, key: str) -> tuple[str, int, str]:
    """Host and port of a board, once one is free, and what to say there. TVM's own request keeps them to itself.

    Raises :class:`OSError` and :class:`RuntimeError`.
    """
    base.sendjson(tracker._sock, [base.TrackerCode.REQUEST, key, "", _PRIORITY])
    answer = base.recvjson(tracker._sock)
    if answer[0] != base.TrackerCode.SUCCESS:
        raise RuntimeError(f"the tracker answers {answer!s}")
    host, port, match = answer[1]
    return str(host), int(port), str(match)


@contextmanager
def _sockets_wait(seconds: float) -> Iterator[None]:
    """Have the sockets made meanwhile give up after so many seconds."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
