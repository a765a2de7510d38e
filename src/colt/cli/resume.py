"""``colt resume``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from colt.cli.codes import OK
from colt.cli.output import progress, show_result
from colt.cli.parser import add_declared, add_program_of_run
from colt.options import BUDGET, MODELS, TuneOptions
from colt.util.declared import options_of
from colt.util.interrupt import PromptExit
from colt.util.streams import stdout_to_stderr


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        "resume",
        help="go on with a run that was killed, interrupted, or is given more",
        description="Go on with a run that was killed or interrupted, or has come to its end and is given a larger "
        "budget. What it has measured and been answered is kept; program, target, versions and machine have to be "
        "those of the run.",
    )
    command.add_argument("run", metavar="DIR", help="the directory of a run")
    add_program_of_run(command)
    add_declared(command, [options_of(TuneOptions)["fleet"]], str, "the cluster of the run")
    declared = [options_of(TuneOptions)[name] for name in BUDGET]
    add_declared(command, [one for one in declared if one.group != MODELS], str, "as before")
    add_declared(command.add_argument_group(MODELS), [one for one in declared if one.group == MODELS], str, "as before")
    command.add_argument("--json", action="store_true", help="print the receipt as JSON, and nothing else")
    command.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Go on, and print the receipt."""
    from colt.run.resume import go_on

    changes = {name: getattr(given, name) for name in BUDGET if hasattr(given, name)}
    with PromptExit() as prompt, progress(changes.get("trials", 0), given.json) as view, stdout_to_stderr():
        prompt.when_heeded = view.stopping
        result = go_on(Path(given.run), changes, given.program, views=[view], fleet=getattr(given, "fleet", None))
    show_result(result, given.json)
    return OK
