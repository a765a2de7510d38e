"""``colt finish``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from colt.cli.codes import OK
from colt.cli.output import progress, show_result
from colt.cli.parser import add_declared, add_program_of_run
from colt.options import TuneOptions
from colt.util.declared import options_of
from colt.util.interrupt import PromptExit
from colt.util.streams import stdout_to_stderr


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        "finish",
        help="make receipt and kernel of a run that broke off",
        description="Make receipt and kernel of a run that broke off, such as by kill -9, from what it had measured. "
        "Nothing new is tried and no language model is asked; the fastest are verified and compared as at the end of "
        "any run, so that machine and versions have to be those of the run. colt resume goes on with the search.",
    )
    command.add_argument("run", metavar="DIR", help="the directory of a run without a receipt")
    add_program_of_run(command)
    add_declared(command, [options_of(TuneOptions)["fleet"]], str, "the cluster of the run")
    command.add_argument("--json", action="store_true", help="print the receipt as JSON, and nothing else")
    command.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Finish the run, and print its receipt."""
    from colt.run.resume import finish

    with PromptExit() as prompt, progress(0, given.json) as view, stdout_to_stderr():
        prompt.when_heeded = view.stopping
        result = finish(Path(given.run), given.program, views=[view], fleet=getattr(given, "fleet", None))
    show_result(result, given.json)
    return OK
