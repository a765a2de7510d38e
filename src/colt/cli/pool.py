"""``colt pool check``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from colt.cli.codes import OK, SOME_UNUSABLE
from colt.cli.output import say, show


def add(commands: Any) -> None:
    """Add the command."""
    pool = commands.add_parser("pool", help="look into a pool of language models").add_subparsers(
        title="commands", required=True, metavar="COMMAND"
    )
    check = pool.add_parser(
        "check",
        help="probe every model of a pool file",
        description="Put one small question to each model of a pool file: is it reachable, is the key accepted, is a "
        "JSON schema enforced, is usage reported, what does a call cost. The exit code is 0 if all are usable, 1 if "
        "some are not.",
    )
    check.add_argument("pool", metavar="POOL", help="a pool file (docs/pool.md)")
    check.add_argument("--json", action="store_true", help="print what was found as JSON, and nothing else")
    check.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Probe, remember and print."""
    from colt.proposers.poolfile import load_pool

    pool = load_pool(Path(given.pool))
    from colt.proposers.language import probe
    from colt.proposers.language.findings import remember

    findings = probe.check(pool.models)
    remember(findings)
    if given.json:
        print(probe.to_json(findings))
    elif findings:
        show(probe.table(findings))
    else:
        say("the pool has built-in experts alone; there is nothing to probe")
    return OK if all(finding.usable for finding in findings) else SOME_UNUSABLE
