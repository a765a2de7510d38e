"""Verifies the winners of all cells of a workload and the peers and times them in turn: the basis of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np

from colt.bench.config import Cell
from colt.bench.contenders.client import Contenders, PeerLost
from colt.bench.contenders.contender import load_array
from colt.bench.contenders.messages import PeerFamily, Settings, TimedKernel
from colt.bench.directory import WINNER, BenchDirectory
from colt.bench.records import ContenderRecord, RemeasureRecord
from colt.bench.turns import SITTINGS, Entry, RecordT, Rounds, drop_all, time_in_turn
from colt.tvm.programs.workloads.base import Workload

_SEED = 0


def remeasure(directory: BenchDirectory, workload: str) -> RemeasureRecord:
    """Verify and time all contenders of a workload. The record of a contender that fails or is wrong says so."""
    from colt.tvm.programs import workloads

    known, config = workloads.get(workload), directory.config
    entries = [*_winners(directory, workload), *(Entry(ContenderRecord(peer=peer)) for peer in config.peers)]
    rounds = Rounds()
    with TemporaryDirectory(prefix="colt-bench-") as folder:
        inputs = _inputs(known.arguments(config.size))
        settings = Settings(
            family=PeerFamily.KERNELS,
            workload=workload,
            size=config.size,
            threads=config.threads,
            inputs=tuple(_save(array, Path(folder) / f"input-{n}.npy") for n, array in enumerate(inputs)),
            folder=folder,
            members=(),
        )
        compare = partial(_compare, np.ascontiguousarray(known.reference(inputs)), known)
        for _ in range(SITTINGS):
            rounds += _sit(directory, settings, [entry for entry in entries if entry.wanted], compare)
    return RemeasureRecord(
        workload=workload,
        flops=known.flops(config.size),
        contenders=tuple(entry.finished() for entry in entries),
        rounds=rounds.count,
        disturbed=rounds.disturbed,
    )


def _sit(
    directory: BenchDirectory,
    settings: Settings,
    entries: Sequence[Entry[ContenderRecord]],
    compare: Callable[[Entry[ContenderRecord], Any], None],
) -> Rounds:
    """One sitting: start new processes, verify all contenders, time some rounds."""
    with ExitStack() as stack:
        for family in PeerFamily:
            members = [entry for entry in entries if _family(entry.record) is family]
            if members:
                named = tuple(_member(directory, settings.workload, entry.record) for entry in members)
                home = Contenders(msgspec.structs.replace(settings, family=family, members=named))
                prepare(stack.enter_context(home), members, compare)
        return time_in_turn(entries)


def _winners(directory: BenchDirectory, workload: str) -> Iterator[Entry[ContenderRecord]]:
    for cell in directory.config.cells(workload):
        result = directory.result(cell)
        if result is not None and result.ok:
            yield Entry(ContenderRecord(strategy=cell.strategy, seed=cell.seed))


def _family(record: ContenderRecord) -> PeerFamily:
    if record.peer is None:
        return PeerFamily.KERNELS
    return PeerFamily(record.peer.package)


def _member(directory: BenchDirectory, workload: str, record: ContenderRecord) -> TimedKernel:
    if record.strategy is None or record.seed is None:
        return TimedKernel(record.name)
    winner = directory.folder(Cell(workload, record.strategy, record.seed)) / WINNER
    return TimedKernel(record.name, str(winner.resolve()))


def _inputs(arguments: Sequence[Any]) -> list[Any]:
    """Random arrays for all arguments except the output; integers of 8 bits from their whole range, so that a sum that
    does not fit shows."""
    from colt.tvm.programs.domains import Domain
    from colt.tvm.workers.arguments import Parameter, random_array

    whole = {str(dtype): Domain(np.iinfo(dtype).min, np.iinfo(dtype).max) for dtype in (np.dtype("i1"), np.dtype("u1"))}
    parameters = [Parameter(argument.shape, argument.dtype) for argument in arguments[:-1]]
    return [random_array(one, index, _SEED, whole.get(one.dtype)) for index, one in enumerate(parameters)]


def _save(array: Any, path: Path) -> str:
    np.save(path, array)
    return str(path)


def prepare(
    home: Contenders, entries: Sequence[Entry[RecordT]], compare: Callable[[Entry[RecordT], Any], None]
) -> None:
    """Have a process prepare its contenders, and compare each with the output that is expected of it."""
    waiting = list(entries)
    try:
        for prepared in home.prepared():
            entry = waiting.pop(0)
            if not prepared.output:
                entry.drop(prepared.problem)
                continue
            entry.home, entry.us = home, prepared.us
            compare(entry, load_array(prepared.output))
    except PeerLost as lost:
        for entry in waiting:
            entry.home = home
        drop_all(home, entries, lost)


def _compare(expected: Any, workload: Workload[Any], entry: Entry[ContenderRecord], found: Any) -> None:
    """Drop an entry whose output is wrong: it differs by more than its type or the workload explain."""
    from colt.tvm.workers.compare import compare

    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        entry.drop(f"the output is {found.dtype}{list(found.shape)}, not {expected.dtype}{list(expected.shape)}")
        return
    difference = compare(expected, np.ascontiguousarray(found))
    entry.record = msgspec.structs.replace(entry.record, max_rel_error=difference.max_rel)
    explained = workload.rounds if entry.record.peer is None else max(workload.rounds, workload.peers_round)
    if not difference.ok and not difference.max_rel <= explained:
        entry.drop(f"it computes something else: {difference.problem}")
