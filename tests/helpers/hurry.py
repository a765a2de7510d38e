"""Runs in haste, for tests that look at no figure: leaders are timed for a moment, nothing waits for a quiet machine.

A suite that took its time would take far longer, most of all on a machine with other loads.

    python -P hurry.py tune ...                the command line
"""

from __future__ import annotations

import sys

from colt.cli import process
from colt.measure.base import Pace
from colt.world.parts import Parts, using

COLT = [sys.executable, "-P", __file__]
HASTY = Parts(pace=Pace.hasty())

if __name__ == "__main__":
    with using(HASTY):
        process()
