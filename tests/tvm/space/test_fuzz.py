"""Arbitrary transformations against real TVM, in a child process that may die of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from colt.knobs import prime_factors
from tests.helpers.lean import without_torch
from tests.helpers.space_fuzzing import NASTY, Case, Legal, Step, Verdict, serve

PROGRAMS = (
    "matmul",
    "matmul-prime",
    "matmul-row",
    "conv",
    "softmax",
    "bias-relu",
    "swiglu",
    "attention",
    "elementwise",
)
EXAMPLES = int(os.environ.get("COLT_FUZZ_EXAMPLES", "40"))
"""For each program. A longer hunt: ``COLT_FUZZ_EXAMPLES=5000 pytest tests/tvm/space/test_fuzz.py``."""
PATIENCE_S = 60.0


class Child:
    """A process that judges cases; a new one takes the place of one that died."""

    def __init__(self) -> None:
        self._process: Any = None
        self._connection: Any = None

    def judge(self, case: Case) -> Verdict:
        if self._process is None:
            self._start()
        self._connection.send(case)
        try:
            if self._connection.poll(PATIENCE_S):
                verdict = self._connection.recv()
                assert isinstance(verdict, Verdict)
                return verdict
            self._process.kill()
        except (EOFError, ConnectionError):
            pass
        self._process.join()
        code, self._process = self._process.exitcode, None
        raise AssertionError(f"the process died or hung (exit code {code})")

    def stop(self) -> None:
        if self._process is not None:
            self._connection.close()
            self._process.join(10)
            self._process.kill()
            self._process = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), daemon=True)
        with pytest.MonkeyPatch.context() as patch:
            without_torch(patch)
            self._process.start()
        theirs.close()


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    made = Child()
    yield made
    made.stop()


def near_tiles(extent: int) -> st.SearchStrategy[list[int]]:
    """Factorisations of about the right form: often legal, often just not."""
    factors = sorted({1, 2, 3, extent, *prime_factors(extent), extent // 2, extent // 4})
    return st.lists(st.sampled_from([0, -1, *factors]), min_size=1, max_size=5)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
values = st.one_of(
    st.builds(Legal, st.integers(0, 10**6)),
    st.builds(Legal, st.integers(0, 10**6)),
    st.sampled_from(NASTY),
    st.sampled_from([8, 31, 32, 64, 127]).flatmap(near_tiles),
    json_like,
)
jumps = st.tuples(st.just("plain"), st.integers(0, 9).map(lambda number: f"ms{number}")) | st.tuples(
    st.sampled_from(["plain", "packed", "", 0, None]), st.sampled_from(["ms0", "untuned", "ms99", "", None, 1])
)
knob_numbers = st.integers(0, 30)
names = st.text(max_size=10) | st.sampled_from(["", "unroll", "C.i", "__class__", "x" * 10**5, 1.5, None, ["C.i"]])
steps = st.one_of(
    st.builds(Step, knob_numbers, values),
    st.builds(Step, knob_numbers, values),
    st.builds(Step, knob_numbers, st.builds(Legal, st.integers(0, 10**6))),
    st.builds(Step, names, values),
    st.builds(Step, jumps, st.none()),
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_any_transformation_is_refused_or_realised_as_asked(program: str, child: Child) -> None:
    fates: Counter[str] = Counter()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize="COLT_FUZZ_EXAMPLES" not in os.environ,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(seed=st.integers(0, 10**6), transformation=st.lists(steps, max_size=4))
    def fuzz(seed: int, transformation: list[Step]) -> None:
        verdict = child.judge(Case(program, seed, tuple(transformation)))
        fates[verdict.fate] += 1
        assert not verdict.wrong

    fuzz()
    assert fates["IllegalEdit"] > EXAMPLES // 10
    assert fates["Applied"] > EXAMPLES // 10


@pytest.mark.parametrize("program", PROGRAMS)
def test_any_moves_are_refused_or_make_what_their_names_make_again(program: str, child: Child) -> None:
    fates: Counter[str] = Counter()

    @settings(
        max_examples=max(1, EXAMPLES // 4),
        deadline=None,
        derandomize="COLT_FUZZ_EXAMPLES" not in os.environ,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(seed=st.integers(0, 10**6), moves=st.integers(1, 8), probed=st.booleans())
    def fuzz(seed: int, moves: int, probed: bool) -> None:
        verdict = child.judge(Case(program, seed, moves=moves, probed=probed))
        fates[verdict.fate] += 1
        assert not verdict.wrong

    fuzz()
    assert fates["Applied"] > 0


class Bomb:
    """Kills the process that receives it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.abort, ()


def test_a_child_that_dies_is_a_failure_and_is_replaced(child: Child) -> None:
    assert child.judge(Case("matmul", 1, ())) == Verdict("Applied")
    with pytest.raises(AssertionError, match=f"exit code -{int(signal.SIGABRT)}"):
        child.judge(Bomb())  # type: ignore[arg-type]
    assert child.judge(Case("matmul", 1, ())) == Verdict("Applied")
