"""Any program over tensors is tuned, and what comes out computes what NumPy does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import tvm
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

import colt
from colt.tvm.devices.host import available_cores, resolve_target
from colt.tvm.workers import LocalMeasurer
from colt.world.parts import current, using
from tests.helpers.random_programs import DTYPES, Program

EXAMPLES = int(os.environ.get("COLT_FUZZ_EXAMPLES", "14"))
"""A longer hunt: ``COLT_FUZZ_EXAMPLES=300 pytest tests/tvm/test_any_program.py``."""
THREADS = min(2, available_cores())

numbers = st.integers(0, 63)
steps = st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=6)
dtypes = st.integers(0, len(DTYPES) - 1)


class SharedMeasurer(LocalMeasurer):
    """Outlives the runs that use it: starting workers takes longer than these programs do."""

    def close(self) -> None:
        pass

    def end(self) -> None:
        super().close()


@pytest.fixture(scope="module")
def shared_workers() -> Iterator[None]:
    measurer = SharedMeasurer(resolve_target(None, THREADS), THREADS, pace=current().pace)
    with using(replace(current(), measurer=lambda limits, peak_gflops: measurer)):
        yield
    measurer.end()


def tuned(program: Program) -> Any:
    return colt.tune(program.function(), trials=4, threads=THREADS, pool=["scout"], config={"batch_size": 4})


def test_any_program_is_tuned_and_right(shared_workers: None) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize="COLT_FUZZ_EXAMPLES" not in os.environ,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(dtype=dtypes, extents=st.lists(numbers, min_size=1, max_size=3), steps=steps, several=st.booleans())
    def fuzz(dtype: int, extents: list[int], steps: list[tuple[int, int, int]], several: bool) -> None:
        program = Program.of(dtype, extents, steps, several)
        note(f"{DTYPES[dtype]} {program.values[0].shape}: {', '.join(program.done)}")
        result = tuned(program)
        for message in result.receipt.messages:  # a schedule that verification has rejected is no fault of the result
            note(message)
        outputs = called(result.module, program)
        for output, found in zip(program.outputs, outputs, strict=True):
            assert output.error(found) <= output.allowed()

    fuzz()


def called(module: Any, program: Program) -> list[Any]:
    """What the kernel leaves in its outputs."""
    outputs = [tvm.runtime.empty(output.shape, output.dtype) for output in program.outputs]
    given = [tvm.runtime.tensor(array) for array in program.given]
    tvm.tirx.build(module, target=resolve_target(None, THREADS))["main"](*given, *outputs)
    return [output.numpy() for output in outputs]
