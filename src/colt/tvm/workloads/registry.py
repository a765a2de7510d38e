"""The list of workloads."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any

from colt.errors import InputError
from colt.tvm.workloads.base import Workload

# A name is also the file's, with underscores; files are imported when asked for, since that imports TVM.
_NAMES = (
    "matmul",
    "llama3-attention",
    "deepseek-r1-moe",
    "deepseek-r1-experts",
    "flux-attention",
    "flux-conv",
    "llama4-scout-mlp",
)


def names() -> tuple[str, ...]:
    """The names of all workloads."""
    return _NAMES


def get(name: str) -> Workload[Any]:
    """The workload of that name.

    Raises
    ------
    InputError
        There is none; the message names the ones with similar names, or all.
    """
    if name not in _NAMES:
        raise InputError(f"there is no workload {name!r}; {_hint(name)}")
    workload: Workload[Any] = import_module(f"{__package__}.{name.replace('-', '_')}").WORKLOAD
    return workload


def _hint(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), _NAMES, cutoff=0.5)
    near += [known for known in _NAMES if name and name.lower() in known and known not in near]
    everything = f"there are {', '.join(_NAMES)}"
    return f"did you mean {' or '.join(near)}? There are {', '.join(_NAMES)}" if near else everything
