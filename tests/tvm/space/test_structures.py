"""Moves on real programs: what they make is a sketch like any other, and what they must not make is refused."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
import tvm
from tvm import s_tir, te, tirx
from tvm_ffi import structural_equal

from colt.analysis.nests import instantiate
from colt.errors import IllegalEdit, Rejected
from colt.knobs import Edit, Jump, Schedule, Transformation
from colt.machine import detect
from colt.moves import brief_structure, read_moves, show_moves
from colt.proposers.language.moves import COPIED, EXAMPLE, SKETCHED
from colt.records.record import Words, words_of
from colt.search.search import Search
from colt.search.tree import Tree, Values
from colt.search.types import MemberSpec
from colt.tvm.cost.scorer import AnalyticalScorer, machine_of
from colt.tvm.devices.host import resolve_target
from colt.tvm.moves.names import axis_name
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.sketches import DesignSpace, generate
from colt.tvm.space.adopt import Adopter, block_names
from colt.tvm.space.plans import UNTUNED
from colt.tvm.space.space import WITHOUT_MOVES, TvmSpace
from tests.helpers import space_programs as programs
from tests.helpers.briefed import job

TARGET = resolve_target(None, 2)
K_BLOCKS = (
    "cache_write(C, C); split(C.j, [?, ?, 2, 16]); split(C.i, [_, 8]); split(C.k, [_, 32]); "
    "reorder(C, [j_0, k_0, j_1, i_0, k_1, i_1, j_2, j_3]); parallel(C.j_0); reverse_compute_at(C_global, C.j_0); "
    "prefetch(C.k_1, B, 16); unroll(C.i_1); unroll(C.j_2); vectorize(C.j_3)"
)
"""Blocks along k outermost, and a prefetch: no sketch has either."""


@pytest.fixture(scope="module")
def matmul() -> TvmSpace:
    return TvmSpace.generated(programs.matmul(32, 64, 64), TARGET)


@pytest.fixture(scope="module")
def softmax() -> TvmSpace:
    return TvmSpace.generated(programs.softmax(), TARGET)


def moved(space: TvmSpace, text: str, on: Schedule = UNTUNED, *others: Jump | Edit) -> Schedule:
    steps: Transformation = (*others, *read_moves(text))
    return space.apply(on, steps, random.Random(0)).schedule


def predicted(space: TvmSpace, schedule: Schedule) -> float:
    """In microseconds, on this machine."""
    return AnalyticalScorer(space, machine_of(detect(), 2)).predict([schedule])[0]


def error_of(space: TvmSpace, schedule: Schedule) -> float:
    """How far the built schedule is off from numpy."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape, dtype="float32") for shape in ((32, 64), (64, 64)))
    out = tvm.runtime.tensor(np.full((32, 64), np.nan, "float32"))
    kernel = tvm.tirx.build(space.module(schedule), target=TARGET)["main"]
    kernel(tvm.runtime.tensor(a), tvm.runtime.tensor(b), out)
    return float(np.abs(out.numpy() - a @ b).max())


def test_a_structure_is_a_sketch_with_knobs_of_its_own(matmul: TvmSpace) -> None:
    made = moved(matmul, K_BLOCKS)
    (knob,) = matmul.knobs(made)
    assert (knob.name, made.variant, made.sketch) == ("C.j", "plain", f"untuned | {K_BLOCKS}")
    wide = matmul.apply(made, (Edit("C.j", (1, 2)),), random.Random(0)).schedule
    assert wide == Schedule(made.variant, made.sketch, ((1, 2),))
    assert error_of(matmul, wide) < 1e-4
    assert "B[T.min(k_0 * 32 + k_1 + 16, 63)" in matmul.module(wide).script(), "within the buffer"
    assert "prefetch" in tvm.tirx.build(matmul.module(wide), target=TARGET).inspect_source("asm")


