"""Worker processes that the Builders and Runners of a process share: a kernel is timed where it was built.

There is one measurer for each target and number of threads. It ends with the last Builder or Runner that used it, when
one of them is closed, or with the process.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tvm.target import Target

from colt.errors import InputError
from colt.tvm.devices.host import available_cores, resolve_target
from colt.tvm.workers import LocalMeasurer


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a kernel is built for and timed with; ``target`` is TVM's JSON."""

    target: str
    threads: int


def conditions(target: Target, threads: int | None) -> Conditions:
    """The conditions for exactly this target; ``threads`` defaults to its ``num-cores``, at most this machine's cores.

    Raises
    ------
    InputError
        This machine runs no kernels for the target.
    """
    cores = available_cores()
    wanted = resolve_target(target, cores).attrs["num-cores"]  # a target without num-cores is for all cores
    return Conditions(str(target), threads or min(int(wanted), cores))


def check_threads(threads: int | None) -> None:
    """Raise :class:`InputError` for a number of threads that this machine does not have; ``None`` is fine."""
    cores = available_cores()
    if threads is not None and (type(threads) is not int or not 1 <= threads <= cores):
        raise InputError(f"threads is {threads!r}; it takes an integer from 1 to {cores}, the cores of this machine")


class Workers:
    """A measurer that several threads share."""

    def __init__(self, conditions: Conditions) -> None:
        measurer = LocalMeasurer(Target(conditions.target), conditions.threads)
        self._measurer = measurer
        self._turn = threading.Lock()
        self._owner = os.getpid()
        self._end = weakref.finalize(self, _end, measurer, self._owner)

    @property
    def usable(self) -> bool:
        """Whether they are open and belong to this process: after a fork they still serve the parent."""
        return self._end.alive and self._owner == os.getpid()

    @contextmanager
    def turn(self) -> Iterator[LocalMeasurer]:
        """The measurer, for the caller alone."""
        with self._turn:
            yield self._measurer

    def close(self) -> None:
        """End the processes once no thread uses them. May be repeated."""
        with self._turn:
            self._end()


class InUse:
    """The workers that one Builder or Runner has used so far."""

    def __init__(self) -> None:
        self._workers: dict[Conditions, Workers] = {}

    def workers(self, conditions: Conditions) -> Workers:
        """Workers for these conditions, shared by all users in this process; starts them if there are none yet."""
        found = self._workers.get(conditions)
        if found is None or not found.usable:
            found = self._workers[conditions] = _shared(conditions)
        return found

    def close(self) -> None:
        """End the workers for all users; a later request starts new ones. May be repeated."""
        for workers in self._workers.values():
            if workers.usable:
                workers.close()
        self._workers.clear()


_lock = threading.Lock()
_of_process: weakref.WeakValueDictionary[Conditions, Workers] = weakref.WeakValueDictionary()


def _shared(conditions: Conditions) -> Workers:
    with _lock:
        found = _of_process.get(conditions)
        if found is None or not found.usable:
            found = _of_process[conditions] = Workers(conditions)
        return found


def _end(measurer: LocalMeasurer, owner: int) -> None:
    if os.getpid() == owner:
        measurer.close()


def _renew_lock() -> None:
    """Another thread may have held it when the process forked."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
