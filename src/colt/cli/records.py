"""``colt records``: what earlier runs have found, looked at, given away, taken in, and thinned out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colt.cli.codes import OK
from colt.cli.output import say, show
from colt.cli.parser import integer
from colt.errors import InputError
from colt.util.streams import print_json
from colt.util.text import counted

if TYPE_CHECKING:
    from colt.records.store import Numbered, Store


def add(commands: Any) -> None:
    """Add the command and its own."""
    records = commands.add_parser(
        "records",
        help="look at what earlier runs have found, export and import it",
        description="Records of earlier runs: $COLT_RECORDS, or else ~/.local/share/colt/records.db.",
    )
    own = records.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listing = _command(own, "list", _list, "all records; of each program first those that won a run, then the fastest")
    listing.add_argument("program", metavar="PROGRAM", nargs="?", help="only those of programs of that name")
    listing.add_argument("--json", action="store_true", help="print JSON lines, and nothing else")
    shown = _command(own, "show", _show, "one record, all of it")
    shown.add_argument("number", metavar="N", type=integer, help="its number in the list")
    exported = _command(own, "export", _export, "write records as JSON lines, or as a MetaSchedule database")
    exported.add_argument("program", metavar="PROGRAM", nargs="?", help="only those of programs of that name")
    exported.add_argument(
        "-o", "--output", metavar="PATH", required=True, help="a file for JSON lines; with --stock, a new folder"
    )
    exported.add_argument("--stock", action="store_true", help="write what stock ms.database.JSONDatabase reads")
    imported = _command(own, "import", _import, "add records of a stranger; they are measured before they are believed")
    imported.add_argument(
        "source", metavar="PATH", help="JSON lines, a file of records, a run directory, or a MetaSchedule database"
    )
    pruned = _command(own, "prune", _prune, "remove records")
    pruned.add_argument("program", metavar="PROGRAM", nargs="?", help="only those of programs of that name")
    pruned.add_argument("--keep", metavar="N", type=integer, help="so many of the best of each program stay")
    pruned.add_argument("--before", metavar="DATE", help="those found before that day, such as 2026-01-31")
    pruned.add_argument("--unverified", action="store_true", help="those that were never compared with their program")


def _command(own: Any, name: str, run: Any, text: str) -> Any:
    command = own.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    command.add_argument("--records", metavar="PATH", help="another file of records")
    command.set_defaults(run_command=run)
    return command


def _store(given: argparse.Namespace) -> Store:
    from colt.records.place import OFF, VARIABLE, records_path
    from colt.records.store import Store

    path = records_path() if given.records is None else Path(given.records)
    if path is None or not str(path):
        raise InputError(
            f"no records are kept (${VARIABLE} is {OFF}, or there is no home folder); name a --records PATH"
        )
    return Store(path)


def _chosen(given: argparse.Namespace, store: Store) -> list[Numbered]:
    """Those that were asked for; of each program the best first."""
    found = store.all()
    if found.unreadable:
        say(f"{found.unreadable} records of {store.path} cannot be read and are left out")
    chosen = [one for one in found.records if given.program in (None, one.record.name)]
    return sorted(chosen, key=lambda one: (one.record.name, one.record.key.program.structure, *one.record.rank))


def _of(given: argparse.Namespace) -> str:
    """The program that was asked for, in words."""
    return "" if given.program is None else f" of programs named {given.program}"


def _list(given: argparse.Namespace) -> int:
    from colt.records.lines import write_lines
    from colt.views.records import records_table

    store = _store(given)
    chosen = _chosen(given, store)
    if given.json:
        print_json(write_lines([one.record for one in chosen], {}).decode())
    elif chosen:
        show(records_table(chosen))
    else:
        say(f"no records{_of(given)} in {store.path}")
    return OK


def _show(given: argparse.Namespace) -> int:
    import msgspec

    record = _store(given)[given.number]
    print_json(msgspec.json.format(msgspec.json.encode(record), indent=2).decode() + "\n")
    return OK


def _export(given: argparse.Namespace) -> int:
    from colt.records.database import write_database
    from colt.records.lines import write_lines
    from colt.store.output import require_output
    from colt.util.files import write_atomically
    from colt.util.output import require_folder

    store, output = _store(given), Path(given.output)
    (require_folder if given.stock else require_output)(output)
    records = [one.record for one in _chosen(given, store)]
    if not records:
        raise InputError(f"{store.path} has no records{_of(given)} to export")
    if output.exists():
        raise InputError(f"{output} exists; name a new {'folder' if given.stock else 'file'}")
    programs = store.programs([record.stock.program for record in records if record.stock is not None])
    count = len(records)
    if given.stock:
        count = write_database(output, records, programs)
    else:
        write_atomically(output, write_lines(records, programs))
    left = f"; {len(records) - count} have no trace and are left out" if count < len(records) else ""
    say(f"wrote {count} records to {output}{left}")
    return OK


def _import(given: argparse.Namespace) -> int:
    from colt.tvm.metaschedule.imports import read_source

    store, source = _store(given), read_source(Path(given.source))
    for why in source.refused:
        say(f"left out: {why}")
    if not source.records:
        raise InputError(f"{given.source} has no records that can be imported ({len(source.refused)} refused)")
    taken = store.put(source.records, source.programs)
    known = len(source.records) - taken
    left = f", {known} left out, since the same schedules are known and verified here" if known else ""
    say(
        f"imported {counted(taken, 'record')} into {store.path}{left}, {len(source.refused)} refused; "
        "they are measured before they are believed"
    )
    return OK


def _prune(given: argparse.Namespace) -> int:
    from colt.records.prune import to_remove

    if given.keep is None and given.before is None and not given.unverified:
        raise InputError("say what to remove: --keep N, --before DATE, or --unverified")
    if (given.keep is not None) + (given.before is not None) + given.unverified > 1:
        raise InputError("--keep, --before and --unverified are alternatives; one at a time")
    if given.keep is not None and given.keep < 0:
        raise InputError(f"--keep is {given.keep}; it takes an integer of at least 0")
    store = _store(given)
    store.require()
    gone = to_remove(_chosen(given, store), given.keep, given.before, given.unverified)
    say(f"removed {counted(store.remove(gone) if gone else 0, 'record')} from {store.path}")
    return OK
