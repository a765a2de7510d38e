"""The client of a process of contenders."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from colt.bench.contenders.messages import Lap, Order, Prepared, Settings
from colt.tvm.own import command
from colt.util.process import Child

PREPARE_SECONDS = 600.0
"""The limit for building or compiling one contender and running it."""
LAP_SECONDS = 300.0
"""The limit for one lap."""
_SPINS = "1000"  # as in COLT's workers: threads that keep a core busy for longer would disturb the next contender
_LAST_WORDS_BYTES = 500

MessageT = TypeVar("MessageT", bound=msgspec.Struct)


class PeerLost(Exception):
    """The process has died or does not answer; the text says which."""


class Contenders:
    """A process of contenders, started. Leaving its ``with`` block ends it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._unread = b""
        self._replies, replies = os.pipe()
        try:
            self._child = Child(
                command(
                    "colt.bench.contenders.server",
                    msgspec.json.encode(settings).decode(),
                    str(replies),
                    str(os.getpid()),
                ),
                stdin=subprocess.PIPE,
                pass_fds=(replies,),
                env=os.environ | _environment(settings.threads),
            )
        finally:
            os.close(replies)

    def prepared(self) -> Iterator[Prepared]:
        """The result of preparing each member, in order. Raises :class:`PeerLost`."""
        for _ in self.settings.members:
            yield self._receive(Prepared, PREPARE_SECONDS)

    def lap(self, name: str, seconds: float) -> Lap:
        """Run the contender of that name. Raises :class:`PeerLost`."""
        try:
            self._child.stdin.write(msgspec.json.encode(Order(name, seconds)) + b"\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise PeerLost(self._cause_of_death()) from None
        return self._receive(Lap, LAP_SECONDS)

    def close(self) -> None:
        """End the process and all that it started."""
        self._child.end()
        os.close(self._replies)
        with suppress(BrokenPipeError):
            self._child.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _receive(self, kind: type[MessageT], seconds: float) -> MessageT:
        """Read the next message, which is a line."""
        while b"\n" not in self._unread:
            if not select.select([self._replies], [], [], seconds)[0]:
                raise PeerLost(f"no answer within {seconds:.0f} s")
            data = os.read(self._replies, 1 << 16)
            if not data:
                raise PeerLost(self._cause_of_death())
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return msgspec.json.decode(line, type=kind)

    def _cause_of_death(self) -> str:
        cause = self._child.cause_of_death()
        lines = self._child.last_words(_LAST_WORDS_BYTES).splitlines()
        return f"{cause}: {lines[-1]}" if lines else cause


def _environment(threads: int) -> dict[str, str]:
    """The variables that give every library the same number of threads."""
    names = ("TVM_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**dict.fromkeys(names, str(threads)), "TVM_THREAD_POOL_SPIN_COUNT": _SPINS}
