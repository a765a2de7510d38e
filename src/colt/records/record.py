"""What a record holds. Records come from files that a stranger may have written: the types say all that they may hold.

Latencies are in microseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from colt.errors import ColtError
from colt.knobs import Schedule
from colt.moves import MOST_TEXT, is_moved

SCHEDULES = 1
"""The version of how sketches and knobs are named. Counts up when the same words come to mean another schedule."""
UNDATED = "1970-01-01T00:00:00Z"
"""When a record was found that does not say so, such as one of a MetaSchedule database."""
MOST_MODULE = 16 * 2**20
"""Characters of a program in base64."""
MOST_TRACE = 2**20

MOST_NAME = 200

Name = Annotated[str, Meta(max_length=MOST_NAME)]
SketchName = Annotated[str, Meta(max_length=MOST_NAME + MOST_TEXT)]
"""The name of a sketch; that of a structure holds its moves."""
Text = Annotated[str, Meta(max_length=4000)]
Hex = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16,64}\Z")]
Whole = Annotated[int, Meta(ge=0, le=2**62)]
Part = Annotated[int, Meta(ge=-(2**31), le=2**31)]
Microseconds = Annotated[float, Meta(gt=0, le=1e15)]
Amount = Annotated[float, Meta(ge=0, le=1e12)]
KnobValue = Annotated[list[Part], Meta(max_length=64)] | Part | Name


class RecordsError(ColtError):
    """The file of records cannot be used; the message names it and says why. It was not touched."""


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what a record is made of."""


class ProgramKey(Strict, frozen=True):
    """A program, whatever its arguments, buffers and blocks are called.

    ``structure`` is a hash of all of it, ``family`` one in which numbers do not count; ``extents`` are those numbers.
    """

    structure: Hex
    family: Hex
    extents: Annotated[tuple[Whole, ...], Meta(max_length=100_000)] = ()


class MachineKey(Strict, frozen=True):
    """What schedules are compiled for: the target without its cores as JSON, the vector extensions of the processor,
    threads, and whether transcendental functions are left to the C library."""

    target: Text
    features: Text
    threads: Annotated[int, Meta(ge=1, le=4096)]
    exact_math: bool


class Versions(Strict, frozen=True):
    """The versions that a schedule in words, and as a trace, depends on."""

    tvm: Name
    schedules: Whole = SCHEDULES


class Key(Strict, frozen=True):
    """What a record is found by."""

    program: ProgramKey
    machine: MachineKey
    versions: Versions


class BlockNames(Strict, frozen=True):
    """What a block is called, the loops around it from the outside, and the buffers that it reads and writes."""

    block: Name
    loops: Annotated[tuple[Name, ...], Meta(max_length=64)]
    buffers: Annotated[tuple[Name, ...], Meta(max_length=64)]


class Words(Strict, frozen=True, omit_defaults=True):
    """A schedule in words: the value of each knob of a sketch, by name.

    ``program``: the names in the program of a structure that moves made; empty for a sketch.
    """

    variant: Name
    sketch: SketchName
    knobs: Annotated[dict[Name, KnobValue], Meta(max_length=1000)]
    program: Annotated[tuple[BlockNames, ...], Meta(max_length=1000)] = ()


class StockForm(Strict, frozen=True):
    """What a line of MetaSchedule's JSON database holds: the trace, target and arguments as JSON, the program by its
    hash there. None of it is ever handed to TVM in this process."""

    program: Annotated[str, Meta(pattern=r"\A[0-9]{1,20}\Z")]
    trace: Annotated[str, Meta(max_length=MOST_TRACE)]
    target: Text
    arguments: Annotated[str, Meta(max_length=100_000)]


class Origin(Strict, frozen=True):
    """Who found a schedule, when (UTC), in which run, and what that run cost until its end."""

    by: Name
    when: Annotated[str, Meta(pattern=r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")]
    run: Name = ""
    trials: Whole = 0
    seconds: Amount = 0.0
    usd: Amount = 0.0
    imported: bool = False


class StoredRecord(Strict, frozen=True, kw_only=True):
    """One schedule of one program on one kind of machine, and how fast it was there.

    ``machine`` is the fingerprint of the very one, ``cpu`` its name. ``verified``: it was compared with the untuned
    program there. ``predicted_us`` is the analytical model's latency, there and then. A schedule is known in words, as
    a trace, or both.
    """

    name: Name
    key: Key
    latency_us: Microseconds
    predicted_us: Microseconds | None = None
    interval_us: tuple[Microseconds, Microseconds] | None = None
    verified: bool
    machine: Name
    cpu: Name
    origin: Origin
    words: Words | None = None
    stock: StockForm | None = None

    def __post_init__(self) -> None:
        """Raise :class:`ValueError` for an entry without a schedule."""
        if self.words is None and self.stock is None:
            raise ValueError("a record has a schedule in words, as a trace, or both")

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Orders records of one key, the best first: what was verified, of that the winners of runs, then the faster.

        A winner was timed in turn with the run's other leaders, and has an interval. The others have the latency that
        the search saw, which is not to be compared with it.
        """
        return not self.verified, self.interval_us is None, self.latency_us

    @property
    def schedule_id(self) -> str:
        """Tells schedules of one key apart."""
        return digest(self.words or self.stock)


def digest(part: Any) -> str:
    """Identifies a part of a key: 32 hexadecimal digits, the same in every process."""
    return hashlib.sha256(msgspec.json.encode(part, order="sorted")).hexdigest()[:32]


def words_of(schedule: Schedule, names: list[str], program: Sequence[BlockNames] = ()) -> Words:
    """A schedule in words; ``names`` are those of its knobs, ``program`` those of its program, if moves made it."""
    values = [list(value) if isinstance(value, tuple) else value for value in schedule.values]
    knobs = dict(zip(names, values, strict=True))
    named = tuple(program) if is_moved(schedule.sketch) else ()
    return Words(variant=schedule.variant, sketch=schedule.sketch, knobs=knobs, program=named)
