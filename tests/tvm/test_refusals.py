"""Whatever TVM throws, and wherever it is asked: it costs one answer, of an expert, a model or a record."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import tvm
from tvm import s_tir

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Schedule
from colt.moves import read_moves
from colt.records.record import Words, words_of
from colt.tvm.devices.host import resolve_target
from colt.tvm.moves import bounds
from colt.tvm.refusals import refused
from colt.tvm.sketches import DesignSpace
from colt.tvm.space.adopt import Adopter, block_names
from colt.tvm.space.plans import UNTUNED
from colt.tvm.space.replay import Replayer
from colt.tvm.space.space import TvmSpace
from tests.helpers import space_programs as programs
from tests.helpers.briefed import job

TARGET = resolve_target(None, 2)
LOST = "Check failed: (it != self->stmt2ref.end()) is false"
LOOKUPS = ("get", "get_sref", "get_sblock", "get_loops", "copy")
MOVES = "split(C.k, [_, 16]); reorder(C, [k_0, i, j, k_1]); cache_read(C, B); unroll(C.k_1); parallel(B_global.ax0)"


def fresh() -> TvmSpace:
    """Of a small product without sketches: nothing is remembered."""
    return TvmSpace(programs.matmul(32, 64, 64), DesignSpace((), ()))


def let_fail(
    patch: pytest.MonkeyPatch, method: str, after: int = 0, error: type[Exception] = tvm.error.InternalError
) -> Callable[[], int]:
    """Have a method of schedules throw once it was called ``after`` times; returns what tells how often it was."""
    real = getattr(s_tir.Schedule, method)
    called = [0]

    def failing(schedule: Any, *args: Any, **options: Any) -> Any:
        called[0] += 1
        if called[0] > after:
            raise error(LOST)
        return real(schedule, *args, **options)

    patch.setattr(s_tir.Schedule, method, failing)
    return lambda: called[0]


def made(space: TvmSpace) -> Schedule:
    return space.apply(UNTUNED, read_moves(MOVES), random.Random(0)).schedule


def refusal(space: TvmSpace) -> str:
    """Why the structure is refused; empty if it is made."""
    try:
        made(space)
    except (IllegalEdit, Rejected) as error:
        return str(error)
    return ""


def calls_of(monkeypatch: pytest.MonkeyPatch, method: str, do: Callable[[TvmSpace], object]) -> int:
    """How often the method is called where nothing fails."""
    with monkeypatch.context() as patch:
        called = let_fail(patch, method, after=10**9)
        do(fresh())
    return called()


def places(calls: int) -> list[int]:
    """Of so many calls, some at which to fail: the first and the last, and others between."""
    assert calls, "a test that cannot fail"
    return sorted({*range(min(calls, 4)), *range(0, calls, max(1, calls // 12)), calls - 1})


@pytest.mark.parametrize("method", LOOKUPS)
def test_a_move_is_refused_where_tvm_does_not_find_its_way(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    told = []
    for after in places(calls_of(monkeypatch, method, made)):
        with monkeypatch.context() as patch:
            let_fail(patch, method, after)
            told.append(refusal(fresh()))
    assert LOST in told[0]
    assert not [text for text in told if "\n" in text]


@pytest.mark.parametrize("method", LOOKUPS)
def test_random_moves_go_on_where_tvm_does_not_find_its_way(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    def draw(space: TvmSpace) -> tuple[Any, ...]:
        return space.random_moves(UNTUNED, random.Random(1), 3)

    for after in places(calls_of(monkeypatch, method, draw)):
        with monkeypatch.context() as patch:
            let_fail(patch, method, after)
            draw(fresh())
    with monkeypatch.context() as patch:
        let_fail(patch, method)
        assert draw(fresh()) == () or method == "get_loops", "a loop is not all that there is to be moved"


@pytest.mark.parametrize("method", ["get_sref", "get_sblock", "copy"])
def test_nothing_is_suggested_where_tvm_does_not_find_its_way(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    def suggest(space: TvmSpace) -> Any:
        return space.suggested_moves(UNTUNED)

    for after in places(calls_of(monkeypatch, method, suggest)):
        with monkeypatch.context() as patch:
            let_fail(patch, method, after)
            assert suggest(fresh()) == ()


@pytest.mark.parametrize(
    ("primitive", "move"),
    [
        ("split", "split(C.k, [_, 16])"),
        ("sample_perfect_tile", "split(C.k, [?, ?])"),
        ("reorder", "reorder(C, [k, i])"),
        ("fuse", "fuse(C, [i, j])"),
        ("annotate", "prefetch(C.k, B, 8)"),
        ("cache_write", "cache_write(C, C)"),
        ("pad_einsum", "pad_einsum(C, [8, 8, 8])"),
        ("decompose_reduction", "decompose_reduction(C.k)"),
        ("rfactor", "rfactor(C.k, 0)"),
    ],
)
@pytest.mark.parametrize("error", [tvm.error.InternalError, KeyError, OverflowError])
def test_a_primitive_that_throws_costs_the_move(
    monkeypatch: pytest.MonkeyPatch, primitive: str, move: str, error: type[Exception]
) -> None:
    let_fail(monkeypatch, primitive, error=error)
    with pytest.raises(Rejected, match=r"is refused by TVM: .*stmt2ref"):
        fresh().apply(UNTUNED, read_moves(move), random.Random(0))


def test_a_structure_is_refused_if_what_it_takes_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*args: object) -> None:
        raise tvm.error.InternalError(LOST)

    monkeypatch.setattr(bounds, "prefetches", lost)
    with pytest.raises(Rejected, match=r"what it takes cannot be told: .*stmt2ref"):
        made(fresh())


def test_what_tvm_remarks_on_a_move_is_no_output_of_ours(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It prints the program around what it refuses, and warns of names there that it does not know."""

    def remarking(*args: object) -> None:
        os.write(2, b"[12:00:00] /project/src/expr.cc:96: Warning: no definition for v_j_o\n")
        raise tvm.error.InternalError(LOST)

    monkeypatch.setattr(s_tir.Schedule, "reorder", remarking)
    making = fresh().plans.making(UNTUNED.variant, UNTUNED.sketch)
    with pytest.raises(Rejected, match="stmt2ref"):
        making.told(read_moves("reorder(C, [k, i])")[0])
    assert capfd.readouterr().err == ""


