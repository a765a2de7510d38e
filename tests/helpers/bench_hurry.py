"""``colt bench`` in haste, for tests that look at no figure, see :mod:`tests.helpers.hurry`.

python -P bench_hurry.py bench ...                              the command line
python -P bench_hurry.py --cell DIRECTORY WORKLOAD ...          a cell of it, in its own process as ever
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from colt.bench import cell, isolation, remeasure, turns
from colt.bench.config import Cell
from colt.bench.directory import BenchDirectory
from colt.cli import main
from colt.world.parts import using

sys.path.insert(0, str(Path(__file__).parents[2]))  # as a script, this file is not found where the tests are

from tests.helpers import command
from tests.helpers.command import Done
from tests.helpers.hurry import HASTY

_COMMAND = isolation._command
COLT = [sys.executable, "-P", __file__]


def colt(*arguments: str) -> Done:
    """A command, in this process; its cells in theirs."""
    with pytest.MonkeyPatch.context() as patch:
        hurry_bench(patch)
        return command.colt(*arguments)


def hurry_bench(patch: pytest.MonkeyPatch) -> None:
    """Have benchmarks of this process, and their cells, take less time."""
    for module in (turns, remeasure):
        patch.setattr(module, "SITTINGS", 2)
    patch.setattr(turns, "PATIENCE_SECONDS", 0.0)
    patch.setattr(turns, "PAUSE_SECONDS", 0.0)
    patch.setattr(turns, "LAP_SECONDS", 0.01)
    patch.setattr(isolation, "_command", _cell_command)


def _cell_command(directory: BenchDirectory, cell: Cell) -> list[str]:
    python, safe, module, name, *place = _COMMAND(directory, cell)
    assert (module, name) == ("-m", "colt.bench.cell")
    return [python, safe, __file__, "--cell", *place]


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patching:
        if sys.argv[1] == "--cell":
            with using(HASTY):
                cell.main(sys.argv[2:])
        else:
            hurry_bench(patching)
            sys.exit(main(sys.argv[1:]))
