"""A finished run, searched again from its recording.

load       read config, program, recording, journal and receipt; all of it is data from strangers
replay     the main job of :mod:`colt.run.loop`, with the recording in place of the world outside
compare    every event with the journal as it comes, the receipt field by field
"""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from colt import events
from colt.errors import InputError, MeasureError, ReplayError
from colt.events import Emit, Event, to_record
from colt.options import Budget, SearchConfig, SpaceKind
from colt.plan import MOST_BOARD_THREADS, MOST_SEED, Plan
from colt.proposers.language.money import Ceilings
from colt.proposers.language.prompt import worded_as_now
from colt.proposers.poolfile import PoolSpec
from colt.run.calling import Calling
from colt.run.loop import TREE, run
from colt.run.receipt import versions
from colt.store.directory import CONFIG, JOURNAL, PROGRAM, RECEIPT, RECORDING, RunDirectory, read_file
from colt.store.journal import read_journal
from colt.store.receipt import Receipt, load_receipt
from colt.tvm.devices.assumed import resolve_board_target
from colt.tvm.programs.export import load_module
from colt.tvm.programs.program import fingerprint
from colt.tvm.programs.source import Program, saved_program
from colt.tvm.workers import Board
from colt.world.answers import StableText
from colt.world.recording import Line, read_recording
from colt.world.world import Recorded

METHODS = {TREE.name: TREE}
MOST_SHOWN = 200
"""Characters of a value that differs."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of a replay: how far it agrees with its run."""

    events: int
    """So many events are the same."""
    nodes: int
    """Of the tree; 0 if the replay did not come to its end."""
    difference: str | None
    """The first one, in words."""
    warnings: tuple[str, ...]
    """What may be the reason for a difference."""

    @property
    def identical(self) -> bool:
        """Whether tree and receipt are those of the run."""
        return self.difference is None

    def __str__(self) -> str:
        if self.difference is not None:
            return f"different after {self.events} events: {self.difference}"
        return f"identical: {self.events} events, {self.nodes} nodes, receipt equal"


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A finished run that can be replayed."""

    plan: Plan
    """Without a run directory."""
    answers: Sequence[Line]
    journal: Sequence[dict[str, Any]]
    receipt: Receipt
    warnings: tuple[str, ...]
    reworded: bool = False
    """Whether an older version of COLT worded its prompts and messages, so that words are not compared."""

    def replay(self, on_event: Sequence[Emit] = (), run_dir: str | Path | None = None) -> Replay:
        """See :func:`replay`."""
        for listener in on_event:
            for warning in self.warnings:
                listener(events.Noted(warning))
        follower = _Follower(self.journal, self.reworded)
        nodes = 0
        with ExitStack() as stack:
            folder = run_dir or stack.enter_context(tempfile.TemporaryDirectory(prefix="colt-replay-"))
            plan = replace(self.plan, run_dir=Path(folder))
            try:
                receipt = run(plan, [follower, *on_event], METHODS[TREE.name], Recorded(self.answers)).receipt
                follower.require_end()
                nodes, difference = receipt.space.nodes, _receipt_difference(self.receipt, receipt, self.reworded)
            except (ReplayError, MeasureError) as error:
                difference = str(error)
        return Replay(follower.same, nodes, difference, self.warnings)


def replay(run: str | Path, *, run_dir: str | Path | None = None, on_event: Sequence[Emit] = ()) -> Replay:
    """Search again as a finished run did, from its recording. Nothing is built, measured or connected to.

    Parameters
    ----------
    run
        The directory of the run.
    run_dir
        A new directory for what a run leaves, except for the kernel; nothing is kept if left out.
    on_event
        Called with every event of :mod:`colt.events`, first with a note for each warning.

    Raises
    ------
    InputError
        ``run`` holds no finished run with a recording, or part of it is damaged.
    """
    if run_dir is not None:
        RunDirectory.require_free(Path(run_dir))
    return load(Path(run)).replay(on_event, run_dir)


def load(folder: Path) -> RecordedRun:
    """Read and check everything that a replay needs. Raises :class:`InputError`."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no run directory")
    receipt = load_receipt(folder)
    answers = read_recording(folder / RECORDING)
    journal = read_journal(folder / JOURNAL)
    plan, warnings = _read_plan(folder)
    reworded = not all(worded_as_now(line.answer.text) for line in answers if isinstance(line.answer, StableText))
    if reworded:
        warnings.append("an older version of COLT worded prompts and messages; words are not compared")
    return RecordedRun(plan, answers, journal, receipt, (*_other_versions(receipt), *warnings), reworded)


# ---- what was asked for ----


