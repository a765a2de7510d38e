"""``colt replay``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from colt.cli.codes import DIFFERENT, OK
from colt.cli.output import progress, say


def add(commands: Any) -> None:
    """Add the command."""
    replay = commands.add_parser(
        "replay",
        help="search again as a finished run did, from its recording",
        description="Search again as a finished run did. Its recorded answers take the place of the hardware: nothing "
        "is built, measured or connected to. Exit code 0 if events and receipt are identical, 1 if not.",
    )
    replay.add_argument("run", metavar="DIR", help="a run directory")
    replay.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Replay and compare."""
    from colt.run.replay import load

    run = load(Path(given.run))
    with progress(run.plan.budget.trials, doing="replaying: ") as view:
        replay = run.replay([view])
    say(str(replay))
    return OK if replay.identical else DIFFERENT