def test_names_survive_moves(matmul: TvmSpace) -> None:
    made = matmul.apply(moved(matmul, K_BLOCKS), (Edit("C.j", (2, 1)),), random.Random(0)).schedule
    assert matmul.nests(made) == (
        "C: parallel(j_0:2) [k_0:2] j_1:1 i_0:4 [k_1:32] unroll(i_1:8) unroll(j_2:2) vec(j_3:16)",
        "C_global: parallel(j_0:2) ax0:32 ax1:32",
    )
    split_again = moved(matmul, "split(C.i_0, [_, 2]); fuse(C, [j_1, i_0_0])", made)
    assert matmul.nests(split_again)[0] == (
        "C: parallel(j_0:2) [k_0:2] j_1_i_0_0:2 i_0_1:2 [k_1:32] unroll(i_1:8) unroll(j_2:2) vec(j_3:16)"
    )
    assert split_again.values == made.values


def test_a_block_that_moves_keeps_the_names_of_its_loops(softmax: TvmSpace) -> None:
    made = moved(softmax, "compute_at(rowsum, prob.i); compute_at(exp, prob.i); split(rowsum.r2, [_, 16])")
    assert "rowsum: i:32 i:1 [r2_0:4] [r2_1:16]" in [line.replace("i#2", "i") for line in softmax.nests(made)]


def test_a_block_that_was_split_before_it_moves_has_whole_loops_again(softmax: TvmSpace) -> None:
    made = moved(softmax, "split(exp.j, [_, 16]); compute_at(rowsum, prob.i); compute_at(exp, prob.i)")
    assert "exp: i#2:32 i:1 j:64" in softmax.nests(made)


def test_the_model_knows_the_turns_of_loops_that_were_split_twice(matmul: TvmSpace) -> None:
    made = moved(matmul, "split(C.k, [_, 32]); split(C.k_1, [_, 4]); parallel(C.i)")
    (block,) = matmul.skeleton(made).blocks
    assert [(loop.extent, loop.rest) for loop in block.loops if loop.iter == 2] == [(1, True), (8, False), (4, False)]


