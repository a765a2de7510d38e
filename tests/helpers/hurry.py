"""Runs in haste, for tests that look at no figure: leaders are timed for a moment, nothing waits for a quiet machine,
and the architect, whose openings take most of a short run, is content with what it finds soon.

A suite that took its time would take far longer, most of all on a machine with other loads. A replay must think as its
run did: tests of recordings that are kept ask for the fixture ``thinking_fully``.

    python -P hurry.py tune ...                the command line
"""

from __future__ import annotations

import sys

import pytest

from colt.cli import process
from colt.measure.base import Pace
from colt.proposers.experts import architect
from colt.world.parts import Parts, using

COLT = [sys.executable, "-P", __file__]
HASTY = Parts(pace=Pace.hasty())
THINKING = {"OPENING_PREDICTIONS": 60, "PROPOSAL_PREDICTIONS": 20, "SAMPLES": 4}
"""How many predictions the architect makes."""
FULL = {name: getattr(architect, name) for name in THINKING}


def think(patch: pytest.MonkeyPatch, much: dict[str, int] = THINKING) -> None:
    """Have the architect make so many predictions."""
    for name, predictions in much.items():
        patch.setattr(architect, name, predictions)


if __name__ == "__main__":
    with using(HASTY), pytest.MonkeyPatch.context() as patch:
        think(patch)
        process()
