"""``colt tune``: its options are those that are declared in :mod:`colt.options`, and some for the output."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colt.cli.codes import OK
from colt.cli.output import progress, say_waiting, show, show_result, tell
from colt.cli.parser import add_declared
from colt.errors import InputError
from colt.options import MODELS, PRESETS, SearchConfig, TuneOptions
from colt.util.declared import options_of
from colt.util.files import read_file
from colt.util.interrupt import PromptExit
from colt.util.streams import print_json, stdout_to_stderr
from colt.util.waiting import told_of_waiting

if TYPE_CHECKING:
    from colt.plan import Plan


def add(commands: Any) -> None:
    """Add the command."""
    tune = commands.add_parser(
        "tune",
        help="tune a workload or a program of your own",
        description="Tune a built-in workload, or a program in a Python file of yours, which is imported and run as "
        "your own code.",
    )
    tune.add_argument(
        "program", metavar="PROGRAM", help="a workload's name, or FILE.py:NAME (a PrimFunc, an IRModule, or a function)"
    )
    groups = {"": tune}
    for one in options_of(TuneOptions).values():
        if one.group not in groups:
            groups[one.group] = tune.add_argument_group(one.group)
        add_declared(groups[one.group], [one], _tune_dest)
    tune.add_argument("--json", action="store_true", help="print the receipt as JSON, and nothing else")
    groups[MODELS].add_argument(
        "--dry-run", action="store_true", help="estimate what a run would cost, and neither ask nor measure anything"
    )
    search = tune.add_argument_group("search settings", "The later win: a preset, a config file, single settings.")
    search.add_argument(
        "--preset",
        metavar=f"{{{','.join(PRESETS)}}}",
        help="named settings (default: models for pools with language models)",
    )
    search.add_argument("--config", metavar="FILE", help="TOML file with a [search] table, such as a run's config.toml")
    add_declared(search, list(options_of(SearchConfig).values()), _search_dest)
    tune.set_defaults(run_command=run_command)


def run_command(given: argparse.Namespace) -> int:
    """Tune, or estimate what it would cost."""
    settings = search_settings(given)
    from colt.plan import plan

    with stdout_to_stderr(), told_of_waiting(say_waiting):  # what the user's file prints
        made = plan(given.program, **_given(given, TuneOptions, _tune_dest), config=settings)
    return _estimate(made, given.json) if given.dry_run else _tune(made, given.json)


def search_settings(given: argparse.Namespace) -> SearchConfig | dict[str, Any]:
    """Preset, then config file, then single settings: the later win. Without a preset, the pool decides on it."""
    changes = {} if given.config is None else _search_table(Path(given.config))
    changes |= _given(given, SearchConfig, _search_dest)
    return changes if given.preset is None else SearchConfig.preset(given.preset, **changes)


def _given(given: argparse.Namespace, declaring: type, dest: Any) -> dict[str, Any]:
    return {name: getattr(given, dest(name)) for name in options_of(declaring) if hasattr(given, dest(name))}


def _tune_dest(name: str) -> str:
    return f"tune_{name}"


def _search_dest(name: str) -> str:
    return f"search_{name}"


def _search_table(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        tables = tomllib.loads(read_file(path).decode("utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits is no TOMLDecodeError
        raise InputError(f"{path} is not TOML: {error}") from None
    unknown = [name for name in tables if name not in ("run", "search", "member", "pace", "inputs", "made_with")]
    table = tables.get("search")
    if unknown or not isinstance(table, dict):
        found = ", ".join(tables) or "nothing"
        raise InputError(
            f"{path} needs a [search] table, and may have [run] and [[member]] tables that are not read; it has {found}"
        )
    try:
        SearchConfig.from_mapping(table)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return table


def _tune(made: Plan, json: bool) -> int:
    from colt.run.loop import run
    from colt.store.directory import RECORDING, RunDirectory

    with ExitStack() as stack:
        prompt = stack.enter_context(PromptExit())
        if made.run_dir is None:
            folder = RunDirectory.reserve_next(
                Path("runs"), "-".join(filter(None, (made.program.name, made.program.size)))
            )
            stack.callback(RunDirectory.release, folder)
            prompt.before_exit = partial(RunDirectory.release, folder)
            made = replace(made, run_dir=folder)
        view = stack.enter_context(progress(made.budget.trials, json))
        prompt.when_heeded = view.stopping
        try:
            with stdout_to_stderr():  # threads of the user's file may still print
                (result,) = run(made, [view])
        except KeyboardInterrupt:
            if made.run_dir is not None and (made.run_dir / RECORDING).is_file():
                tell(f"colt: `colt resume {made.run_dir}` goes on, `colt finish {made.run_dir}` keeps the best so far")
            raise
    show_result(result, json)
    return OK


def _estimate(made: Plan, json: bool) -> int:
    from colt.run.forecast import forecast, forecast_table, to_json

    found = forecast(made)
    if json:
        print_json(f"{to_json(found)}\n")
    else:
        show(forecast_table(found))
    return OK