def test_the_model_knows_the_turns_of_a_part_of_a_tile_that_was_split_again(matmul: TvmSpace) -> None:
    """Stock sketches mark no loops: the model told their loops by their names."""
    sketch = next(one for one in matmul.sketches if one.name == "ms1")
    first = moved(matmul, "split(C.k_1, [_, 4]); unroll(C.k_1_1)", matmul.sample(random.Random(0), sketch))
    for seed in range(8):
        rng = random.Random(seed)
        values = tuple(knob.sample(rng) for knob in matmul.knobs(first))
        terms = next(value for knob, value in zip(matmul.knobs(first), values, strict=True) if knob.name == "C.k")
        whole = -(-terms[1] // 4) * 4 * terms[0]  # type: ignore[index, operator]
        nest = next(one for one in instantiate(matmul.skeleton(first), values) if one.block.name == "C")
        assert math.prod(loop.extent for loop in nest.loops if loop.reduce) == whole


def test_every_move_says_what_it_did(matmul: TvmSpace) -> None:
    made = moved(matmul, "split(C.k, [_, 32]); cache_read(C, B)")
    assert matmul.plans.find(made.variant, made.sketch).moved == (
        "split(C.k, [_, 32]) -> C: i:32 j:64 [k_0:2] [k_1:32]",
        "cache_read(C, B) -> C: i:32 j:64 [k_0:2] [k_1:32]; B_global: ax0:64 ax1:64",
    )


def test_it_is_found_by_its_name_alone_and_replayed_by_stock_tvm(matmul: TvmSpace) -> None:
    made = moved(matmul, "unroll(C.k_1)", moved(matmul, "parallel(C.i)", moved(matmul, "split(C.k, [?, ?])")))
    other = TvmSpace.generated(programs.matmul(32, 64, 64), TARGET)
    assert other.realise(made).schedule == made
    assert structural_equal(other.module(made), matmul.module(made))
    assert other.skeleton(made) == matmul.skeleton(made)
    stock = s_tir.Schedule(programs.matmul(32, 64, 64))
    matmul.scheduled(made).trace.apply_to_schedule(stock, remove_postproc=False)
    assert structural_equal(stock.mod, matmul.scheduled(made).mod)


def test_sketches_are_moved_too_and_keep_their_values(matmul: TvmSpace) -> None:
    tiled = matmul.sample(random.Random(3), matmul.sketches[0])
    block = matmul.nests(tiled)[0]
    made = moved(matmul, "prefetch(C.k, B, 8)", tiled)
    assert made.values == tiled.values
    assert [knob.name for knob in matmul.knobs(made)] == [knob.name for knob in matmul.knobs(tiled)]
    assert matmul.nests(made)[0] == block
    assert error_of(matmul, made) < 1e-4


def test_a_loop_whose_extent_is_a_knob_takes_no_huge_factor(matmul: TvmSpace) -> None:
    tiled = matmul.sample(random.Random(3), matmul.sketches[0])
    with pytest.raises(IllegalEdit, match="less than the product of the factors, 2147483647"):
        moved(matmul, "split(C.i_1, [_, 2147483647])", tiled)


def test_the_same_structure_by_another_way_is_the_same_node(matmul: TvmSpace) -> None:
    tree = Tree(UNTUNED, "m", Values("log"))
    ways = (
        "split(C.i, [_, 8]); split(C.j, [_, 16]); parallel(C.i_0)",
        "split(C.j, [_, 16]); split(C.i, [_, 8]); parallel(C.i_0)",
        "split(C.i, [_, 8]); parallel(C.i_0); split(C.j, [_, 16])",
    )
    known = [tree.known_as(matmul.apply(UNTUNED, read_moves(way), random.Random(0))) for way in ways]
    assert len(set(known)) == 1
    assert known[0].sketch == f"untuned | {ways[0]}"
    other = matmul.apply(UNTUNED, read_moves("split(C.i, [_, 8]); parallel(C.i_0)"), random.Random(0))
    assert tree.known_as(other) != known[0]


def test_leads_that_are_one_structure_are_one_schedule(matmul: TvmSpace) -> None:
    ways = ("split(C.j, [_, 16]); parallel(C.i)", "parallel(C.i); split(C.j, [_, 16])")
    leads = [(moved(matmul, way), "records") for way in ways]
    search = Search(matmul, Indifferent(), [MemberSpec("one", 1.0)])
    search.open([(matmul.sample(random.Random(0)), "sampled")])
    assert search.lead(leads) == [leads[0][0]]
    again = search.tree.known_as(matmul.realise(leads[1][0]))
    assert again == leads[0][0], "what a member makes later is the same, too"


class Indifferent:
    """Predicts nothing of note."""

    version = "none"

    def predict(self, schedules: Sequence[Schedule]) -> list[float]:
        return [100.0] * len(schedules)


def test_what_changes_nothing_is_refused(matmul: TvmSpace) -> None:
    with pytest.raises(IllegalEdit, match="changes nothing"):
        moved(matmul, "reorder(C, [i, j, k])")
    made = moved(matmul, "split(C.i, [_, 8])")
    with pytest.raises(IllegalEdit, match="changes nothing"):
        moved(matmul, "reorder(C, [i_0, i_1])", made)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("split(D.i, [_, 8])", "there is no block 'D'; there are C"),
        ("split(C.x, [_, 8])", "block C has no loop 'x' around it; it has i, j, k"),
        ("split(C.i, [_, 4096])", "less than the product of the factors, 4096"),
        ("split(C.i, [5, 5])", "the product of the factors is 25, not 32"),
        ("split(C.i, [?, ?, 5])", "a multiple of 5"),
        ("vectorize(C.i)", "not the innermost loop"),
        ("vectorize(C.k)", "refused by TVM"),
        ("parallel(C.k)", "refused by TVM"),
        ("parallel(C.i); parallel(C.j)", "runs in parallel already"),
        ("parallel(C.i); split(C.i, [_, 2])", "parallel already"),
        ("fuse(C, [i, k])", "refused by TVM"),
        ("compute_at(C, C.i)", "refused by TVM"),
        ("compute_inline(C)", "refused by TVM"),
        ("transform_layout(C, B, [d1, d0])", "B is an argument"),
        ("transform_layout(C, B_global, [d1, d0])", "has to be one of them"),
        ("cache_read(C, B); transform_layout(C, B_global, [d1/5, d0, d1%5])", "no multiple of 5"),
        ("cache_read(C, B); cache_read(C, B_global); cache_read(C, X)", "has to be one of them"),
        ("pad_einsum(C, [1, 1])", "has 3 loops"),
        ("pad_einsum(C, [1000, 1000, 1000])", "more than 4 times"),
        ("set_scope(C, C, local)", "C is an argument"),
        ("decompose_reduction(C.i); decompose_reduction(C.k)", "there is no block 'C'"),
        ("tensorize(C.k, system)", "there is no intrinsic 'system' here"),
        ("prefetch(C.k, B, 0)", "1 to 4096 turns ahead"),
        ("prefetch(C.i, B, 1)", "reads no more of 'B' from turn to turn"),
        ("split(C.k, [_, 5]); rfactor(C.k_1, 0)", "do not divide"),
        ("unroll(C.i); unroll(C.j); unroll(C.k)", "s to build"),
        ("reorder(C, [k, j]); vectorize(C.j); reorder(C, [j, k])", "is not the innermost"),
    ],
)
def test_what_must_not_be_is_refused_in_one_line(matmul: TvmSpace, text: str, told: str) -> None:
    with pytest.raises((IllegalEdit, Rejected)) as refusal:
        moved(matmul, text)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_sum_in_the_loop_over_another_sums_terms_is_refused_until_it_begins_inside() -> None:
    space = TvmSpace.generated(programs.matmul_of_matmul(), TARGET)
    with pytest.raises(Rejected, match="over another sum's terms"):
        moved(space, "compute_at(C, D.l)")
    made = moved(space, "compute_at(C, D.l); decompose_reduction(C.k)")
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal((16, 16), dtype="float32") for _ in range(3))
    out = tvm.runtime.tensor(np.full((16, 16), np.nan, "float32"))
    tvm.tirx.build(space.module(made), target=TARGET)["main"](*map(tvm.runtime.tensor, (a, b, c)), out)
    assert np.abs(out.numpy() - a @ b @ c).max() < 1e-4