class _RunTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As :meth:`~colt.run.context.Plan.to_config` writes it."""

    program: str
    name: str
    method: str
    trials: int
    seed: Annotated[int, Meta(ge=0, le=MOST_SEED)]
    size: str | None = None
    seconds: float | None = None
    until_roofline: float | None = None
    threads: Annotated[int, Meta(ge=1, le=MOST_BOARD_THREADS)]
    target: str
    exact_math: bool
    rpc: str | None = None
    key: str | None = None
    space: SpaceKind = SpaceKind.COLT
    max_usd: Decimal | None = None
    max_calls: int | None = None
    max_tokens: int | None = None
    max_seconds: float | None = None
    strict_pool: bool = False
    keep_paying: bool = False


class _Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    run: _RunTable
    search: dict[str, Any]
    member: tuple[dict[str, Any], ...]


def _read_plan(folder: Path) -> tuple[Plan, list[str]]:
    """What the run was to do, and warnings. Nothing of this machine has a say in it."""
    path = folder / CONFIG
    try:
        config = msgspec.convert(tomllib.loads(read_file(path).decode("utf-8")), _Config)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:  # a vast integer is no TOMLDecodeError
        raise InputError(f"{path} is not the config of a run: {error}") from None
    table = config.run
    if table.method not in METHODS:
        raise InputError(f"{path}: method {table.method!r} is not one of colt tune, which alone can be replayed")
    saved = _saved_module(folder / PROGRAM)
    try:
        program, warnings = _read_program(saved, table)
        pool = PoolSpec.from_tables(config.member)
        ceilings = Ceilings(table.max_usd, table.max_calls, table.max_tokens, table.max_seconds)
        plan = Plan(
            table.program,
            program,
            resolve_board_target(table.target, table.threads).target,
            table.threads,
            pool,
            Budget(table.trials, table.seconds, table.until_roofline),
            table.seed,
            SearchConfig.from_mapping(config.search),
            None,
            table.exact_math,
            Board.parse(table.rpc, table.key),
            space=table.space,
            calling=Calling(ceilings, table.strict_pool, table.keep_paying),
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return plan, warnings


def _saved_module(path: Path) -> Any:
    try:
        return load_module(read_file(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _read_program(saved: Any, table: _RunTable) -> tuple[Program, list[str]]:
    """The untuned program as it was then, and a warning if the workload of that name has become another."""
    program = saved_program(saved, table.name, table.size)
    if program.workload is None or fingerprint(program.workload.build(table.size)) == fingerprint(program.module):
        return program, []
    return program, [f"the workload {table.name} is not what it was then; {PROGRAM} is used"]


def _other_versions(receipt: Receipt) -> list[str]:
    present = versions()
    return [
        f"the run was made with {name} {receipt.versions.get(name, 'of unknown version')}, this is {version}"
        for name, version in present.items()
        if receipt.versions.get(name) != version
    ]


# ---- what came of it ----


class _Follower:
    """Compares events with a journal as they come; raises :class:`ReplayError` at the first difference."""

    def __init__(self, journal: Sequence[dict[str, Any]], reworded: bool = False) -> None:
        self._journal = [_without_words(record) for record in journal] if reworded else journal
        self._reworded = reworded
        self.same = 0

    def __call__(self, event: Event) -> None:
        """Compare one."""
        found = json.loads(json.dumps(to_record(event), default=str))
        found = _without_words(found) if self._reworded else found
        if self.same == len(self._journal):
            raise ReplayError(f"{JOURNAL} ends there, the replay goes on with {_shown(found)}")
        wanted = self._journal[self.same]
        if found != wanted:
            where = f"line {self.same + 1} of {JOURNAL}"
            if found["event"] != wanted.get("event"):
                raise ReplayError(f"{where} is {_shown(wanted)}, in the replay {_shown(found)}")
            raise ReplayError(f"{where}, {found['event']}: {_difference(wanted, found)}")
        self.same += 1

    def require_end(self) -> None:
        """Raise :class:`ReplayError` unless the journal has come to its end."""
        if self.same < len(self._journal):
            raise ReplayError(f"the replay ends there, {JOURNAL} goes on with {_shown(self._journal[self.same])}")


def _without_words(record: dict[str, Any]) -> dict[str, Any]:
    """An event with only whether there is an error, a reason or a message."""
    return {name: bool(value) if name in ("error", "reason", "message") else value for name, value in record.items()}


def _receipt_difference(wanted: Receipt, found: Receipt, reworded: bool) -> str | None:
    """Versions are not compared: they are warned about."""
    found = msgspec.structs.replace(found, versions=wanted.versions)
    if reworded and len(found.messages) == len(wanted.messages):
        found = msgspec.structs.replace(found, messages=wanted.messages)
    difference = _difference(msgspec.to_builtins(wanted), msgspec.to_builtins(found))
    return None if difference is None else f"{RECEIPT}: {difference}"


def _difference(wanted: Any, found: Any, where: str = "") -> str | None:
    """The first difference between two values made of JSON, in words; ``where`` leads to them."""
    if isinstance(wanted, dict) and isinstance(found, dict) and wanted.keys() == found.keys():
        pairs = [(f"{where}.{name}" if where else name, wanted[name], found[name]) for name in wanted]
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = [(f"{where}[{index}]", *pair) for index, pair in enumerate(zip(wanted, found, strict=True))]
    else:
        return None if wanted == found else f"{where} is {_shown(wanted)}, in the replay {_shown(found)}"
    differences = (_difference(one, other, place) for place, one, other in pairs)
    return next((difference for difference in differences if difference is not None), None)


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."
