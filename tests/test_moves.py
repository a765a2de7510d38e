"""Moves as data: written and read back, whatever is said, and refused in one line that says what is accepted."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colt.errors import IllegalEdit
from colt.events import Proposed, to_record
from colt.moves import (
    KINDS,
    LARGEST,
    MOST_MOVES,
    MOST_TEXT,
    ApplySketch,
    Axis,
    CacheWrite,
    ComputeAt,
    DecomposeReduction,
    FuseLoops,
    LoopName,
    Move,
    PadEinsum,
    ParallelLoop,
    Prefetch,
    ReorderLoops,
    RFactor,
    SetScope,
    SplitLoop,
    TransformLayout,
    read_move,
    read_moves,
    read_structure,
    show_move,
    show_moves,
    structure_name,
)

K = LoopName("C", "k")
WRITTEN: list[tuple[Move, str]] = [
    (SplitLoop(K, (None, 32)), "split(C.k, [_, 32])"),
    (SplitLoop(K, ("?", None, 16)), "split(C.k, [?, _, 16])"),
    (FuseLoops("C", ("i_0", "j_0")), "fuse(C, [i_0, j_0])"),
    (ReorderLoops("C", ("k", "i", "j")), "reorder(C, [k, i, j])"),
    (ParallelLoop(LoopName("T.matmul", "i#2")), "parallel(T.matmul.i#2)"),
    (ComputeAt("A", K), "compute_at(A, C.k)"),
    (ComputeAt("A", K, "first"), "compute_at(A, C.k, first)"),
    (CacheWrite("C", "Y"), "cache_write(C, Y)"),
    (
        TransformLayout("C", "B_global", (Axis(1, "/", 16), Axis(0), Axis(1, "%", 16))),
        "transform_layout(C, B_global, [d1/16, d0, d1%16])",
    ),
    (PadEinsum("C", (8, 32, 1)), "pad_einsum(C, [8, 32, 1])"),
    (DecomposeReduction(K), "decompose_reduction(C.k)"),
    (RFactor(K, 1), "rfactor(C.k, 1)"),
    (Prefetch(K, "B", 16), "prefetch(C.k, B, 16)"),
    (SetScope("C", "C_global", "local"), "set_scope(C, C_global, local)"),
    (ApplySketch("in-lanes/fused"), "sketch(in-lanes/fused)"),
]


@pytest.mark.parametrize(("move", "text"), WRITTEN, ids=[text for _, text in WRITTEN])
def test_a_move_is_written_like_the_primitive_that_makes_it_and_read_back(move: Move, text: str) -> None:
    assert show_move(move) == text
    assert read_move(text) == move


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
LOOPS = st.builds(LoopName, NAMES, NAMES)
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "str": NAMES,
    "int": st.integers(0, LARGEST),
    "LoopName": LOOPS,
    "tuple[str, ...]": st.lists(NAMES, min_size=2, max_size=5, unique=True).map(tuple),
    "tuple[int, ...]": st.lists(st.integers(1, LARGEST), min_size=1, max_size=5).map(tuple),
    "tuple[Factor, ...]": st.sampled_from([(None, 32), ("?", None, 8), ("?", "?"), (2, 3), (4, None)]),
    "tuple[Axis, ...]": st.sampled_from([(Axis(1), Axis(0)), (Axis(0, "/", 4), Axis(1), Axis(0, "%", 4))]),
    "Place": st.sampled_from(["last", "first"]),
    "Scope": st.sampled_from(["local", "global"]),
    "SketchName": st.from_regex(r"[a-z][a-z-]{0,8}(/[a-z][a-z-]{0,8})?", fullmatch=True),
}
MOVES = st.one_of(
    [st.builds(kind, **{spec.name: _FIELDS[str(spec.type)] for spec in dataclasses.fields(kind)}) for kind in KINDS]
)


@given(st.lists(MOVES, max_size=6))
def test_every_move_survives_text_json_and_the_name_of_its_structure(moves: list[Move]) -> None:
    assert read_moves(show_moves(moves)) == tuple(moves)
    for move in moves:
        as_object = {
            "move": move.verb,
            **{spec.name: _plain(getattr(move, spec.name)) for spec in dataclasses.fields(move)},
        }
        assert read_move(json.loads(json.dumps(as_object))) == move
    half = len(moves) // 2
    name = structure_name(structure_name("tiled", moves[:half]), moves[half:])
    assert read_structure(name) == ("tiled", tuple(moves))


def _plain(value: object) -> object:
    if isinstance(value, LoopName | Axis):
        return str(value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Split( C.k , [ None, 32 ] )", SplitLoop(K, (None, 32))),
        ('split("C.k", [-1, 32])', SplitLoop(K, (None, 32))),
        ("reorder(C.k, C.i)", ReorderLoops("C", ("k", "i"))),
        ("fuse([C.i, C.j])", FuseLoops("C", ("i", "j"))),
        ("fuse(C, [C.i, C.j])", FuseLoops("C", ("i", "j"))),
        ("prefetch(C.k, B, ahead=16)", Prefetch(K, "B", 16)),
        ({"move": "split(C.k, [_, 32])"}, SplitLoop(K, (None, 32))),
        ({"move": "split", "loop": "C.k", "factors": [None, 32]}, SplitLoop(K, (None, 32))),
        ("transform_layout(C, B, [d1//16, d0, d1 % 16])", None),
    ],
)
def test_forms_that_models_use_are_understood(said: object, meant: Move | None) -> None:
    if meant is None:
        with pytest.raises(IllegalEdit, match="is written"):
            read_move(said)
    else:
        assert read_move(said) == meant


@pytest.mark.parametrize(
    ("said", "accepted"),
    [
        ("tile(C.k, 3)", "there is no move 'tile'; there are split"),
        ("split(C.k, [0, 32])", "factors is 0"),
        ("split(C.k, [32])", "2 to 8 factors"),
        ("split(C.k, [_, _])", "one factor at most"),
        ("split(C.k, [16, ?, ?])", "before the numbers"),
        ("split(C.k, [?, 16])", "two of them at least"),
        ("split(k, [_, 16])", "no loop of a block such as C.k"),
        (f"split(C.k, [_, {LARGEST + 1}])", "no integer from 0"),
        ("split(C.k, [_, 1.5])", "no integer"),
        ("split(C.k, [[_, 2]])", "brackets"),
        ("split(C.k)", "it has no factors"),
        ("parallel(C.k, C.i, C.j)", "it has 3 arguments"),
        ("reorder(C, [k, k])", "different loops"),
        ("transform_layout(C, B, [d0/4, d0%8])", "d0 once"),
        ("transform_layout(C, B, [x, y])", "no dimension"),
        ("set_scope(C, B, shared)", "local or global"),
        ("import os", "is no move; one is written like"),
        ("__import__('os').system('true')", "no move"),
        (7, "a move is a text"),
        ({"move": "split", "loop": "C.k", "factors": [None, True]}, "no integer"),
        ({"move": "split", "loop": "C.k", "factors": [None, 2], "hint": 1}, "it has no 'hint'"),
    ],
)
def test_what_is_no_move_is_refused_with_what_is_accepted(said: object, accepted: str) -> None:
    with pytest.raises(IllegalEdit) as refusal:
        read_move(said)
    assert accepted in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_there_may_not_be_too_many() -> None:
    one = "parallel(C.i)"
    with pytest.raises(IllegalEdit, match=f"{MOST_MOVES} is the most"):
        read_moves([one] * (MOST_MOVES + 1))
    with pytest.raises(IllegalEdit, match="characters"):
        read_moves("x" * (MOST_TEXT + 1))


@given(st.text(max_size=60) | st.recursive(st.none() | st.integers() | st.text(max_size=8), st.lists, max_leaves=8))
def test_nothing_that_is_said_raises_anything_else(said: object) -> None:
    with contextlib.suppress(IllegalEdit):
        read_moves(said)


def test_events_hold_moves_as_text() -> None:
    record = to_record(Proposed(1, "m", ((SplitLoop(K, (None, 32)),),), "m", "", ""))
    assert record["transformations"] == [[{"move": "split(C.k, [_, 32])"}]]
