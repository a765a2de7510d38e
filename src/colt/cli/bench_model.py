"""``colt bench-model``: a compiled model beside what others make of the original."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from colt.cli.codes import OK
from colt.cli.output import say_waiting, show
from colt.cli.parser import by_name, input_shape, open_sizes
from colt.util.streams import print_json, stdout_to_stderr
from colt.util.text import counted
from colt.util.waiting import told_of_waiting

_PEERS = ("torch", "torch.compile", "ort", "openvino")


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        "bench-model",
        help="time a compiled model beside PyTorch, ONNX Runtime and OpenVINO",
        description="Start each contender in a process of its own, with as many threads as the model was compiled for, "
        "compare its outputs with the original's, and time all of them in turn.",
    )
    command.add_argument("compiled", metavar="FILE.colt", help="a compiled model; its library is run as your own code")
    command.add_argument("--model", metavar="MODEL", help="the original, as `colt compile` takes it")
    command.add_argument(
        "--peers",
        nargs="+",
        metavar="NAME",
        default=list(_PEERS),
        help=f"any of {', '.join(_PEERS)}, torch.compile-freezing, and the .colt files of other compilations (default: "
        f"{' '.join(_PEERS)}); what is not installed is left out, and said",
    )
    command.add_argument(
        "--shape",
        metavar="NAME=1,3,224,224",
        type=input_shape,
        action="append",
        help="the shape of an input whose sizes an .onnx file leaves open",
    )
    command.add_argument(
        "--sizes",
        metavar="NAME=1,8,32",
        type=open_sizes,
        action="append",
        help="the sizes to time, as for `colt compile`; those that the model was compiled for if left out",
    )
    command.add_argument(
        "--json",
        action="store_true",
        help="print the figures as JSON, an object for each of the sizes, and nothing else",
    )
    command.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Time, and show a table."""
    from colt.bench.model import AskedSizes, bench_model, sizes_to_time

    path, shapes = Path(given.compiled), by_name(given.shape, "--shape")
    for sizes in sizes_to_time(path, by_name(given.sizes, "--sizes")):
        with stdout_to_stderr(), told_of_waiting(say_waiting):
            found = bench_model(path, given.model, given.peers, AskedSizes(shapes, sizes))
        if given.json:
            print_json(found.to_json().decode())
        else:
            show(_table(found))
    return OK


def _table(found: Any) -> Any:
    from colt.models.sized import in_words
    from colt.util.grid import Grid

    head = ("", "ms", "95 % interval", "speed-up of colt", "95 % interval", "error", "")
    rows = [
        (
            row.name,
            "-" if row.median_us is None else f"{row.median_us / 1e3:.3g}",
            _interval(row.interval_us, 1e-3),
            "" if row.speedup is None else f"{row.speedup:.2f}x",
            _interval(row.speedup_interval, 1),
            "-" if row.max_rel_error is None else f"{row.max_rel_error:.1e}",
            row.problem,
        )
        for row in found.rows
    ]
    model = f"{found.model}, {in_words(found.sizes)}" if found.sizes else found.model
    title = f"{model}, {counted(found.threads, 'thread')}, {found.cpu}"
    disturbed = f", {found.disturbed} of them disturbed by other loads" if found.disturbed else ""
    return Grid(head, rows, left=(0, 6), title=title, note=f"{counted(found.rounds, 'round')} in turn{disturbed}")


def _interval(ends: tuple[float, float] | None, factor: float) -> str:
    return "" if ends is None else f"{ends[0] * factor:.3g} to {ends[1] * factor:.3g}"
