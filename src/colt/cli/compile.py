"""``colt compile``: a whole model, tuned within one budget, as one file."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from colt.cli.codes import OK, OTHER_OUTPUTS
from colt.cli.output import progress, say, show
from colt.cli.parser import add_declared, by_name, input_shape, open_sizes
from colt.errors import StorageError
from colt.events import Began
from colt.models.options import SUFFIX, CompileOptions
from colt.records.place import records_path
from colt.store.output import require_output
from colt.util.declared import options_of
from colt.util.interrupt import PromptExit
from colt.util.streams import print_json, stdout_to_stderr
from colt.util.waiting import told_of_waiting


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        "compile",
        help="compile a whole model",
        description="Tune the programs of a model within one budget, put them together, compare the whole with the "
        "original, and write one file. A FILE.py is imported and run as your own code.",
    )
    command.add_argument(
        "model",
        metavar="MODEL",
        help="a .pt2 file (torch.export), an .onnx file, or FILE.py:NAME, a function that returns a torch.nn.Module "
        "and a tuple of example inputs",
    )
    command.add_argument("-o", "--output", metavar="FILE.colt", help="the file to write (default: MODEL.colt here)")
    command.add_argument(
        "--input",
        metavar="FILE.npy",
        action="append",
        help="an example input to compare and time with, once for each in order; the model's own if left out",
    )
    command.add_argument(
        "--shape",
        metavar="NAME=1,3,224,224",
        type=input_shape,
        action="append",
        help=options_of(CompileOptions)["shapes"].meaning,
    )
    command.add_argument(
        "--sizes",
        metavar="NAME=1,8,32",
        type=open_sizes,
        action="append",
        help=options_of(CompileOptions)["sizes"].meaning,
    )
    command.add_argument("--json", action="store_true", help="print the manifest as JSON, and nothing else")
    add_declared(command, list(options_of(CompileOptions).values()), _dest)
    command.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Compile, write, and show what was found."""
    from colt.models.bucket import compile_any
    from colt.models.report import table_of
    from colt.models.tensors import read_arrays

    output = Path(given.output or f"{_stem(given.model)}{SUFFIX}")
    require_output(output, [_path(given.model), *(given.input or ())])
    example = None if given.input is None else read_arrays(map(Path, given.input))
    chosen = {name: getattr(given, _dest(name)) for name in options_of(CompileOptions) if hasattr(given, _dest(name))}
    options = CompileOptions(**chosen, shapes=by_name(given.shape, "--shape"), sizes=by_name(given.sizes, "--sizes"))
    with PromptExit() as prompt, progress(options.tune_options(1).trials, given.json) as view, stdout_to_stderr():
        prompt.when_heeded = view.stopping
        try:
            with told_of_waiting(lambda text: view(Began(text))):
                compiled = compile_any(given.model, example, replace(options, on_event=(view,)))
            compiled.save(output)
        except StorageError as error:
            raise StorageError(f"{error}; {_to_go_on(options)}") from None
    if given.json:
        print_json(f"{compiled.report.to_json()}\n")
    else:
        show(table_of(compiled.report))
        say(f"wrote {output}; `colt run {output} --input FILE.npy` runs it, colt.load({str(output)!r}) in Python")
    if compiled.storage_failure is not None:
        raise compiled.storage_failure
    return OK if compiled.report.is_right else OTHER_OUTPUTS


def _to_go_on(options: CompileOptions) -> str:
    """Where what was found is, once the model cannot be written."""
    if options.run_dir is not None:
        return f"the same command goes on from {options.run_dir}"
    if options.use_records and (options.records or records_path()) is not None:
        return "the same command begins with what the records have by now; with --run DIR it could go on"
    return "nothing of the search is kept; with --run DIR the same command could go on"


def _path(model: str) -> str:
    """The file that a model is read from."""
    return model.rpartition(":")[0] if ".py:" in model else model


def _stem(model: str) -> str:
    return Path(model.rpartition(":")[2] if ".py:" in model else model).stem


def _dest(name: str) -> str:
    return f"compile_{name}"