def padded_double() -> Any:
    """A block that reads under a condition what another has computed."""
    x = te.placeholder((16,), name="X")
    twice = te.compute((16,), lambda i: x[i] * 2.0, name="twice")
    zero = tirx.const(0.0, "float32")
    inside = te.compute((18,), lambda i: tirx.if_then_else(tirx.all(i >= 1, i < 17), twice[i - 1], zero), name="pad")
    return module_of_tensors([x, inside])


@pytest.mark.parametrize(
    ("program", "text", "told"),
    [
        (programs.matmul, "cache_read(C, B); reverse_compute_at(B_global, C.i)", "reads nothing of what C computes"),
        (programs.matmul_of_matmul, "reverse_compute_at(D, C.i)", "D adds up what it reads"),
        (padded_double, "reverse_compute_at(pad, twice.i)", "pad reads under a condition"),
    ],
)
def test_a_block_is_moved_only_to_loops_of_what_it_reads_whole(program: Any, text: str, told: str) -> None:
    """TVM takes all of these, and computes something else."""
    space = TvmSpace(program(), DesignSpace((), ()))
    with pytest.raises(IllegalEdit, match=told):
        moved(space, text)


# ---- sketches of what moves have made ----

PACKED = "cache_read(C, B); transform_layout(C, B_global, [d1, d0])"


@pytest.fixture(scope="module")
def stock() -> TvmSpace:
    """Of a product whose second operand has its terms innermost: without COLT's own sketches, which pack it."""
    return without_own(programs.matmul(32, 64, 64, nt=True))


def without_own(mod: Any) -> TvmSpace:
    return TvmSpace(mod, generate(mod, TARGET), target=TARGET)


def test_a_sketch_is_applied_to_what_moves_have_made(stock: TvmSpace) -> None:
    made = moved(stock, f"{PACKED}; sketch(fused)")
    whole = TvmSpace.generated(programs.matmul(32, 64, 64, nt=True), TARGET)
    own = Schedule("packed", "fused", made.values)
    assert [knob.name for knob in stock.knobs(made)] == [knob.name for knob in whole.knobs(own)]
    assert structural_equal(stock.scheduled(made).mod, whole.scheduled(own).mod)
    assert predicted(stock, made) == predicted(whole, own)
    again = without_own(programs.matmul(32, 64, 64, nt=True)).scheduled(made)
    assert structural_equal(again.mod, stock.scheduled(made).mod), "it is found by its name alone"


