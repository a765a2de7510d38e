"""The messages between a process of contenders and the process that times them: JSON, one message a line."""

from __future__ import annotations

from enum import StrEnum

import msgspec

LONGEST_PROBLEM = 500
"""The most characters of a problem: a line must fit into what a pipe takes in one piece."""


class PeerFamily(StrEnum):
    """Contenders that share a process."""

    KERNELS = "kernels"
    NUMPY = "numpy"
    TORCH = "torch"
    ONNX_RUNTIME = "onnxruntime"
    MODEL = "model"
    """A whole model, compiled by COLT or by a peer: ``workload`` is where it came from."""


class TimedKernel(msgspec.Struct, frozen=True):
    """A contender by name. ``module`` is a winner's file; empty for a peer."""

    name: str
    module: str = ""


class Settings(msgspec.Struct, frozen=True):
    """The contenders that a process prepares. ``inputs`` are ``.npy`` files; outputs are written to ``folder``."""

    family: PeerFamily
    workload: str
    size: str
    threads: int
    inputs: tuple[str, ...]
    folder: str
    members: tuple[TimedKernel, ...]
    products: str = ""
    """The type that a model's peers compute products in; that of the model if empty."""


class Prepared(msgspec.Struct, frozen=True):
    """The result of preparing a contender: it ran in about ``us`` microseconds and wrote its ``output`` to a file, or
    it has a ``problem``, or neither if the peer does not support the workload."""

    name: str
    output: str = ""
    us: float = 0.0
    problem: str = ""


class Order(msgspec.Struct, frozen=True):
    """The order to run a contender for about ``seconds``."""

    name: str
    seconds: float


class Lap(msgspec.Struct, frozen=True):
    """``us`` is the mean of the runs in microseconds. ``queued`` is the largest share of the time that a thread of the
    process waited for a core that another load had taken."""

    us: float
    queued: float
