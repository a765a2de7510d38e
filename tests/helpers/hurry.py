"""Runs in haste, for tests that look at no figure: leaders are timed for a moment, nothing waits for a quiet machine,
and the architect, whose openings take most of a short run, is content with what it finds soon.

A suite that took its time would take far longer, most of all on a machine with other loads. A replay must think as its
run did: tests of recordings that are kept ask for the fixture ``thinking_fully``.

    python -P hurry.py tune ...                the command line
"""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from colt.cli import process
from colt.measure.base import Pace
from colt.models.options import CompileOptions
from colt.proposers.experts import architect
from colt.world.parts import Parts, using

COLT = [sys.executable, "-P", __file__]
HASTY = Parts(pace=Pace.hasty())
THINKING = {"OPENING_PREDICTIONS": 60, "PROPOSAL_PREDICTIONS": 20, "SAMPLES": 4}
"""How many predictions the architect makes."""
FULL = {name: getattr(architect, name) for name in THINKING}
OPENINGS = {"constructed": 2, "sampled": 12}
"""How many schedules a model's programs have to begin from: who compiles one cannot say."""


def think(patch: pytest.MonkeyPatch, much: dict[str, int] = THINKING) -> None:
    """Have the architect make so many predictions."""
    for name, predictions in much.items():
        patch.setattr(architect, name, predictions)


def open_with_few(patch: pytest.MonkeyPatch) -> None:
    """Have runs that compile models look for few schedules to begin from, which takes most of a short run."""
    usual = CompileOptions.tune_options
    patch.setattr(
        CompileOptions, "tune_options", lambda options, programs: replace(usual(options, programs), config=OPENINGS)
    )


if __name__ == "__main__":
    with using(HASTY), pytest.MonkeyPatch.context() as patch:
        think(patch)
        open_with_few(patch)
        process()
