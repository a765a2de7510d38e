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
from pathlib import Path
from typing import Any

import msgspec

from colt import events
from colt.errors import InputError, MeasureError, ReplayError
from colt.events import Emit, Event, to_record, without_words
from colt.options import UNNAMED, SearchConfig
from colt.plan import RUN, Plan
from colt.run.loop import run
from colt.run.saved import saved_module
from colt.store.directory import CONFIG, JOURNAL, PROGRAM, RECEIPT, RECORDING, RunDirectory, read_file
from colt.store.journal import read_journal
from colt.store.receipt import Receipt, load_receipt
from colt.strategies.tree import TREE
from colt.tvm.programs.program import fingerprint
from colt.tvm.programs.source import Program
from colt.util.version import versions
from colt.world.recording import SAME_WORDS, Recording, read_recording
from colt.world.world import Recorded

METHODS = {TREE.name: TREE}
"""Strategies whose runs can be replayed."""
RECEIPT_WORDS = (
    ("messages",),
    ("best", "sketch_summary"),
    ("verified", "message"),
    ("spending", "ended"),
    ("hardware", "fma_pattern"),
    ("hardware", "bandwidth_pattern"),
)
"""Texts for people in a receipt."""
THEN = SearchConfig().to_mapping() | UNNAMED
"""What options mean that a run does not name."""
MOST_SHOWN = 200
"""Characters of a value that differs."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of a replay: how far it agrees with its run."""

    events: int
    """So many events are the same."""
    nodes: int
    """Nodes of the tree; 0 if the replay did not come to its end."""
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
    recording: Recording
    journal: Sequence[dict[str, Any]]
    receipt: Receipt
    warnings: tuple[str, ...]

    def replay(self, on_event: Sequence[Emit] = (), run_dir: str | Path | None = None) -> Replay:
        """See :func:`replay`."""
        for listener in on_event:
            for warning in self.warnings:
                listener(events.Noted(warning))
        world = Recorded(self.recording)
        follower = _Follower(self.journal, world.same_words)
        nodes = 0
        with ExitStack() as stack:
            folder = run_dir or stack.enter_context(tempfile.TemporaryDirectory(prefix="colt-replay-"))
            plan = replace(self.plan, run_dir=Path(folder))
            try:
                receipt = run(plan, [follower, *on_event], world=world)[0].receipt
                follower.require_end()
                nodes, difference = receipt.space.nodes, _receipt_difference(self.receipt, receipt, world.same_words)
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
        raise InputError(f"{folder} is not a run directory")
    receipt = load_receipt(folder)
    recording = read_recording(folder / RECORDING)
    journal = read_journal(folder / JOURNAL)
    plan = as_begun(read_plan(folder, recording.edition), recording)
    warnings = (*_other_versions(receipt), *_other_words(recording), *_other_workload(plan.program))
    return RecordedRun(plan, recording, journal, receipt, warnings)


# ---- what was asked for ----


def read_config(folder: Path) -> dict[str, Any]:
    """The tables of a run's config. Raises :class:`InputError`."""
    path = folder / CONFIG
    try:
        return tomllib.loads(read_file(path).decode("utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:  # a vast integer is no TOMLDecodeError
        raise InputError(f"{path} is not the config of a run: {error}") from None


def read_plan(folder: Path, edition: int) -> Plan:
    """What the run was to do; the method is one that can be replayed."""
    path, config = folder / CONFIG, read_config(folder)
    module = saved_module(folder / PROGRAM)
    try:
        plan = Plan.from_config(config, module, folder, edition)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    method = config[RUN]["method"]
    if method not in METHODS:
        raise InputError(f"{path}: method {method!r} is not one of colt tune, which alone can be replayed")
    return plan


def as_begun(plan: Plan, recording: Recording) -> Plan:
    """The plan that the run began with: its budget may have been changed since, which the config has."""
    allowance = recording.header.allowance
    return plan if allowance is None else plan.allowing(allowance)


def _other_workload(program: Program) -> list[str]:
    """A warning if the workload of that name has become another program since."""
    if program.workload is None or fingerprint(program.workload.build(program.size)) == fingerprint(program.module):
        return []
    return [f"the workload {program.name} is not what it was then; {PROGRAM} is used"]


def _other_versions(receipt: Receipt) -> list[str]:
    present = versions()
    return [
        f"the run was made with {name} {receipt.versions.get(name, 'of unknown version')}, this is {version}"
        for name, version in present.items()
        if receipt.versions.get(name) != version
    ]


def _other_words(recording: Recording) -> list[str]:
    if recording.schema >= SAME_WORDS:
        return []
    return ["the run was made by a version that worded messages and prompts differently; words are not compared"]


# ---- what came of it ----


class _Follower:
    """Compares events with a journal as they come; raises :class:`ReplayError` at the first difference."""

    def __init__(self, journal: Sequence[dict[str, Any]], same_words: bool) -> None:
        self._journal = journal
        self._same_words = same_words
        self.same = 0

    def __call__(self, event: Event) -> None:
        """Compare one."""
        found = json.loads(json.dumps(to_record(event), default=str))
        if self.same == len(self._journal):
            raise ReplayError(f"{JOURNAL} ends there, the replay goes on with {_shown(found)}")
        wanted = self._journal[self.same]
        if not self._same_words:
            found, wanted = without_words(found), without_words(wanted)
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


def _receipt_difference(wanted: Receipt, found: Receipt, same_words: bool) -> str | None:
    """Versions are no part of it: they are warned about. Settings that did not exist then may be as if they did not."""
    found = msgspec.structs.replace(found, versions=wanted.versions)
    config = {name: value for name, value in found.config.items() if name in wanted.config or value != THEN[name]}
    found = msgspec.structs.replace(found, config=config)
    pair = msgspec.to_builtins(wanted), msgspec.to_builtins(found)
    if not same_words:
        for receipt in pair:
            for *path, last in RECEIPT_WORDS:
                part = receipt
                for name in path:
                    part = part[name] or {}
                part.pop(last, None)
    difference = _difference(*pair)
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
