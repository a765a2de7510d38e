"""Runs in haste, for tests that look at no figure: leaders are timed for a moment, nothing waits for a quiet machine.

A suite that took its time would take far longer, most of all on a machine with other loads.

    python -P hurry.py tune ...                the command line
"""

from __future__ import annotations

import sys

import pytest

from colt.cli import main
from colt.measure.base import Pace
from colt.run import compare
from colt.tvm.workers import LocalMeasurer

COLT = [sys.executable, "-P", __file__]


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Have runs of this process take less time."""
    _set_pace(patch, Pace.hasty())


def take_time(patch: pytest.MonkeyPatch) -> None:
    """Have runs of this process do all that users' runs do."""
    _set_pace(patch, Pace())


def _set_pace(patch: pytest.MonkeyPatch, pace: Pace) -> None:
    patch.setattr(compare, "TURN_SECONDS", pace.turn_seconds)
    patch.setattr(compare, "RANKING_SECONDS", pace.ranking_seconds)
    patch.setitem(LocalMeasurer.__init__.__kwdefaults__, "pace", pace)


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patching:
        hurry(patching)
        sys.exit(main(sys.argv[1:]))
