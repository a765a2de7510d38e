"""Building and timing candidates in worker processes that may die without taking the run along.

- ``local``: the measurer; its contract is in :mod:`colt.measure.base`; ``boards``: several of them, each with a board
- ``pool``: its workers; ``builds``: what they have built side by side; ``comparisons``: what they have compared
- ``supervisor``: keeps one worker at hand; ``process``: that worker as its parent sees it; ``conversation``: one
  request to it
- ``messages``: what the two say to each other; ``wire``: how; ``worker``: the child's side, run with ``python -m``
- ``place``: where kernels run; ``onboard``: on a board (``board``: its address, ``rpc`` and ``guard``: a connection)
- ``kernel``, ``access``, ``arguments``: a program built, which parameters it writes, what it is called with
- ``producers``: what writes its inputs ahead of each call, as another kernel of a model does
- ``timing``: how often to run it; ``noise`` and ``reference``: whether the machine is quiet meanwhile
- ``clocks``: how the time of one run is shared among the parts of a program
- ``draws``: on which inputs it is verified; ``stacks``: in memory that holds nothing right by chance
- ``code_size``: how long building will take; ``verify`` and ``compare``: whether a candidate computes what the untuned
  program computes; ``wide``, ``rounded``: in float64, and with every intermediate as stated

The parent sends pickles, the worker answers in checked JSON only: kernels under test run in its address space, so
nothing that a worker says is trusted.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from colt.measure.base import Build, ExportError, Job, Limits, Measurement, Measurer, Noise, Pace, Verification
from colt.tvm.workers.board import Board

if TYPE_CHECKING:
    from colt.tvm.workers.boards import BoardsMeasurer
    from colt.tvm.workers.local import OBJECTS, LocalMeasurer

__all__ = [
    "OBJECTS",
    "Board",
    "BoardsMeasurer",
    "Build",
    "ExportError",
    "Job",
    "Limits",
    "LocalMeasurer",
    "Measurement",
    "Measurer",
    "Noise",
    "Pace",
    "Verification",
]

_OF_THE_PARENT = {"BoardsMeasurer": "boards", "LocalMeasurer": "local", "OBJECTS": "local"}


def __getattr__(name: str) -> Any:
    """Import the parent's side on first use: a worker, which imports this package too, does without."""
    if name not in _OF_THE_PARENT:
        raise AttributeError(f"module 'colt.tvm.workers' has no attribute {name!r}")
    return getattr(import_module(f"colt.tvm.workers.{_OF_THE_PARENT[name]}"), name)
