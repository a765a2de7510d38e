"""Speed-ups are over the program as it was given, not over the form that is tuned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from colt.measure.simulated import SimulatedMeasurer
from colt.plan import plan
from colt.run.loop import run
from colt.tvm.programs.program import fingerprint
from colt.tvm.programs.source import load_program
from tests.helpers.operators.written import triangle_by_vector
from tests.helpers.simulated_runs import measured_by


class Watched(SimulatedMeasurer):
    """Remembers the untuned program that it is asked to time, and what it compares in turn."""

    def __init__(self) -> None:
        super().__init__(fingerprint)
        self.untuned: list[str] = []

    def measure(self, jobs: Any, *more: Any, **named: Any) -> Any:
        jobs = list(jobs)
        self.untuned += [fingerprint(job.module) for job in jobs if job.id < 0]
        return super().measure(jobs, *more, **named)

    def interleave(self, payloads: Sequence[Any], *more: Any, **named: Any) -> Any:
        if len(payloads) == 3:
            self.untuned.append(fingerprint(payloads[1]))
        return super().interleave(payloads, *more, **named)


def test_the_program_as_written_is_what_is_timed() -> None:
    program = load_program(triangle_by_vector)
    assert program.given is not None
    assert fingerprint(program.given) != fingerprint(program.module)
    assert program.untuned(5) is program.module
    measurer = Watched()
    with measured_by(measurer):
        run(plan(triangle_by_vector, trials=2, pool=["scout"], config={"batch_size": 2, "constructed": 1}))
    assert len(measurer.untuned) >= 2
    assert set(measurer.untuned) == {fingerprint(program.given)}
