"""The command line: arguments in, tables out. Every command is a few lines over the Python API.

Imports are local to the commands, so that ``colt --help`` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from colt import __version__
from colt.errors import ColtError, InputError
from colt.options import PRESETS, SearchConfig

if TYPE_CHECKING:
    from colt.plan import Plan
    from colt.views.terminal import ProgressView

SOME_UNUSABLE = 1
DIFFERENT = 1
USAGE_ERROR = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 2 for bad input, 1 for a pool of which not all is usable, or a replay
    that differs."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.command(options)
        if sys.stdout is not None:
            sys.stdout.flush()
    except ColtError as error:
        print(f"colt: {error}", file=sys.stderr)
        return USAGE_ERROR
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read our output has gone
        return 0
    except OSError as error:
        print(f"colt: {error.filename or 'the output'} cannot be written: {error.strerror or error}", file=sys.stderr)
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("colt: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer, such as 4") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, such as 0.95") from None


def _dollars(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of dollars, such as 0.05") from None


_TYPES: dict[type, Callable[[str], Any]] = {int: _integer, float: _number, str: str}


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    top = argparse.ArgumentParser(prog="colt", description="Tune tensor programs with a pool of proposers.")
    top.add_argument("--version", action="version", version=f"colt {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_tune(commands)
    _add_show(commands)
    _add_replay(commands)
    _add_export(commands)
    _add_bench(commands)
    _add_pool(commands)
    listing = commands.add_parser("workloads", help="list the built-in workloads")
    listing.set_defaults(command=workloads)
    hardware = commands.add_parser("hardware", help="show this machine and its measured peaks")
    hardware.add_argument("--threads", type=_integer, help="threads to measure with (all cores)")
    hardware.add_argument("--refresh", action="store_true", help="measure again")
    hardware.set_defaults(command=show_hardware)
    return top


def _add_tune(commands: Any) -> None:
    tune = commands.add_parser(
        "tune",
        help="tune a workload or a program of your own",
        description="Tune a built-in workload, or a program in a Python file of yours, which is imported and run as "
        "your own code.",
    )
    tune.add_argument("program", help="a workload's name, or FILE.py:NAME (a PrimFunc, an IRModule, or a function)")
    tune.add_argument("--size", help="small (default) or paper, for workloads")
    tune.add_argument("--target", help='TVM target as JSON or tag, such as {"kind":"llvm","mcpu":"znver4"}')
    tune.add_argument(
        "--pool", help="built-in experts, separated by commas (scout,tuner,architect), or a FILE.toml (docs/pool.md)"
    )
    tune.add_argument("--trials", type=_integer, default=64, help="schedules to measure (default: 64)")
    tune.add_argument("--seconds", type=_number, help="stop measuring after so many seconds")
    tune.add_argument(
        "--until-roofline", type=_number, metavar="SHARE", help="stop once the best reaches this share, such as 0.95"
    )
    tune.add_argument("--seed", type=_integer, default=0, help="seeds everything random (default: 0)")
    tune.add_argument("--threads", type=_integer, help="threads for kernels (default: all cores)")
    tune.add_argument(
        "--exact-math",
        action="store_true",
        help="leave exp, tanh, erf and the like to the C library, instead of computing them in vectors to a few ulp",
    )
    tune.add_argument("--rpc", metavar="HOST:PORT", help="run kernels on a board of this TVM RPC tracker; needs --key")
    tune.add_argument("--key", help="the key of the board")
    _add_calling(tune.add_argument_group("language models, for pools that have any"))
    tune.add_argument("--run", metavar="DIR", help="run directory, new or empty (default: runs/NAME-N)")
    tune.add_argument("--json", action="store_true", help="print the receipt as JSON, and nothing else")
    tune.add_argument("--config", metavar="FILE", help="TOML file with a [search] table, such as a run's config.toml")
    tune.add_argument("--preset", choices=tuple(PRESETS), help="named search settings")
    group = tune.add_argument_group("search settings")
    for spec in dataclasses.fields(SearchConfig):
        _add_setting(group, spec)
    tune.set_defaults(command=tune_program)


def _add_calling(group: Any) -> None:
    group.add_argument("--max-usd", type=_dollars, metavar="X", help="dollars to spend at most")
    group.add_argument("--max-calls", type=_integer, metavar="N", help="requests to make at most")
    group.add_argument("--max-tokens", type=_integer, metavar="N", help="tokens to use at most, in and out together")
    group.add_argument("--max-seconds", type=_number, metavar="S", help="ask no more after so many seconds")
    group.add_argument("--strict-pool", action="store_true", help="stop when no model can be asked")
    group.add_argument(
        "--keep-paying", action="store_true", help="ask to the end, even if free proposals have become as good"
    )
    group.add_argument(
        "--dry-run", action="store_true", help="estimate what a run would cost, and neither ask nor measure anything"
    )


def _add_setting(group: Any, spec: dataclasses.Field[Any]) -> None:
    """One option for one field of the search config."""
    meaning = spec.metadata["meaning"].replace("%", "%%")
    default = f"{spec.default:.4g}" if isinstance(spec.default, float) else spec.default
    group.add_argument(
        "--" + spec.name.replace("_", "-"),
        dest=f"search_{spec.name}",
        type=_TYPES[type(spec.default)],
        choices=spec.metadata["choices"] or None,
        metavar=None if spec.metadata["choices"] else "N" if isinstance(spec.default, int) else "X",
        help=f"{meaning} (default: {default})",
    )


def _add_show(commands: Any) -> None:
    show = commands.add_parser("show", help="show the result of a run again")
    show.add_argument("run", metavar="DIR", help="a run directory")
    show.add_argument("--json", action="store_true", help="print the receipt as JSON")
    show.set_defaults(command=show_run)


def _add_replay(commands: Any) -> None:
    replay = commands.add_parser(
        "replay",
        help="search again as a finished run did, from its recording",
        description="Search again as a finished run did. Its recorded answers take the place of the hardware: nothing "
        "is built, measured or connected to. Exit code 0 if events and receipt are identical, 1 if not.",
    )
    replay.add_argument("run", metavar="DIR", help="a run directory")
    replay.set_defaults(command=replay_run, json=False)


def _add_export(commands: Any) -> None:
    export = commands.add_parser("export", help="write a run's kernel as a shared library")
    export.add_argument("run", metavar="DIR", help="a run directory")
    export.add_argument("-o", "--output", metavar="FILE", required=True, help="the file to write")
    export.set_defaults(command=export_run)


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser(
        "bench",
        help="compare search methods with each other and with libraries",
        description="Run workloads x strategies x seeds, each search in a process of its own; then time the winners of "
        "all strategies and the peers in turn, and write a report. The same command resumes what was interrupted.",
    )
    bench.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD", help="names of workloads, or the groups main (default) and held-out"
    )
    bench.add_argument("--out", metavar="DIR", required=True, help="directory, new or of this very benchmark")
    bench.add_argument(
        "--strategies",
        nargs="+",
        metavar="NAME",
        default=["stock", "random", "mcts", "architect", "colt"],
        help="of stock (MetaSchedule's evolutionary search), random (random schedules), mcts (the tree with random "
        "edits alone), architect (the best that it constructs, without a tree) and colt (default: all)",
    )
    bench.add_argument("--trials", type=_integer, default=64, help="schedules that each search measures (default: 64)")
    bench.add_argument(
        "--seeds", type=_integer, default=3, help="searches by each strategy, seeded 0, 1, ... (default: 3)"
    )
    bench.add_argument("--size", default="small", help="small (default) or paper")
    bench.add_argument(
        "--space",
        default="own",
        help="what is searched: own (default: MetaSchedule's space for stock, COLT's for the others), or the same for "
        "all: colt or metaschedule",
    )
    bench.add_argument(
        "--warm-start",
        type=_integer,
        default=0,
        metavar="N",
        help="have every strategy begin with the same N schedules, which the architect constructs (default: 0, each as "
        "it does by itself)",
    )
    bench.add_argument(
        "--peers",
        nargs="+",
        metavar="NAME",
        help="libraries to hold winners against: numpy, torch, sdpa, torch.compile, or none (default: all installed)",
    )
    bench.add_argument("--threads", type=_integer, help="threads for kernels and peers (default: all cores)")
    bench.set_defaults(command=run_bench)


def _add_pool(commands: Any) -> None:
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
    check.set_defaults(command=check_pool)


# ---- commands ----


def tune_program(options: argparse.Namespace) -> int:
    """``colt tune``."""
    config = search_config(options)
    from colt.plan import plan
    from colt.run.loop import run
    from colt.store.directory import RunDirectory, next_free

    made = plan(
        options.program,
        size=options.size,
        target=options.target,
        pool=_pool(options.pool),
        trials=options.trials,
        seconds=options.seconds,
        until_roofline=options.until_roofline,
        seed=options.seed,
        threads=options.threads,
        config=config,
        run_dir=options.run,
        exact_math=options.exact_math,
        rpc=options.rpc,
        key=options.key,
        max_usd=options.max_usd,
        max_calls=options.max_calls,
        max_tokens=options.max_tokens,
        max_seconds=options.max_seconds,
        strict_pool=options.strict_pool,
        keep_paying=options.keep_paying,
    )
    if options.dry_run:
        return _estimate(made, options)
    if made.run_dir is None:
        parts = [made.program.name, made.program.size or ""]
        folder = next_free(Path("runs"), "-".join(filter(None, parts)))
        RunDirectory.require_free(folder)
        made = dataclasses.replace(made, run_dir=folder)
    with progress_for(made, options) as progress:
        result = run(made, [progress])
    if options.json:
        print(result.receipt.to_json().decode(), end="")
    else:
        _print_result(result.receipt)
        print(f"run directory: {made.run_dir}")
    return 0


def search_config(options: argparse.Namespace) -> SearchConfig:
    """Preset, then config file, then options: the later win. A pool file has a preset of its own by default."""
    changes: dict[str, Any] = {}
    if options.config is not None:
        changes.update(_search_table(Path(options.config)))
    for spec in dataclasses.fields(SearchConfig):
        given = getattr(options, f"search_{spec.name}")
        if given is not None:
            changes[spec.name] = given
    if options.preset is None and options.pool is not None:
        from colt.run.calling import names_a_file

        return SearchConfig.preset("models" if names_a_file(options.pool) else "default", **changes)
    return SearchConfig.preset(options.preset or "default", **changes)


def _search_table(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits is no TOMLDecodeError
        raise InputError(f"{path} is not TOML: {error}") from None
    unknown = [name for name in tables if name not in ("run", "search", "member")]
    table = tables.get("search")
    if unknown or not isinstance(table, dict):
        found = ", ".join(tables) or "nothing"
        raise InputError(
            f"{path} needs a [search] table, and may have [run] and [[member]] tables that are not read; it has {found}"
        )
    SearchConfig.from_mapping(table)
    return table


def _pool(text: str | None) -> str | tuple[str, ...]:
    """A pool file, or names."""
    from colt.proposers.experts import builtin
    from colt.run.calling import names_a_file

    if text is None:
        return builtin.DEFAULT
    return text if names_a_file(text) else tuple(text.split(","))


def _estimate(made: Plan, options: argparse.Namespace) -> int:
    """``colt tune --dry-run``."""
    from colt.run.forecast import forecast, forecast_table, to_json

    found = forecast(made)
    if options.json:
        print(to_json(found))
    else:
        _print(forecast_table(found))
    return 0


def progress_for(plan: Plan, options: argparse.Namespace) -> ProgressView:
    """How to show progress here: live on a terminal, plain lines elsewhere, nothing beside JSON."""
    from rich.console import Console

    from colt.views.terminal import LiveProgress, PlainProgress, Silent

    if options.json:
        return Silent()
    console = Console(stderr=True, markup=False)
    if console.is_terminal:
        return LiveProgress(plan.budget.trials, console)
    return PlainProgress(plan.budget.trials, sys.stderr)


def show_run(options: argparse.Namespace) -> int:
    """``colt show``."""
    from colt.store.receipt import load_receipt, printable

    receipt = load_receipt(Path(options.run))
    if options.json:
        print(receipt.to_json().decode(), end="")
    else:
        _print_result(printable(receipt))
    return 0


def replay_run(options: argparse.Namespace) -> int:
    """``colt replay``."""
    from colt.run.replay import load

    run = load(Path(options.run))
    with progress_for(run.plan, options) as progress:
        replay = run.replay([progress])
    print(replay)
    return 0 if replay.identical else DIFFERENT


def export_run(options: argparse.Namespace) -> int:
    """``colt export``."""
    from colt.run.export import export_kernel, loading_lines
    from colt.store.receipt import load_receipt

    receipt = load_receipt(Path(options.run))
    output = export_kernel(Path(options.run), receipt, Path(options.output))
    print(f"wrote {output}; load and call it so:\n\n{loading_lines(output, receipt)}")
    return 0


def run_bench(options: argparse.Namespace) -> int:
    """``colt bench``."""
    from colt.bench.config import checked
    from colt.bench.directory import REPORT
    from colt.bench.run import run

    if not options.out:
        raise InputError("the directory has an empty name")
    config = checked(
        options.workloads,
        size=options.size,
        strategies=options.strategies,
        trials=options.trials,
        seeds=options.seeds,
        space=options.space,
        warm_start=options.warm_start,
        peers=options.peers,
        threads=options.threads,
    )
    out = Path(options.out)
    try:
        report = run(config, out, lambda text: print(text, file=sys.stderr, flush=True))
    except KeyboardInterrupt:
        print("colt: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    print(report)
    print(f"written to {out / REPORT}")
    return 0


def check_pool(options: argparse.Namespace) -> int:
    """``colt pool check``."""
    from colt.proposers.poolfile import load_pool

    pool = load_pool(Path(options.pool))
    from colt.proposers.language import probe
    from colt.proposers.language.findings import remember

    findings = probe.check(pool.models)
    remember(findings)
    if options.json:
        print(probe.to_json(findings))
    else:
        _print(probe.table(findings) if findings else "the pool has built-in experts alone; there is nothing to probe")
    return 0 if all(finding.usable for finding in findings) else SOME_UNUSABLE


def workloads(options: argparse.Namespace) -> int:
    """``colt workloads``."""
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
        _print(table)
    return 0


def show_hardware(options: argparse.Namespace) -> int:
    """``colt hardware``."""
    from rich.table import Table

    from colt.tvm.devices.peaks import hardware_with_peaks
    from colt.views.describe import hardware_rows

    threads = options.threads if options.threads is not None else len(os.sched_getaffinity(0))
    table = Table(show_header=False)
    for name, value in hardware_rows(hardware_with_peaks(threads, options.refresh)):
        table.add_row(name, value)
    _print(table)
    return 0


def _print_result(receipt: Any) -> None:
    from colt.views.table import result_table

    _print(result_table(receipt))


def _print(what: Any) -> None:
    from rich.console import Console

    console = Console(markup=False)  # names come from the user's program
    if not console.is_terminal:
        console = Console(width=140, markup=False)  # a pipe has no width of its own
    console.print(what)


def _exit() -> NoReturn:
    sys.exit(main())


if __name__ == "__main__":
    _exit()
