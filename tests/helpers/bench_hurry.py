"""``colt bench`` in haste, for tests that look at no figure, see :mod:`tests.helpers.hurry`.

python -P bench_hurry.py bench ...                              the command line
python -P bench_hurry.py --cell DIRECTORY WORKLOAD ...          a cell of it, in its own process as ever
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from colt.cli import main
from colt.tvm.own import leave_torch_out
from colt.world.parts import using

sys.path.insert(0, str(Path(__file__).parents[2]))  # as a script, this file is not found where the tests are

from tests.helpers import command
from tests.helpers.command import Done
from tests.helpers.hurry import HASTY, think

COLT = [sys.executable, "-P", __file__]


def colt(*arguments: str) -> Done:
    """A command, in this process; its cells in theirs."""
    with pytest.MonkeyPatch.context() as patch:
        hurry_bench(patch)
        return command.colt(*arguments)


def hurry_bench(patch: pytest.MonkeyPatch) -> None:
    """Have benchmarks of this process, and their cells, take less time."""
    from colt.bench import isolation, remeasure, turns

    for module in (turns, remeasure):
        patch.setattr(module, "SITTINGS", 2)
    patch.setattr(turns, "PATIENCE_SECONDS", 0.0)
    patch.setattr(turns, "PAUSE_SECONDS", 0.0)
    patch.setattr(turns, "LAP_SECONDS", 0.01)
    usual = isolation._command
    patch.setattr(isolation, "_command", lambda directory, cell: _hasty(usual(directory, cell)))


def _hasty(cell: list[str]) -> list[str]:
    python, safe, *module, name = cell[:5]
    assert (module, name) == (["-m", "colt.tvm.own"], "colt.bench.cell")
    return [python, safe, __file__, "--cell", *cell[5:]]


def _run() -> None:
    leave_torch_out()
    if sys.argv[1] == "--cell":
        from colt.bench import cell

        with using(HASTY), pytest.MonkeyPatch.context() as patch:
            think(patch)
            cell.main(sys.argv[2:])
        return
    with pytest.MonkeyPatch.context() as patch:
        hurry_bench(patch)
        sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    _run()
