"""A real RPC tracker and real RPC servers on this machine, as boards for tests."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep
from types import TracebackType

from colt.tvm.own import kernel_command
from tests.helpers.lean import environment

# Runs a command in a process group that ends, with all that it started, when whoever holds the other end of the pipe
# ends or closes it, in whatever way.
_TIED = """
import os, signal, subprocess, sys
os.setpgrp()
subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
sys.stdin.read()
os.killpg(0, signal.SIGKILL)
"""
_START_SECONDS = 60.0


class LoopbackBoard:
    """A tracker, and a server under ``key``; more with :meth:`start_server`."""

    def __init__(self, key: str = "box") -> None:
        self.key = key
        self.port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> LoopbackBoard:
        try:
            self._start("tvm.exec.rpc_tracker", self.port)
            self.start_server(self.key)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start_server(self, key: str) -> subprocess.Popen[bytes]:
        """A server under this key, once the tracker knows it; closing its standard input ends it."""
        _await(lambda: connectable(self.port))
        server = self._start("tvm.exec.rpc_server", free_port(), "--tracker", self.address, "--key", key)
        _await(lambda: key in self.known_keys())
        return server

    def known_keys(self) -> set[str]:
        """The keys that the tracker knows."""
        from tvm import rpc

        tracker = rpc.connect_tracker("127.0.0.1", self.port)
        try:
            return {server["key"].removeprefix("server:") for server in tracker.summary()["server_info"]}
        finally:
            tracker.close()

    def close(self) -> None:
        """End everything."""
        for process in self._processes:
            end(process)

    def _start(self, module: str, port: int, *more: str) -> subprocess.Popen[bytes]:
        place = ("--host", "127.0.0.1", "--port", f"{port}", "--port-end", f"{port + 1}")
        process = subprocess.Popen(
            [sys.executable, "-c", _TIED, *kernel_command(module, *place, *more)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server. May be repeated."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    process.wait()


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def connectable(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def _await(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + _START_SECONDS
    while not condition():
        if monotonic() > deadline:
            raise TimeoutError("the servers do not start")
        sleep(0.05)
