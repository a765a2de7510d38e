"""``colt`` as a process of its own, with latencies that are made up.

python -P simulated_command.py tune ...
"""

from __future__ import annotations

import sys
from pathlib import Path

from colt.cli import process
from colt.tvm.own import leave_torch_out

COLT = [sys.executable, "-P", __file__]


def _run() -> None:
    sys.path.insert(0, str(Path(__file__).parents[2]))  # as a script, this file is not found where the tests are
    leave_torch_out()
    from tests.helpers.simulated_runs import measured_by, simulated

    with measured_by(simulated()):
        process()


if __name__ == "__main__":
    _run()
