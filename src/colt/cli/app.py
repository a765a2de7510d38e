"""``colt``: all commands, and what becomes of their errors."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from colt.cli import (
    bench,
    bench_model,
    compare,
    compile,
    dashboard,
    export,
    finish,
    hardware,
    pool,
    records,
    replay,
    report,
    resume,
    run,
    show,
    trace,
    tune,
    workloads,
)
from colt.cli.codes import BAD_INPUT, INTERRUPTED, OK
from colt.cli.output import tell
from colt.cli.parser import Parser
from colt.errors import ArgumentError, ColtError
from colt.fleet.cluster import Cluster
from colt.tvm.own import leave_torch_out
from colt.util.declared import OptionError
from colt.util.interrupt import Ended
from colt.util.streams import degrade, divert_stdout
from colt.util.version import __version__

COMMANDS = (
    *(tune, compile, run, resume, show, report, compare, trace, dashboard, finish, replay, export),
    *(records, bench, bench_model, pool, workloads, hardware),
)
"""In the order of the help."""
_PATHS = (errno.ENAMETOOLONG, errno.ELOOP)
"""Errors of the name itself, whether it is read or written."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code, see :mod:`colt.cli.codes`."""
    degrade()
    try:
        given = parser().parse_args(arguments)
        code: int = given.run_command(given)
        if sys.stdout is not None:
            sys.stdout.flush()
    except ColtError as error:
        told = error.with_flags() if isinstance(error, OptionError | ArgumentError) else str(error)
        tell(f"colt: {told}")
        return BAD_INPUT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read our output has gone
        return OK
    except OSError as error:
        what = "is not a usable path" if error.errno in _PATHS else "cannot be written"
        tell(f"colt: {error.filename or 'the output'} {what}: {error.strerror or error}")
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        return BAD_INPUT
    except KeyboardInterrupt as error:
        print("colt: interrupted", file=sys.stderr)
        return error.code if isinstance(error, Ended) else INTERRUPTED
    return code


def process() -> NoReturn:
    """Run a command as this process.

    After Ctrl-C the process ends without unloading TVM, which takes a second or more. Its workers die with it.
    """
    leave_torch_out()
    code = main()
    if sys.stdout is not None:
        divert_stdout()  # what a user's file prints at exit is not our output
    if code > 128 or Cluster.stuck:  # a signal ended it, or Ray would wait for a cluster that is gone
        os._exit(code)
    sys.exit(code)


def parser() -> Parser:
    """All commands and options."""
    top = Parser(prog="colt", description="Tune tensor programs with a pool of proposers.")
    top.add_argument("--version", action="version", version=f"colt {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return top
