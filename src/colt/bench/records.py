"""The records of a benchmark: one for each cell, one for each workload's re-measurement."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from colt.bench.config import Peer, StrategyName
from colt.errors import InputError
from colt.util.text import why

SCHEMA = 1


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all records: immutable, types checked when read."""

    def to_json(self) -> bytes:
        """Indented JSON with a final newline."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


class TrialRecord(Record, frozen=True, kw_only=True):
    """A trial. ``latency_us`` is ``None`` if it failed; ``seconds`` counts from the start of the cell's process."""

    fate: str
    latency_us: float | None
    seconds: float

    def failed(self, fate: str) -> TrialRecord:
        """The same trial as a failed one."""
        return msgspec.structs.replace(self, fate=fate, latency_us=None)


class CellRecord(Record, frozen=True, kw_only=True):
    """The outcome of a cell. ``failure`` says why there is no winner; ``None`` if there is one."""

    schema: int = SCHEMA
    workload: str
    strategy: StrategyName
    seed: int
    failure: str | None = None
    best_us: float | None = None
    """The winner's latency when this cell timed its leaders in turn."""
    wall_seconds: float
    """From the start of the cell's process to its end."""
    search_seconds: float = 0.0
    """From the start of the cell's process to the last trial's result, before the leaders are verified and ranked."""
    build_seconds: float = 0.0
    timing_seconds: float = 0.0
    stop_reason: str = ""
    messages: tuple[str, ...] = ()
    trials: tuple[TrialRecord, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is a winner."""
        return self.failure is None

    @property
    def failed_trials(self) -> int:
        """Trials without a latency."""
        return sum(trial.latency_us is None for trial in self.trials)


class ContenderRecord(Record, frozen=True, kw_only=True):
    """One contender of a re-measurement: the winner of a cell (``strategy`` and ``seed``), or a ``peer``.

    If it was timed, ``latencies_us`` holds one latency for each round, or a single one if a run takes too long to be
    timed in turn. Otherwise ``problem`` says why; it is empty for a peer that does not support the workload.
    """

    strategy: StrategyName | None = None
    seed: int | None = None
    peer: Peer | None = None
    problem: str = ""
    max_rel_error: float | None = None
    """The largest difference from numpy's reference, relative to its largest element."""
    latencies_us: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """Such as ``colt 0`` and ``numpy``."""
        return str(self.peer) if self.peer is not None else f"{self.strategy} {self.seed}"

    @property
    def ok(self) -> bool:
        """Whether it was timed."""
        return bool(self.latencies_us)


class ModelContender(Record, frozen=True, kw_only=True):
    """A whole model, compiled by COLT or by a peer, with its latencies by round; or why there are none."""

    name: str
    problem: str = ""
    max_rel_error: float | None = None
    """The largest difference from what the original computes, relative to the largest element of the output."""
    latencies_us: tuple[float, ...] = ()


class RemeasureRecord(Record, frozen=True, kw_only=True):
    """All contenders of a workload; a cell without a winner has none. Other loads disturbed ``disturbed`` of the
    ``rounds``, although disturbed rounds are repeated."""

    schema: int = SCHEMA
    workload: str
    flops: int
    contenders: tuple[ContenderRecord, ...]
    rounds: int = 0
    disturbed: int = 0


RecordT = TypeVar("RecordT", CellRecord, RemeasureRecord)


def load_record(path: Path, kind: type[RecordT]) -> RecordT | None:
    """The record in a file; ``None`` if there is no such file.

    Raises
    ------
    InputError
        The file cannot be read or is not such a record.
    """
    try:
        record = msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except msgspec.MsgspecError as error:
        raise InputError(f"{path} is not a record of a benchmark: {why(error)}; delete it to make it anew") from None
    if record.schema != SCHEMA:
        raise InputError(f"{path} has schema {record.schema}; this version of COLT reads {SCHEMA}")
    return record
