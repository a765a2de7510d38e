"""The command line in this process, for tests to which starting another one shows nothing more."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

from colt.cli import main

AS_INSTALLED = [sys.executable, "-m", "colt.cli"]
"""``colt`` as a process of its own."""


@dataclass(frozen=True)
class Done:
    """What a command has come to."""

    returncode: int
    stdout: str
    stderr: str


def colt(*arguments: str) -> Done:
    """``colt`` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as ended:  # argparse's
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def refused(*arguments: str) -> str:
    """The message of a refusal: exit code 2, nothing on stdout, no traceback."""
    done = colt(*arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr
