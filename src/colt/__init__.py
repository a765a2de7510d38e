"""COLT tunes tensor programs: a pool of proposers of different sizes shares one Monte Carlo search tree.

>>> import colt
>>> result = colt.tune("matmul", trials=64)
>>> result.speedup, result.export("matmul.so")

Importing this package is cheap; TVM is loaded when tuning starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from colt.errors import ColtError, IllegalEdit, InputError, MeasureError, Rejected, ReplayError, StorageError
from colt.options import Budget, SearchConfig
from colt.util.version import __version__

if TYPE_CHECKING:
    from colt.api import (
        CompiledModel,
        Replay,
        Result,
        SizedModel,
        TorchReport,
        compile,
        load,
        replay,
        resume,
        torch_report,
        tune,
    )

__all__ = [
    "tune",
    "resume",
    "compile",
    "load",
    "CompiledModel",
    "SizedModel",
    "torch_report",
    "TorchReport",
    "Result",
    "replay",
    "Replay",
    "SearchConfig",
    "Budget",
    "ColtError",
    "InputError",
    "MeasureError",
    "IllegalEdit",
    "Rejected",
    "ReplayError",
    "StorageError",
    "__version__",
]

_LAZY = frozenset(__all__) - globals().keys()
"""What needs TVM: it is imported on first use."""
_FOR_RUNNING = {"load": "loading", "CompiledModel": "compiled", "SizedModel": "sized"}
"""What runs compiled models, and its module in ``colt.models``: a process that only does that needs nothing else."""


def __getattr__(name: str) -> Any:
    """Import what is there on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'colt' has no attribute {name!r}")
    import importlib

    place = f"colt.models.{_FOR_RUNNING[name]}" if name in _FOR_RUNNING else "colt.api"
    return getattr(importlib.import_module(place), name)
