"""``colt`` in haste, for tests that look at no figure: winners are timed for a moment, and nothing waits for a quiet
machine.

    python -P bench_hurry.py bench ...                              the command line
    python -P bench_hurry.py --cell DIRECTORY WORKLOAD ...          a cell of it, in its own process as ever
"""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from colt import comparison
from colt.bench import cell, isolation, remeasure, turns
from colt.bench.config import Cell
from colt.bench.directory import BenchDirectory
from colt.cli import main
from colt.tvm.measure import local

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
        hurry(patch)
        try:
            code = main(arguments)
        except SystemExit as ended:  # argparse's
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Have benchmarks of this process, and their cells, take less time."""
    for module in (turns, remeasure):
        patch.setattr(module, "SITTINGS", 2)
    patch.setattr(turns, "PATIENCE_SECONDS", 0.0)
    patch.setattr(turns, "PAUSE_SECONDS", 0.0)
    patch.setattr(turns, "LAP_SECONDS", 0.01)
    patch.setattr(isolation, "_command", _cell_command)


def hurry_cell(patch: pytest.MonkeyPatch) -> None:
    """Have searches of this process take less time at their ends."""
    patch.setattr(comparison, "TURN_SECONDS", 0.05)
    patch.setattr(comparison, "RANKING_SECONDS", 0.05)
    patch.setattr(local, "_PATIENCE_SECONDS", 0.0)
    patch.setattr(local, "_PATIENCE_SHARE", 0.0)


def _cell_command(directory: BenchDirectory, cell: Cell) -> list[str]:
    python, safe, module, name, *place = _COMMAND(directory, cell)
    assert (module, name) == ("-m", "colt.bench.cell")
    return [python, safe, __file__, "--cell", *place]


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patching:
        if sys.argv[1] == "--cell":
            hurry_cell(patching)
            cell.main(sys.argv[2:])
        else:
            hurry(patching)
            sys.exit(main(sys.argv[1:]))
