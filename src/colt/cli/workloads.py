"""``colt workloads``."""

from __future__ import annotations

import argparse
from typing import Any

from colt.cli.codes import OK
from colt.cli.output import show


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("workloads", help="list the built-in workloads")
    command.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Print a table for each group."""
    from rich.table import Table

    from colt.tvm.programs import workloads as registry

    for group, meaning in registry.GROUPS.items():
        table = Table(title=f"{group}: {meaning}", title_justify="left")
        for name in ("workload", "size", "arguments", "GFLOP", "MB"):
            table.add_column(name, justify="right" if name in ("GFLOP", "MB") else "left")
        for name in registry.names(group):
            workload = registry.get(name)
            for size in workload.sizes:
                arguments = ", ".join(f"{a.name}{list(a.shape)}" for a in workload.arguments(size))
                flops, megabytes = workload.flops(size) / 1e9, workload.min_bytes(size) / 1e6
                table.add_row(name, size, arguments, f"{flops:.3f}", f"{megabytes:.1f}")
        show(table)
    return OK
