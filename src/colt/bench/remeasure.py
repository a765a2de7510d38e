"""The winners of all cells of a workload and the peers, verified and timed in turn: what a benchmark concludes from.

A round is one lap of every contender, every other round backwards; all rounds see the same machine, so that ratios are
taken round by round. A round in which another load took a core is repeated.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np

from colt.bench.config import Cell
from colt.bench.contenders.client import Contenders, Lost
from colt.bench.contenders.messages import Family, Member, Settings
from colt.bench.directory import WINNER, BenchDirectory
from colt.bench.records import ContenderRecord, RemeasureRecord
from colt.intervals import FEWEST_FOR_ORDER

MOST_ROUNDS = 15
ROUNDS_SECONDS = 120.0
"""About how long all rounds take together; fewer are made if a round is slow, but no less than intervals need."""
LAP_SECONDS = 0.05
PAUSE_SECONDS = 0.1
"""Before another process has its turn: thread pools keep cores busy for a while."""
SLOW_US = 2e6
"""A contender that takes longer is not timed in turn: it has the one figure."""
QUEUED = 0.05
"""A lap is disturbed if a thread waited for a core for more than this share of it."""
_SEED = 0


@dataclass(slots=True)
class _Entry:
    """A contender on its way to a record."""

    record: ContenderRecord
    member: Member
    family: Family
    home: Contenders | None = None
    """Where it waits for its turn; ``None`` if it has none."""
    applicable: bool = True
    us: float = 0.0
    laps: list[float] = field(default_factory=list)

    @property
    def in_turn(self) -> bool:
        """Whether it takes part in the rounds."""
        return self.home is not None and not self.record.problem

    def drop(self, problem: str) -> None:
        """It does not take part, or no longer."""
        self.home = None
        self.record = msgspec.structs.replace(self.record, problem=problem)


def remeasure(directory: BenchDirectory, workload: str) -> RemeasureRecord:
    """Verify and time all contenders of a workload; the record of one that fails or is wrong says so."""
    from colt.tvm import workloads

    known, config = workloads.get(workload), directory.config
    entries = list(_entries(directory, workload))
    with TemporaryDirectory(prefix="colt-bench-") as folder, ExitStack() as stack:
        inputs = _inputs(known.arguments(config.size))
        paths = []
        for number, array in enumerate(inputs):
            paths.append(str(Path(folder) / f"input-{number}.npy"))
            np.save(paths[-1], array)
        expected = np.ascontiguousarray(known.reference(inputs))
        for family in Family:
            members = [entry for entry in entries if entry.family is family and not entry.record.problem]
            if members:
                settings = Settings(
                    family=family,
                    workload=workload,
                    size=config.size,
                    threads=config.threads,
                    inputs=tuple(paths),
                    folder=folder,
                    members=tuple(entry.member for entry in members),
                    parent=os.getpid(),
                )
                _prepare(stack.enter_context(Contenders(settings)), members, expected)
        rounds, disturbed = _time_in_turn([entry for entry in entries if entry.in_turn])
    return RemeasureRecord(
        workload=workload,
        flops=known.flops(config.size),
        contenders=tuple(_finished(entry) for entry in entries if entry.applicable),
        rounds=rounds,
        disturbed=disturbed,
    )


def _entries(directory: BenchDirectory, workload: str) -> Iterator[_Entry]:
    for cell in directory.config.cells(workload):
        yield _winner(directory, cell)
    for peer in directory.config.peers:
        family = Family.TORCH if peer.needs_torch else Family.NUMPY
        yield _Entry(ContenderRecord(peer=peer), Member(str(peer)), family)


def _winner(directory: BenchDirectory, cell: Cell) -> _Entry:
    result = directory.result(cell)
    problem = "" if result is not None and result.ok else "its search has no winner"
    record = ContenderRecord(strategy=cell.strategy, seed=cell.seed, problem=problem)
    path = directory.folder(cell) / WINNER
    return _Entry(record, Member(record.name, str(path.resolve())), Family.KERNELS)


def _inputs(arguments: Sequence[Any]) -> list[Any]:
    """Random arrays for all arguments but the output."""
    from colt.tvm.measure.arguments import Parameter, random_array

    parameters = [Parameter(argument.shape, argument.dtype) for argument in arguments[:-1]]
    return [random_array(parameter, index, _SEED) for index, parameter in enumerate(parameters)]


def _prepare(home: Contenders, entries: Sequence[_Entry], expected: Any) -> None:
    """Have a process make its contenders ready, and compare what each computes."""
    waiting = list(entries)
    try:
        for prepared in home.prepared():
            entry = waiting.pop(0)
            entry.applicable = prepared.applicable
            if prepared.problem:
                entry.drop(prepared.problem)
            elif prepared.applicable:
                entry.home, entry.us = home, prepared.us
                _compare(entry, expected, np.load(prepared.output))
    except Lost as lost:
        for entry in entries:
            if entry in waiting or entry.in_turn:
                entry.drop(f"the process of its kind is lost: {lost}")


def _compare(entry: _Entry, expected: Any, found: Any) -> None:
    from colt.tvm.measure.compare import compare

    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        entry.drop(f"the output is {found.dtype}{list(found.shape)}, not {expected.dtype}{list(expected.shape)}")
        return
    difference = compare(expected, np.ascontiguousarray(found))
    entry.record = msgspec.structs.replace(entry.record, max_rel_error=difference.max_rel)
    if not difference.ok:
        entry.drop(f"it computes something else: {difference.problem}")


def _time_in_turn(entries: Sequence[_Entry]) -> tuple[int, int]:
    """Time them; how many rounds there are, and how many of these were disturbed."""
    fast = [entry for entry in entries if entry.us <= SLOW_US]
    for entry in entries:
        if entry.us > SLOW_US:
            entry.laps = [entry.us]
    if not fast:
        return 0, 0
    wanted = rounds_for([entry.us for entry in fast])
    quiet: list[Mapping[str, float]] = []
    disturbed: list[Mapping[str, float]] = []
    for number in range(2 * wanted):
        laps, queued = _round(fast if number % 2 == 0 else fast[::-1])
        (disturbed if queued > QUEUED else quiet).append(laps)
        if len(quiet) == wanted:
            break
    kept = (quiet + disturbed)[:wanted]
    for entry in fast:
        if entry.in_turn:
            entry.laps = [laps[entry.member.name] for laps in kept]
    return len(kept), max(0, wanted - len(quiet))


def rounds_for(latencies_us: Sequence[float]) -> int:
    """How many rounds there is time for."""
    seconds = sum(us / 1e6 + max(us / 1e6, LAP_SECONDS) for us in latencies_us)
    return max(FEWEST_FOR_ORDER, min(MOST_ROUNDS, int(ROUNDS_SECONDS / seconds)))


def _round(entries: Sequence[_Entry]) -> tuple[Mapping[str, float], float]:
    """One lap of each, in microseconds, and the largest share of a lap that a thread waited for a core."""
    laps: dict[str, float] = {}
    queued = 0.0
    before: Contenders | None = None
    for entry in entries:
        home = entry.home
        if home is None:  # lost meanwhile
            continue
        if home is not before:
            time.sleep(PAUSE_SECONDS)
            before = home
        try:
            lap = home.lap(entry.member.name, LAP_SECONDS)
        except Lost as lost:
            for other in entries:
                if other.home is home:
                    other.drop(f"the process of its kind is lost: {lost}")
            continue
        laps[entry.member.name] = lap.us
        queued = max(queued, lap.queued)
    return laps, queued


def _finished(entry: _Entry) -> ContenderRecord:
    return msgspec.structs.replace(entry.record, latencies_us=tuple(entry.laps))
