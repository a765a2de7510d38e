"""A measurer without hardware: it answers from a table, a recording, or a figure that it makes up from the program.

Programs are told apart by fingerprints. The function that makes them is handed in, so nothing here needs TVM, and a
program may be anything that has one. The same program always gets the same answer.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

import msgspec

from colt.errors import MeasureError
from colt.measure.base import (
    ExportError,
    Fate,
    Inputs,
    IRModule,
    Job,
    Limits,
    Measurement,
    Measurer,
    Noise,
    Verification,
)
from colt.util.text import why

TOLERANCE = 1e-4
_RUNS = (Fate.OK, Fate.DROPPED, Fate.WRONG)
KERNEL = b"no kernel: the measurer was simulated\n"
"""What an exported library holds."""


def made_up_us(fingerprint: str, untuned_us: float = 5000.0) -> float:
    """A latency 5 to 250 times below that of the untuned program, the same in every process."""
    return untuned_us * (2_000 + zlib.crc32(fingerprint.encode()) % 100_000) / 500_000


class RecordedLine(Protocol):
    """What is read of a recording's line: the question, and its answer as a struct."""

    @property
    def asked(self) -> str: ...
    @property
    def answer(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class RecordedAnswers:
    """What a run was told about its programs, by fingerprint."""

    measured: dict[str, Measurement] = field(default_factory=dict)
    verified: dict[str, Verification] = field(default_factory=dict)
    in_turn: dict[tuple[str, ...], list[list[float]]] = field(default_factory=dict)
    """Latencies round by round, for the programs that were timed together."""

    @classmethod
    def read(cls, lines: Iterable[RecordedLine]) -> Self:
        """The answers about programs; all other lines are passed over."""
        found = cls()
        for line in lines:
            question, _, programs = line.asked.partition(": ")
            if question.startswith("measure "):
                fields = _fields(line.answer)
                found.measured[programs] = Measurement(trial=int(question.removeprefix("measure ")), **fields)
            elif question.startswith("time in turn"):
                found.in_turn[tuple(programs.split(", "))] = [list(us) for us in line.answer.latencies_us]
            elif question.startswith("verify "):
                fields = {
                    name: value if name == "untuned_error" else _infinite(value)
                    for name, value in _fields(line.answer).items()
                }
                found.verified[question.split()[1]] = Verification(**fields)
        return found


class SimulatedMeasurer(Measurer):
    """Measures nothing.

    Parameters
    ----------
    fingerprint
        Tells programs apart.
    latency_us
        The latency for a fingerprint; :func:`made_up_us` where it is ``None`` or left out.
    untuned_us
        The latency of the untuned program, which is that of any job with a negative number, unless one is stated.
    fates
        What becomes of a trial (by number) or a program (by fingerprint) that is not fine. One that is WRONG is timed
        and fails when it is verified.
    recorded
        Answers that come before all others.
    trial_s, in_turn_s
        How long a measurement and timing in turn take.
    limits
        Those of calls that state none.
    """

    def __init__(
        self,
        fingerprint: Callable[[IRModule], str],
        latency_us: Callable[[str], float | None] | None = None,
        *,
        untuned_us: float = 5000.0,
        fates: Mapping[int | str, Fate] | None = None,
        recorded: RecordedAnswers | None = None,
        trial_s: float = 0.0,
        in_turn_s: float = 0.0,
        limits: Limits | None = None,
    ) -> None:
        self.seconds_building = 0.0
        self.seconds_timing = 0.0
        self.noise = Noise()
        self._fingerprint = fingerprint
        self._latency_us = latency_us
        self._untuned_us = untuned_us
        self._fates: dict[int | str, Fate] = dict(fates or {})
        self._recorded = recorded or RecordedAnswers()
        self._trial_s = trial_s
        self._in_turn_s = in_turn_s
        self._limits = limits or Limits()
        self._untuned: set[str] = set()

    @classmethod
    def from_recording(
        cls, lines: Iterable[RecordedLine], fingerprint: Callable[[IRModule], str], **options: Any
    ) -> Self:
        """Give the answers of a recorded run for its programs; ``options`` are those of the constructor."""
        return cls(fingerprint, recorded=RecordedAnswers.read(lines), **options)

    def measure(
        self, jobs: Iterable[Job], best_us: float | None = None, limits: Limits | None = None
    ) -> Iterator[Measurement]:
        """See :meth:`Measurer.measure`. A program that is too slow for ``limits.drop_factor`` is dropped."""
        limits = limits or self._limits
        for job in jobs:
            result = self._measured(job, best_us, limits)
            self.seconds_building += result.seconds_building
            self.seconds_timing += result.seconds_timing
            if result.latency_us is not None:
                self.noise.probes += 1
                best_us = result.latency_us if best_us is None else min(best_us, result.latency_us)
            yield result

    def _measured(self, job: Job, best_us: float | None, limits: Limits) -> Measurement:
        program = self._fingerprint(job.module)
        recorded = self._recorded.measured.get(program)
        if recorded is not None:
            return replace(recorded, trial=job.id)
        if job.id < 0:
            self._untuned.add(program)
        time.sleep(self._trial_s)
        fate = self._fates.get(job.id, self._fates.get(program, Fate.OK))
        self._fates[program] = fate
        if fate not in _RUNS:
            return Measurement(job.id, fate, None, self._trial_s, f"it was to be {fate}")
        us = self._us(program)
        far_slower = best_us is not None and us > limits.drop_factor * best_us
        if fate is Fate.DROPPED or far_slower:
            return Measurement(job.id, Fate.DROPPED, us, self._trial_s, runs_us=(us,))
        return Measurement(job.id, Fate.OK, us, self._trial_s, runs_us=(us,) * limits.min_repeats)

    def verify(
        self,
        reference: IRModule,
        candidate: IRModule,
        seed: int = 0,
        limits: Limits | None = None,
        given: Any = None,
    ) -> Verification:
        """See :meth:`Measurer.verify`; what runs is right, unless it is stated or recorded to be wrong."""
        if self._fails(self._fingerprint(reference)):
            raise MeasureError("the untuned program gives nothing to verify with: it was to fail")
        program = self._fingerprint(candidate)
        if program in self._recorded.verified:
            return self._recorded.verified[program]
        if self._fails(program):
            return Verification(False, float("inf"), float("inf"), 0.0, f"it was to be {self._fate(program)}")
        if self._fate(program) is Fate.WRONG:
            return Verification(False, 1.0, 1.0, TOLERANCE, "it differs")
        return Verification(True, 0.0, 0.0, TOLERANCE)

    def interleave(
        self, modules: Sequence[IRModule], rounds: int, limits: Limits | None = None, inputs: Inputs | None = None
    ) -> list[list[float]]:
        """See :meth:`Measurer.interleave`; every round is like the others, unless it is recorded."""
        programs = tuple(self._fingerprint(module) for module in modules)
        for number, program in enumerate(programs):
            if self._fails(program):
                raise MeasureError(f"timing in turn failed at program {number}: {self._fate(program)}")
        time.sleep(self._in_turn_s)
        self.seconds_timing += self._in_turn_s
        self.noise.probes += len(modules) * rounds
        recorded = self._recorded.in_turn.get(programs)
        if recorded is not None and len(recorded[0]) == rounds:
            return [list(latencies) for latencies in recorded]
        return [[self._us(program)] * rounds for program in programs]

    def clock(self, module: IRModule, parts: int, inputs: Inputs, limits: Limits | None = None) -> list[float] | None:
        """See :meth:`Measurer.clock`; all parts take as long."""
        return [1.0] * parts

    def export(self, module: IRModule, path: Path, limits: Limits | None = None) -> None:
        """See :meth:`Measurer.export`; what is written says that it is no library."""
        if self._fails(self._fingerprint(module)):
            raise ExportError(f"{path} is not written: the program was to fail")
        unfinished = path.with_name(f".{path.name}.unfinished")
        try:
            unfinished.write_bytes(KERNEL)
            os.replace(unfinished, path)
        except OSError as error:
            raise ExportError(f"{path} is not written: {why(error)}") from None

    def take_remarks(self) -> list[str]:
        """See :meth:`Measurer.take_remarks`; there is nothing to remark."""
        return []

    def close(self) -> None:
        """There is nothing to end."""

    def _fate(self, program: str) -> Fate:
        recorded = self._recorded.measured.get(program)
        return self._fates.get(program, Fate.OK) if recorded is None else recorded.fate

    def _fails(self, program: str) -> bool:
        return self._fate(program) not in _RUNS

    def _us(self, program: str) -> float:
        recorded = self._recorded.measured.get(program)
        if recorded is not None and recorded.latency_us is not None:
            return recorded.latency_us
        stated = self._latency_us(program) if self._latency_us is not None else None
        if stated is not None:
            return stated
        return self._untuned_us if program in self._untuned else made_up_us(program, self._untuned_us)


def _fields(answer: Any) -> dict[str, Any]:
    """All of an answer but the accounts that the run kept."""
    return {name: value for name, value in msgspec.structs.asdict(answer).items() if name != "totals"}


def _infinite(value: Any) -> Any:
    """Recordings have no infinity."""
    return float("inf") if value is None else value
