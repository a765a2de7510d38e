"""Processes to which TVM comes without PyTorch, which it imports wherever it is installed: two seconds for each.

COLT sees to that for processes of its own (:mod:`colt.tvm.own`). This is for those of stock TVM, and for programs of
users, in tests that show something else.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_IN_THE_WAY = Path(__file__).parent / "in_the_way"


def environment() -> dict[str, str]:
    """The present one, for a process that does not find PyTorch, nor do those that it starts."""
    folders = [str(_IN_THE_WAY), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}


def without_torch(patch: pytest.MonkeyPatch) -> None:
    """Have all processes that are started from now on so."""
    patch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
