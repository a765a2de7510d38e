"""``colt dashboard``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from colt.cli.codes import OK
from colt.cli.output import say
from colt.cli.parser import integer
from colt.errors import InputError


def add(commands: Any) -> None:
    """Add the command."""
    dashboard = commands.add_parser(
        "dashboard",
        help="show runs in progress and past ones as live pages",
        description="Show runs in progress and past ones as live pages. It only reads. On another address than this "
        "machine's own it needs a token, which the printed address carries.",
    )
    dashboard.add_argument("folder", metavar="DIR", nargs="?", default="runs", help="where runs are (default: runs)")
    dashboard.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    dashboard.add_argument("--port", type=integer, default=8642, metavar="N", help="0 for any free (default: 8642)")
    dashboard.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    from colt.views.dashboard.serve import listen, serve

    folder = Path(given.folder)
    if not folder.is_dir():
        raise InputError(f"{folder} cannot be shown: there is no such folder")
    place = listen(given.host, given.port)
    say(f"runs in {folder}: {place.address}   (Ctrl-C ends it)")
    serve(folder, place)
    return OK