def test_moves_go_on_from_an_applied_sketch_by_the_names_of_its_loops(stock: TvmSpace) -> None:
    applied = moved(stock, f"{PACKED}; sketch(fused)")
    made = moved(stock, "prefetch(C.k, B_global, 8)", applied)
    assert made.values == applied.values
    assert made.sketch == f"untuned | {PACKED}; sketch(fused); prefetch(C.k, B_global, 8)"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{PACKED}; sketch(packed/fused)", "there is no sketch 'packed/fused' of this program; there are fused"),
        ("split(C.k, [?, ?]); sketch(fused)", "what moves without knobs made of it"),
        ("split(C.k, [_, 4]); sketch(fused)", "there is no sketch 'fused' of this program; there are none"),
        ("sketch(fused, twice)", "it has 2 arguments"),
        ("sketch(a b)", "it has 2 arguments"),
        ("sketch(../fused)", "which is no name of a sketch"),
    ],
)
def test_a_sketch_that_cannot_be_applied_is_refused(stock: TvmSpace, text: str, told: str) -> None:
    with pytest.raises(IllegalEdit, match=re.escape(told)):
        moved(stock, text)


def test_a_sketch_that_the_space_has_by_itself_is_no_structure() -> None:
    space = TvmSpace.generated(programs.matmul(32, 64, 64, nt=True), TARGET)
    with pytest.raises(IllegalEdit, match="makes sketch packed/fused, which is there"):
        moved(space, f"{PACKED}; sketch(fused)")


def test_runs_of_earlier_editions_apply_no_sketch() -> None:
    space = TvmSpace.generated(programs.matmul(32, 64, 64, nt=True), TARGET, edition=13)
    with pytest.raises(IllegalEdit, match="a sketch is applied to the untuned program"):
        moved(space, f"{PACKED}; sketch(fused)")
    assert not [moves for moves in space.suggested_moves(UNTUNED) if "sketch" in show_moves(moves)]


def test_runs_of_earlier_editions_have_no_moves() -> None:
    space = TvmSpace.generated(programs.matmul(32, 64, 64), TARGET, edition=WITHOUT_MOVES)
    with pytest.raises(IllegalEdit, match="no moves"):
        moved(space, "parallel(C.i)")


def test_a_jump_comes_before_moves(matmul: TvmSpace) -> None:
    tiled = matmul.sample(random.Random(3), matmul.sketches[0])
    made = moved(matmul, "parallel(C.i)", tiled, Jump("plain", "untuned"))
    assert made == Schedule("plain", "untuned | parallel(C.i)", ())


def test_a_record_in_words_holds_the_moves_and_is_adopted(matmul: TvmSpace) -> None:
    made = moved(matmul, K_BLOCKS)
    words = words_of(made, [knob.name for knob in matmul.knobs(made)])
    stored = msgspec.json.decode(msgspec.json.encode(words), type=Words)
    wider = TvmSpace.generated(programs.matmul(64, 128, 64), TARGET)
    assert Adopter(matmul).adopt(stored, None) == made
    relative = Adopter(wider).adopt(stored, None)
    assert relative.sketch == made.sketch
    odd = TvmSpace.generated(programs.matmul(36, 96, 80), TARGET)
    fits = Adopter(odd).adopt(stored, None, relative=True)
    assert "split(C.i, [_, 9]); split(C.k, [_, 40])" in fits.sketch, "8 does not divide 36, nor does 32 divide 80"
    stranger = msgspec.structs.replace(stored, sketch="untuned | split(C.j, [_, 0])")
    with pytest.raises(IllegalEdit, match="factors is 0"):
        Adopter(matmul).adopt(stranger, None)


@pytest.mark.parametrize(("shown", "knobs"), [(EXAMPLE, ["C.j"]), ((*COPIED, *SKETCHED), ["C.i", "C.j"])])
def test_the_examples_that_models_are_shown_are_possible(shown: Any, knobs: list[str]) -> None:
    space = TvmSpace.generated(programs.matmul(64, 512, 512), TARGET)
    schedule = space.apply(UNTUNED, read_moves([moves for moves, _ in shown]), random.Random(0)).schedule
    assert [knob.name for knob in space.knobs(schedule)] == knobs


