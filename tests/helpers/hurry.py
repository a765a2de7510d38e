"""Runs in haste, for tests that look at no figure: leaders are timed for a moment, nothing waits for a quiet machine.

A suite that took its time would take far longer, most of all on a machine with other loads.

    python -P hurry.py tune ...                the command line
"""

from __future__ import annotations

import sys

import pytest

from colt.cli import main
from colt.run import compare
from colt.tvm.workers import local

COLT = [sys.executable, "-P", __file__]
_HASTE = {
    (compare, "TURN_SECONDS"): 0.05,
    (compare, "RANKING_SECONDS"): 0.05,
    (local, "_PATIENCE_SECONDS"): 0.0,
    (local, "_PATIENCE_SHARE"): 0.0,
}
_LEISURE = {(module, name): getattr(module, name) for module, name in _HASTE}


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Have runs of this process take less time."""
    for (module, name), value in _HASTE.items():
        patch.setattr(module, name, value)


def take_time(patch: pytest.MonkeyPatch) -> None:
    """Have runs of this process do all that users' runs do."""
    for (module, name), value in _LEISURE.items():
        patch.setattr(module, name, value)


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patching:
        hurry(patching)
        sys.exit(main(sys.argv[1:]))
