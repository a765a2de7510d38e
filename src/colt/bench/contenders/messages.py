"""What goes between a process of contenders and the one that times them: JSON, one message a line."""

from __future__ import annotations

from enum import StrEnum

import msgspec

LONGEST_PROBLEM = 500
"""Characters of a message about what went wrong: a line must fit into what a pipe takes in one piece."""


class PeerFamily(StrEnum):
    """Contenders that share a process."""

    KERNELS = "kernels"
    NUMPY = "numpy"
    TORCH = "torch"


class TimedKernel(msgspec.Struct, frozen=True):
    """A contender by name; ``module`` is the file of a winner."""

    name: str
    module: str = ""


class Settings(msgspec.Struct, frozen=True):
    """Whom a process is to prepare. ``inputs`` are ``.npy`` files; outputs are written into ``folder``."""

    family: PeerFamily
    workload: str
    size: str
    threads: int
    inputs: tuple[str, ...]
    folder: str
    members: tuple[TimedKernel, ...]


class Prepared(msgspec.Struct, frozen=True):
    """A contender has run, in about ``us`` microseconds, and left its ``output`` in a file; or it has a ``problem``, or
    neither if it has nothing of its own for the workload."""

    name: str
    output: str = ""
    us: float = 0.0
    problem: str = ""


class Order(msgspec.Struct, frozen=True):
    """Run a contender for about so many seconds."""

    name: str
    seconds: float


class Lap(msgspec.Struct, frozen=True):
    """The mean of the runs, in microseconds; ``queued`` is the largest share of the time that a thread of the process
    waited for a core: another load took it."""

    us: float
    queued: float