def test_random_moves_can_be_made(matmul: TvmSpace) -> None:
    tiled = matmul.sample(random.Random(3), matmul.sketches[0])
    for start in (UNTUNED, tiled, moved(matmul, K_BLOCKS)):
        drawn = [matmul.random_moves(start, random.Random(seed), 2) for seed in range(4)]
        assert any(drawn)
        assert drawn == [matmul.random_moves(start, random.Random(seed), 2) for seed in range(4)]


def test_random_moves_name_only_what_can_be_written() -> None:
    """Programs call their axes and blocks as they like: ``v0``, which is no loop ``0``, or with brackets."""
    x = te.placeholder((16, 32), name="x")
    first = te.compute((16, 32), lambda v0, v1: x[v0, v1] * 2.0, name="y[0]; z")
    r = te.reduce_axis((0, 32), name="v2")
    func = te.create_prim_func([x, te.compute((16,), lambda v0: te.sum(first[v0, r], axis=r), name="total")])
    space = (
        TvmSpace.generated(module_of_tensors([x, first]), TARGET),
        TvmSpace.generated(tvm.IRModule({"main": func}), TARGET),
    )
    for one in space:
        drawn = [move for seed in range(12) for move in one.random_moves(UNTUNED, random.Random(seed), 3)]
        assert read_moves(show_moves(drawn)) == tuple(drawn)
    assert drawn


def test_loops_are_called_by_names() -> None:
    assert [axis_name(name) for name in ("v_i", "vi", "v0", "v_0", "v", "row")] == ["i", "i", "v0", "v_0", "v", "row"]


def test_a_model_is_shown_the_loops_of_a_structure_as_moves_call_them(matmul: TvmSpace) -> None:
    assert brief_structure(moved(matmul, K_BLOCKS).sketch, 60) == (
        "untuned | ...; unroll(C.i_1); unroll(C.j_2); vectorize(C.j_3)"
    )
    space, briefing = job("matmul")
    made = moved(space, "split(C.k, [_, 16]); parallel(C.i)")
    assert list(briefing.nest(made)) == ["C: parallel(i:512) j:512 [k_0:32] [k_1:16]"]
    assert briefing.nest(UNTUNED) == ("C: i:512 j:512 [k:512]",)


def test_a_recipe_is_made_on_a_program_of_other_names() -> None:
    """Roles in place of names: a relative has the same blocks, called otherwise."""

    def renamed(size: int) -> Any:
        x, w, d = (
            te.placeholder((32, 64), name="X"),
            te.placeholder((64, size), name="W"),
            te.reduce_axis((0, 64), name="d"),
        )
        return module_of_tensors(
            [x, w, te.compute((32, size), lambda t, o: te.sum(x[t, d] * w[d, o], axis=d), name="dense")]
        )

    theirs, ours = (TvmSpace.generated(one, TARGET) for one in (programs.matmul(32, 64, 64), renamed(128)))
    made = moved(theirs, K_BLOCKS)
    words = words_of(made, [knob.name for knob in theirs.knobs(made)], block_names(theirs))
    adopted = Adopter(ours).adopt(msgspec.json.decode(msgspec.json.encode(words), type=Words), None)
    assert adopted.sketch == (
        "untuned | cache_write(dense, dense); split(dense.o, [?, ?, 2, 16]); split(dense.t, [_, 8]); "
        "split(dense.d, [_, 32]); reorder(dense, [o_0, d_0, o_1, t_0, d_1, t_1, o_2, o_3]); parallel(dense.o_0); "
        "reverse_compute_at(dense_global, dense.o_0); prefetch(dense.d_1, W, 16); unroll(dense.t_1); "
        "unroll(dense.o_2); vectorize(dense.o_3)"
    )
    other = TvmSpace.generated(programs.softmax(), TARGET)
    with pytest.raises(IllegalEdit, match="of a program with other blocks"):
        Adopter(other).adopt(words, None)


def test_schedules_of_sketches_are_kept_in_the_same_words_as_ever(matmul: TvmSpace) -> None:
    tiled = matmul.sample(random.Random(3), matmul.sketches[0])
    words = words_of(tiled, [knob.name for knob in matmul.knobs(tiled)], block_names(matmul))
    assert set(msgspec.to_builtins(words)) == {"variant", "sketch", "knobs"}
