"""``colt run``: a compiled model on given inputs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from colt.cli.codes import OK
from colt.cli.output import say
from colt.store.output import require_output


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("run", help="run a compiled model")
    command.add_argument("model", metavar="FILE.colt", help="a compiled model; its library is run as your own code")
    command.add_argument(
        "--input", metavar="FILE.npy", action="append", default=[], help="an input, once for each in order"
    )
    command.add_argument("-o", "--output", metavar="FILE.npz", help="where outputs go; they are described if left out")
    command.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Load, call, and write or describe the outputs."""
    from colt.models.loading import load
    from colt.models.tensors import described, read_arrays, write_arrays

    output = None if given.output is None else require_output(Path(given.output), [given.model, *given.input])
    model = load(Path(given.model))
    outputs = model(*read_arrays(map(Path, given.input)))
    named = dict(
        zip(
            (one.name for one in model.report.outputs), outputs if isinstance(outputs, list) else [outputs], strict=True
        )
    )
    if output is not None:
        write_arrays(output, named)
        say(f"wrote {output}")
    for name, array in named.items():
        say(described(name, array))
    return OK