def test_prompts_say_that_loops_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    space, briefing = job("matmul")
    schedule = space.apply(UNTUNED, read_moves("parallel(C.i)"), random.Random(0)).schedule
    assert briefing.nest(schedule) == ("C: parallel(i:512) j:512 [k:512]",)
    let_fail(monkeypatch, "get_sref")
    (told,) = briefing.nest(schedule)
    assert LOST in told


@pytest.mark.parametrize("method", ["get_sref", "get_sblock"])
def test_a_record_is_not_adopted_where_tvm_does_not_find_its_way(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    space = fresh()
    words = words_of(made(space), [], block_names(space))
    stored = msgspec.json.decode(msgspec.json.encode(words), type=Words)
    assert Adopter(fresh()).adopt(stored, None, relative=True) == made(space)
    let_fail(monkeypatch, method)
    with pytest.raises(Rejected, match="stmt2ref"):
        Adopter(fresh()).adopt(stored, None, relative=True)


def test_what_tvm_throws_while_a_decision_is_taken_is_a_primitive_that_failed() -> None:
    space = TvmSpace.generated(programs.matmul(32, 64, 64), TARGET)
    trace = space.plans[0].trace
    replayer = Replayer(programs.matmul(32, 64, 64), ())

    def throwing(error: Exception) -> Callable[..., Any]:
        def decide(*args: Any) -> Any:
            raise error

        return decide

    with pytest.raises(Rejected, match=r"schedule primitive \w+ failed: .*stmt2ref"):
        replayer.replay(trace, 1, throwing(tvm.error.InternalError(LOST)))
    with pytest.raises(IllegalEdit, match="none of TVM's"):
        replayer.replay(trace, 1, throwing(IllegalEdit("none of TVM's")))


def test_only_what_tvm_throws_is_taken_for_its_refusal() -> None:
    with pytest.raises(Rejected, match="asked: 'main'"), refused("asked"):
        raise KeyError("main")
    with pytest.raises(IllegalEdit, match="as it was"), refused("asked"):
        raise IllegalEdit("as it was")
    with pytest.raises(KeyboardInterrupt), refused("asked"):
        raise KeyboardInterrupt
