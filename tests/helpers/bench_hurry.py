"""``colt bench`` in haste, for tests that look at no figure, see :mod:`tests.helpers.hurry`.

python -P bench_hurry.py bench ...                              the command line
python -P bench_hurry.py --cell DIRECTORY WORKLOAD ...          a cell of it, in its own process as ever
"""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from colt.bench import cell, isolation, remeasure, turns
from colt.bench.config import Cell
from colt.bench.directory import BenchDirectory
from colt.cli import main

sys.path.insert(0, str(Path(__file__).parents[2]))  # as a script, this file is not found where the tests are

from tests.helpers.hurry import hurry

_COMMAND = isolation._command
COLT = [sys.executable, "-P", __file__]


@dataclass(frozen=True)
class Done:
    """What a command has come to."""

    returncode: int
    stdout: str
    stderr: str


def colt(*arguments: str) -> Done:
    """A command, in this process; its cells in theirs."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        hurry_bench(patch)
        try:
            code = main(arguments)
        except SystemExit as ended:  # argparse's
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


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
            hurry(patching)
            cell.main(sys.argv[2:])
        else:
            hurry_bench(patching)
            sys.exit(main(sys.argv[1:]))
