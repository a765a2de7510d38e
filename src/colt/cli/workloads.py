"""``colt workloads``."""

from __future__ import annotations

import argparse
from typing import Any

from colt.cli.codes import OK
from colt.cli.output import show

HEAD = ("workload", "size", "arguments", "GFLOP", "MB")


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("workloads", help="list the built-in workloads")
    command.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Print a table for each group."""
    from colt.tvm.programs import workloads as registry
    from colt.util.grid import Grid

    for group, meaning in registry.GROUPS.items():
        rows = []
        for name in registry.names(group):
            workload = registry.get(name)
            for size in workload.sizes:
                arguments = ", ".join(f"{a.name}{list(a.shape)}" for a in workload.arguments(size))
                flops, megabytes = workload.flops(size) / 1e9, workload.min_bytes(size) / 1e6
                rows.append((name, size, arguments, f"{flops:.3f}", f"{megabytes:.1f}"))
        show(Grid(HEAD, rows, left=(0, 1, 2), title=f"{group}: {meaning}"))
    return OK
