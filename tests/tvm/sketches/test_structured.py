"""Structured sketches: what is derived from which dataflow, that it computes the right thing, and how it reads."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import s_tir, te, tirx
from tvm.s_tir import meta_schedule as ms
from tvm.tirx import For, ForKind
from tvm_ffi import structural_equal

from colt.analysis.nests import instantiate
from colt.errors import Rejected
from colt.knobs import EDITION, Schedule, TileKnob
from colt.tvm.devices.host import resolve_target
from colt.tvm.metaschedule.records import Records
from colt.tvm.programs import workloads
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.walks import every
from colt.tvm.sketches import DesignSpace, derive, generate
from colt.tvm.sketches.structured.prepare import read_flow
from colt.tvm.space.space import TvmSpace
from colt.tvm.workers import LocalMeasurer
from tests.helpers import space_programs as programs
from tests.helpers import structured_programs
from tests.helpers.odd_programs import rows_in_blocks

TARGET = resolve_target({"kind": "llvm", "mcpu": "x86-64-v3"}, 2)
"""With vectors of 8 floats, so that what is derived does not depend on this machine."""
POSTPROCS = generate(programs.elementwise(), TARGET).postprocs
PROGRAMS = structured_programs.PROGRAMS


def space_of(mod: Any) -> TvmSpace:
    """The structured sketches alone."""
    designs, messages = derive(mod, TARGET)
    assert messages == []
    return TvmSpace(mod, DesignSpace(tuple(designs), POSTPROCS))


@cache
def space_named(name: str) -> TvmSpace:
    """The same of one of the programs, made once."""
    return space_of(PROGRAMS[name]())


def derived(mod: Any) -> dict[str, list[str]]:
    """The parts of each design's summary."""
    designs, messages = derive(mod, TARGET)
    assert messages == []
    return {f"{design.variant}/{design.name}": str(design.summary).split("; ") for design in designs}


# ---- what is derived ----


def test_blocks_inside_of_blocks_are_left_to_other_sketches() -> None:
    assert derive(tvm.IRModule({"main": rows_in_blocks}), TARGET) == ([], [])


def test_a_matmul_is_one_nest_with_a_register_tile() -> None:
    assert derived(programs.matmul()) == {
        "plain/fused": ["C in parallel tiles of i·j, C in rows of i x vectors of 8 along j"]
    }


def test_an_operand_that_vectors_would_gather_is_packed() -> None:
    packed = ["C in parallel tiles of i·j, C in rows of i x vectors of 8 along j", "B packed for C"]
    assert derived(programs.matmul(nt=True))["packed/fused"] == packed
    assert list(derived(structured_programs.matmul_tn())) == ["plain/fused"]


def test_a_contraction_of_operands_that_are_seldom_used_is_also_summed_in_lanes() -> None:
    """Copies of weights that meet a few tokens cost more than they bring."""
    layer = structured_programs.layer
    assert list(derived(layer(512))) == ["packed/fused"]
    packed, in_lanes = derived(layer(63)).values()
    assert packed[-1] == "W packed for XW"
    assert in_lanes == ["Y in parallel tiles of i·j with XW inside, XW in tiles of i x j, each sum a vector of 8"]
    assert list(derived(layer(4))) == ["in-lanes/fused", "transposed/fused"], "too few uses for copies of it"
    assert list(derived(layer(16, terms=67))) == ["packed/fused"], "no vectors along the sum"


@pytest.mark.parametrize(
    ("rows", "edition", "offered"), [(63, 16, True), (64, 16, False), (64, EDITION, True), (512, EDITION, False)]
)
def test_to_transpose_an_operand_costs_as_much_as_hundreds_of_uses(rows: int, edition: int, offered: bool) -> None:
    designs, _ = derive(structured_programs.layer(rows), TARGET, edition=edition)
    assert any(design.variant == "in-lanes" for design in designs) is offered


def pointwise_convolution(side: int, inputs: int, outputs: int) -> Any:
    """1 by 1, channels last, side by side points."""
    x, f = te.placeholder((side, side, inputs), name="X"), te.placeholder((inputs, outputs), name="F")
    c = te.reduce_axis((0, inputs), name="c")
    shape = (side, side, outputs)
    return module_of_tensors([x, f, te.compute(shape, lambda i, j, o: te.sum(x[i, j, c] * f[c, o], axis=c), name="Y")])


@pytest.mark.parametrize(
    ("side", "edition", "first"), [(4, EDITION, "o_0_0"), (4, 16, "i"), (40, EDITION, "i"), (8, EDITION, "i")]
)
def test_threads_go_through_the_larger_operand_once(
    side: int, edition: int, first: str, measurer: LocalMeasurer
) -> None:
    """Of 64 channels and as many results: 4 by 4 points are fewer than the weights, 8 by 8 as many."""
    mod = pointwise_convolution(side, 64, 64)
    design = next(one for one in derive(mod, TARGET, edition=edition)[0] if one.name == "fused")
    space = TvmSpace(mod, DesignSpace((design,), POSTPROCS), edition=edition)
    plan = space.plans[0]
    module = space.module(Schedule(plan.variant, plan.name, plan.first))
    (jobs,) = [loop for loop in every(module["main"].body, For) if int(loop.kind) == int(ForKind.PARALLEL)]
    assert str(jobs.loop_var.name).startswith(f"{first}_")
    assert measurer.verify(mod, module).ok


def test_sums_in_lanes_stay_with_what_finishes_them_and_apart_from_what_needs_them_in_pieces() -> None:
    nest, *others = derived(workloads.get("gru-cell").build("small"))["in-lanes/fused"]
    assert nest.startswith("XW in parallel tiles of b·j")
    assert [other.split(" in ")[0] for other in others] == ["HU", "Y"]
    (attention,) = derived(programs.attention())["in-lanes/fused"][:1]
    assert attention.startswith("O in parallel tiles of h·i with QK, rowmax, exp, rowsum, prob inside")


def test_sums_in_lanes_are_folded_and_added_up_in_the_tile_that_makes_them() -> None:
    """They would otherwise go through a cache as whole vectors, and be added up one lane after the other."""
    for mod, name in ((workloads.get("gru-cell").build("small"), "XW"), (structured_programs.layer(32), "XW")):
        space = space_of(mod)
        sketch = next(one for one in space.sketches if one.variant == "in-lanes")
        schedule = space.sample(random.Random(0), sketch)
        around = {
            str(p.block.name_hint).removesuffix("_update"): p.loops
            for p in _leaves(space.module(schedule)["main"].body)
        }
        vectors, folds, totals = around[f"{name}_rf_rf"], around[f"{name}_rf"], around[name]
        shared = folds[:-4]
        assert len(shared) > 1
        assert all(mine.same_as(theirs) for mine, theirs in zip(shared, vectors, strict=False))
        assert all(mine.same_as(theirs) for mine, theirs in zip(shared, totals[:-3], strict=True))
        assert [int(loop.extent) for loop in folds[-2:]] == [2, 4]
        assert [int(loop.kind) for loop in folds[-2:]] == [3, 2], "unrolled, vectorised"
        assert (int(totals[-1].extent), int(totals[-1].kind)) == (4, 3)


def test_attention_is_cut_nowhere_before_the_second_contraction_or_around_both() -> None:
    found = {name: nests for name, nests in derived(programs.attention()).items() if name.startswith("packed")}
    notes = ["K packed for QK", "rowmax and rowsum in the lanes of vectors"]
    qk, o = "QK in rows of i x vectors of 8 along j", "O in rows of i x vectors of 8 along x"
    assert found == {
        "packed/fused": [
            f"O in parallel tiles of h·i with QK, rowmax, exp, rowsum, prob inside, {qk}, {o}",
            *notes,
        ],
        "packed/staged": [
            f"prob in parallel tiles of h·i with QK, rowmax, exp, rowsum inside, {qk}",
            f"O in parallel tiles of h·i·x, {o}",
            *notes,
        ],
        "packed/apart": [
            f"QK in parallel tiles of h·i·j, {qk}",
            "prob in parallel tiles of h·i with rowmax, exp, rowsum inside",
            f"O in parallel tiles of h·i·x, {o}",
            *notes,
        ],
    }


def test_swiglu_is_cut_where_the_hidden_layer_is_needed_in_full() -> None:
    found = derived(programs.swiglu())
    assert list(found) == ["plain/fused", "plain/staged", "plain/apart"]
    act, y = found["plain/staged"]
    assert act.startswith("act in parallel tiles of t·i with gate, up inside")
    assert y.startswith("Y in parallel tiles of t·h, ")
    (fused,) = found["plain/fused"]
    assert fused.startswith("Y in parallel tiles of t with gate, up, act inside")


def test_a_small_chain_that_all_tiles_need_is_a_nest_of_its_own() -> None:
    experts = derived(workloads.get("deepseek-r1-experts").build("small"))
    router, act, y, *_ = experts["plain/staged"]
    assert router.startswith("prob in parallel tiles of t with logits, rowmax, exp, rowsum inside")
    assert act.startswith("act in parallel tiles of e·t·i with gate, up inside")
    assert y.startswith("Y in parallel tiles of t·h")
    padding, _ = derived(programs.conv())["plain/fused"]
    assert padding == "pad in parallel tiles of c·y"


def test_pointwise_consumers_are_finished_with_the_contraction() -> None:
    (nest,) = derived(structured_programs.batch_matmul_epilogue())["plain/fused"]
    assert nest == "F in parallel tiles of s·i·j with C inside, C in rows of i x vectors of 8 along j"


def test_a_recurrent_cell_with_two_outputs_keeps_them_apart() -> None:
    gates, *outputs = derived(structured_programs.lstm_cell())["plain/fused"]
    assert gates.startswith("gate in parallel tiles of g·i·j with gx, gh inside")
    assert outputs == ["new_c in parallel tiles of i·j", "new_h in parallel tiles of i·j"]


def test_rows_are_reduced_in_lanes() -> None:
    assert derived(structured_programs.layer_norm())["plain/fused"] == [
        "Y in parallel tiles of i with total, mean, var inside",
        "total and var in the lanes of vectors",
    ]
    assert derived(structured_programs.gemv())["plain/fused"][-1] == "y in the lanes of vectors"
    (transposed,) = derived(structured_programs.gemv(transposed=True))["plain/fused"]
    assert transposed.endswith("y in vectors of 8 along i")


def test_odd_extents_get_vectors_that_divide_them() -> None:
    assert "vectors of 7 along j" in derived(programs.matmul(33, 14, 51))["plain/fused"][0]
    assert "vectors of 5 along j" in derived(programs.matmul(33, 25, 51))["plain/fused"][0]
    assert "vectors" not in derived(programs.matmul(31, 61, 127))["plain/fused"][0]


def test_contractions_whose_extents_divide_badly_are_padded_in_a_variant() -> None:
    """To whole vectors, and to rows with a good divisor; the copies of the operands are not told of."""
    found = derived(programs.matmul(37, 41, 43))
    assert list(found) == ["plain/fused", "padded/fused"]
    nest, note = found["padded/fused"]
    assert nest.endswith("with C inside, C in rows of i x vectors of 8 along j")
    assert note == "C padded to i 39 x j 48"
    assert not any(name.startswith("padded") for name in derived(programs.matmul(48, 40, 37)))


def test_padding_stays_inside_a_group_of_blocks() -> None:
    """The heads and rows of attention are cut into tiles as they are where nothing has to be padded."""
    found = derived(programs.attention(2, 37, 19))
    assert "padded/fused" in found
    nest, *notes = found["padded/fused"]
    assert "with Q_pad, QK, rowmax, exp, rowsum, prob_pad, O inside" in nest
    assert notes == ["K packed for QK", "QK padded to h 2 x i 39 x j 40", "O padded to h 2 x i 39 x x 24"]


@pytest.mark.parametrize("name", ["attention-prime", "swiglu-prime", "batch-matmul-epilogue-prime"])
def test_no_register_tile_of_a_padded_contraction_has_a_condition(name: str) -> None:
    """TVM would take its vectors apart."""
    space, rng = space_named(name), random.Random(3)
    for sketch in space.sketches:
        if sketch.variant == "padded":
            leaves = list(_leaves(space.module(space.sample(rng, sketch))["main"].body))
            vectors = [leaf for leaf in leaves if leaf.loops[-1].kind == tirx.ForKind.VECTORIZED]
            assert vectors
            assert all(int(leaf.realize.predicate) == 1 for leaf in vectors)


def test_a_small_contraction_is_not_padded() -> None:
    """The router of the experts has a seventieth of the work."""
    notes = derived(programs.experts(17, 11, 19, 23))["padded/apart"]
    assert {note.split()[0] for note in notes if " padded to " in note} == {"gate", "up", "Y"}


def test_a_result_is_transposed_where_only_another_of_its_iters_has_whole_vectors() -> None:
    found = derived(structured_programs.PROGRAMS["matmul-narrow"]())
    assert list(found) == ["plain/fused", "transposed/fused", "transposed/staged"]
    nest, note = found["transposed/staged"]
    assert nest.endswith("with C inside, C in rows of j x vectors of 8 along i")
    assert note == "A packed for C"


def test_a_sum_of_products_of_one_operand_with_itself_is_not_padded() -> None:
    assert list(derived(structured_programs.gram())) == ["packed/fused", "in-lanes/fused"]


def test_a_window_is_not_padded() -> None:
    """Its index is a sum, and its elements are used too seldom to be copied."""
    assert all(name.startswith("plain") for name in derived(structured_programs.max_pool(step=1)))


def test_a_loop_in_which_llvm_finds_vectors_is_not_cut_into_tiles() -> None:
    assert derived(structured_programs.max_pool(24)) == {"plain/fused": ["Y in parallel tiles of c·i"]}
    assert derived(structured_programs.max_pool(1, 9)) == {"plain/fused": ["Y in parallel tiles of i·j"]}


def test_vectors_that_no_tile_runs_along_stay_inside_the_parallel_loop_unless_jobs_are_few() -> None:
    many, few = (derived(structured_programs.two_sums(batch))["plain/fused"] for batch in (64, 2))
    assert many == ["Y in parallel tiles of s·i with C, E inside"]
    assert few == ["Y in parallel tiles of s·i·j with C, E inside"]
    designs, messages = derive(structured_programs.two_sums(), TARGET, edition=7)
    assert "plain" not in {design.variant for design in designs}
    assert messages[0] == "1 of COLT's kinds of sketches is left out: list index out of range"


def test_contractions_have_a_packed_operand_in_common() -> None:
    transposed = derived(structured_programs.two_sums())["transposed/fused"]
    assert transposed[1:] == ["A packed for C", "A packed for E"]
    assert derive(structured_programs.two_sums(), TARGET, edition=7)[0] == []


def test_what_is_transposed_goes_square_by_square() -> None:
    space = space_of(structured_programs.transpose())
    schedule = space.sample(random.Random(0), space.sketches[0])
    ((*_, height, width),) = extents(space.module(schedule)).values()
    assert (height[0], width[0]) == (8, 8)


def test_padding_is_not_computed_several_times_over() -> None:
    """Each row of a depthwise convolution needs three padded ones, so that rows are not cut apart together."""
    found = derived(structured_programs.separable_conv())
    assert all(nests[0] == "pad in parallel tiles of c·i" for nests in found.values())


def padded_depthwise() -> Any:
    """3 by 3, channels last, 14 by 14 points."""
    x, f = te.placeholder((14, 14, 32), name="X"), te.placeholder((3, 3, 32), name="F")

    def padded(i: Any, j: Any, c: Any) -> Any:
        inside = tirx.all(i >= 1, i < 15, j >= 1, j < 15)
        return tirx.if_then_else(inside, x[i - 1, j - 1, c], tirx.const(0.0, "float32"))

    pad = te.compute((16, 16, 32), padded, name="pad")
    di, dj = te.reduce_axis((0, 3), name="di"), te.reduce_axis((0, 3), name="dj")
    y = te.compute((14, 14, 32), lambda i, j, c: te.sum(pad[i + di, j + dj, c] * f[di, dj, c], axis=[di, dj]), name="Y")
    return module_of_tensors([x, f, y])


def test_rows_of_a_padded_window_are_cut_in_pieces(measurer: LocalMeasurer) -> None:
    """Two halves of 14 rows need 9 padded ones each, 1.3 times as many as rows; single rows three times as many."""
    mod = padded_depthwise()
    found = {edition: derive(mod, TARGET, edition=edition)[0] for edition in (15, EDITION)}
    (before,), (now,) = ([one for one in designs if one.name == "fused"] for designs in found.values())
    assert "·" not in str(before.summary).split(" with ")[0]
    assert str(now.summary).startswith("Y in parallel tiles of i·")
    space = TvmSpace(mod, DesignSpace((now,), POSTPROCS))
    (sketch,) = space.sketches
    taken = set()
    for seed in range(8):
        schedule = space.sample(random.Random(seed), sketch)
        (pieces,) = [
            value[0]
            for knob, value in zip(space.knobs(schedule), schedule.values, strict=True)
            if isinstance(knob, TileKnob) and isinstance(value, tuple) and knob.parts == 2 and knob.extent == 14
        ]
        taken.add(pieces)
        assert measurer.verify(mod, space.module(schedule)).ok
    assert len(taken) > 1


def test_cheap_statistics_are_computed_with_what_they_normalise_or_before() -> None:
    found = derived(workloads.get("group-norm").build("small"))
    assert [nests[:-1] for nests in found.values()] == [
        ["Y in parallel tiles of g with total, squares inside"],
        ["total in parallel tiles of g", "squares in parallel tiles of g", "Y in parallel tiles of g·i·j"],
    ]


def test_long_sums_may_be_taken_in_parts() -> None:
    assert list(derived(programs.matmul(8, 48, 1200))) == ["plain/fused", "plain/fused-parts"]


def test_the_large_workloads_have_few_structures() -> None:
    for name in workloads.names():
        assert 1 <= len(derived(workloads.get(name).build("small"))) <= 8


def test_a_program_that_fits_no_rule_gets_no_sketch() -> None:
    assert derived(structured_programs.total(8, 100)) == {}
    scheduled = s_tir.Schedule(programs.matmul())
    scheduled.split(scheduled.get_loops("C")[0], [None, 4])
    assert derived(scheduled.mod) == {}


def test_a_long_sum_with_few_results_is_cut_into_parts_whatever_its_length() -> None:
    (sum_,) = derived(structured_programs.total(1, 2003)).values()
    assert sum_ == ["S in parts of 32 lanes for the threads, added up at the end"]
    few = derived(structured_programs.few_rows(3, 1531))
    assert few["in-parts/fused"] == ["S in parts of 32 lanes for the threads, added up at the end"]
    few = derived(structured_programs.column_sum(1531, 3))
    assert few["in-parts/fused"] == ["S in parts of 8 rows for the threads, added up at the end"]
    assert "in-parts/fused" not in derived(structured_programs.few_rows(64, 1531)), "enough rows for the threads"
    assert "in-parts/fused" not in derived(structured_programs.few_rows(3, 1021)), "too short"


def test_only_one_sum_of_a_program_has_conditional_turns() -> None:
    """TVM knows the others for sums no more once it has given this one its first values."""
    softmax = derived(programs.softmax(1, 2003))["in-parts/fused"]
    assert [part for part in softmax if "in parts" in part] == [
        "rowsum in parts of 32 lanes for the threads, added up at the end"
    ]
    assert len([part for part in derived(programs.softmax(1, 4096))["in-parts/fused"] if "in parts" in part]) == 2


@pytest.mark.parametrize("length", [1024, 1025, 1055, 1087, 2048, 2080, 4097])
def test_a_sum_in_parts_adds_every_term_once(length: int) -> None:
    """Whole numbers, so that the order of the terms does not matter."""
    space = space_of(structured_programs.total(1, length))
    terms = tvm.runtime.tensor(np.arange(length, dtype="float32").reshape(1, length) % 512)
    total = tvm.runtime.tensor(np.full(1, np.nan, "float32"))
    tvm.tirx.build(space.module(space.sample(random.Random(length))), target=TARGET)["main"](terms, total)
    assert total.numpy()[0] == terms.numpy().sum(dtype="float64")


# ---- dataflow ----


def test_a_producer_follows_the_loops_that_cut_it_into_pieces() -> None:
    flow = read_flow(s_tir.Schedule(programs.attention()))
    assert flow is not None
    o, prob, qk = (flow.number(name) for name in ("O", "prob", "QK"))
    chain = [flow.number(name) for name in ("prob", "rowsum", "exp", "rowmax")]
    heads, rows, depth, _ = range(4)
    assert [flow.follows(o, (), prob, n) for n in (heads, rows, depth)] == [True, True, False]
    assert [flow.follows(o, chain, qk, n) for n in (heads, rows, depth)] == [True, True, False]
    assert flow.counterpart(o, chain, qk, rows) == 1
    assert flow.counterpart(o, chain, qk, depth) is None


def test_a_stencil_follows_but_is_no_exact_counterpart() -> None:
    flow = read_flow(s_tir.Schedule(structured_programs.two_convs(side=40)))
    assert flow is not None
    two, one = flow.number("two"), flow.number("one")
    _, filters, height, _ = range(4)
    assert flow.follows(two, (), one, height)
    assert flow.counterpart(two, (), one, height) is None
    assert not flow.follows(two, (), one, filters)


# ---- the right results ----


@pytest.fixture(scope="module")
def measurer() -> Iterator[LocalMeasurer]:
    with LocalMeasurer(TARGET, 2) as made:
        yield made


@pytest.mark.parametrize("name", PROGRAMS)
def test_any_knobs_compute_what_the_untuned_program_computes(name: str, measurer: LocalMeasurer) -> None:
    mod, space, rng = PROGRAMS[name](), space_named(name), random.Random(name)
    for sketch in space.sketches:
        schedule = space.sample(rng, sketch)
        found = measurer.verify(mod, space.module(schedule))
        assert found.ok, f"{schedule}: {found.message}"


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_that_the_knobs_allow_is_rejected(name: str) -> None:
    space, rng = space_named(name), random.Random(1)
    for sketch in space.sketches:
        for _ in range(4):
            values = tuple(knob.sample(rng) for knob in sketch.knobs)
            schedule = Schedule(sketch.variant, sketch.name, values)
            applied = space.realise(schedule)
            assert (applied.schedule, applied.notes) == (schedule, ())


EVEN = ["matmul", "matmul-nt", "conv", "attention", "swiglu", "layer-norm"]
ODD = ["matmul-nt-prime", "conv-odd", "batch-matmul-epilogue-prime", "swiglu-prime", "strided-conv"]


@pytest.mark.parametrize("name", [*EVEN, *ODD, "layer", "gram", "lstm-cell", "attention-prime", "conv-nhwc-odd"])
def test_records_replay_in_stock_metaschedule(name: str, tmp_path: Path) -> None:
    mod, space, rng = PROGRAMS[name](), space_named(name), random.Random(2)
    schedules = [space.sample(rng, sketch) for sketch in space.sketches]
    files = tmp_path / "workload.json", tmp_path / "record.json"
    records = Records(*files, mod, TARGET)
    for number, schedule in enumerate(schedules):
        records.add(number, space.scheduled(schedule), 1.0 + number)
    database = ms.database.JSONDatabase(path_workload=str(files[0]), path_tuning_record=str(files[1]))
    found = database.get_top_k(database.commit_workload(mod), 99)
    assert len(found) == len(schedules)
    for record, schedule in zip(found, schedules, strict=True):
        replayed = s_tir.Schedule(mod)
        record.trace.apply_to_schedule(replayed, remove_postproc=False)
        assert structural_equal(replayed.mod, space.module(schedule))


# ---- how it reads ----


def tiles(space: TvmSpace, sketch: int = 0) -> dict[str, TileKnob]:
    knobs = space.sketches[sketch].knobs
    assert all(isinstance(knob, TileKnob) for knob in knobs)
    return {knob.name: knob for knob in knobs if isinstance(knob, TileKnob)}


def test_a_register_tile_is_the_last_part_of_two_knobs() -> None:
    knobs = tiles(space_of(programs.matmul()))
    assert list(knobs) == ["C.i", "C.j"]
    rows, columns = knobs.values()
    assert (rows.extent, rows.parts, rows.max_innermost) == (128, 4, 16)
    assert rows.roles == (
        "outermost, fused, run in parallel",
        "2nd from the outside",
        "3rd from the outside, write-back of C happens inside it",
        "innermost, inside the reduction, unrolled",
    )
    assert (columns.extent, columns.parts, columns.max_innermost) == (128 // 8, 3, 4)
    assert columns.roles[-1] == "innermost, inside the reduction, vectors of 8, unrolled"


@pytest.mark.parametrize(("side", "edition", "most"), [(14, 9, 14), (17, 9, 17), (17, 8, 16), (23, 9, 23), (37, 9, 28)])
def test_a_register_tile_may_have_all_rows_where_the_usual_numbers_do_not_divide_them(
    side: int, edition: int, most: int
) -> None:
    mod = structured_programs.conv_nhwc(side, 8, 32)
    designs, _ = derive(mod, TARGET, edition=edition)
    space = TvmSpace(mod, DesignSpace(tuple(one for one in designs if one.variant == "plain"), POSTPROCS))
    rows = {
        knob.max_innermost for knob in space.sketches[0].knobs if isinstance(knob, TileKnob) and knob.extent == side
    }
    assert rows == {most}


def test_a_tile_that_several_blocks_share_says_so() -> None:
    knobs = tiles(space_of(programs.attention()))
    assert list(knobs) == ["O.i", "O.x", "QK.j"]
    assert "QK are computed inside it" in knobs["O.i"].roles[0]
    assert "the same for rowsum_rf, rowmax_rf and QK" in knobs["O.i"].roles[-1]
    assert knobs["QK.j"].roles == ("outermost", "innermost, inside the reduction, vectors of 8, unrolled")


def test_the_parts_of_a_long_sum_are_a_knob() -> None:
    assert tiles(space_of(programs.matmul(8, 48, 1200)), 1)["C.k"].roles[0] == "outer part of the reduction"


def test_every_knob_has_something_to_choose_from() -> None:
    for name in PROGRAMS:
        for sketch in space_named(name).sketches:
            for knob in sketch.knobs:
                assert isinstance(knob, TileKnob)
                assert knob.extent > 1
                # Only partial results have a loop that is part of another: the parts of a sum are named after it.
                assert not knob.name.endswith("_0") or knob.block.endswith("_rf")


# ---- what the analytical model sees ----


def extents(mod: Any) -> dict[str, list[tuple[int, int]]]:
    """Extent and kind of all loops around each block, outermost first."""
    return {
        str(place.block.name_hint).removesuffix("_update"): [(int(n.extent), int(n.kind)) for n in place.loops]
        for place in _leaves(mod["main"].body)
        if not str(place.block.name_hint).endswith("_init")
    }


def _leaves(body: Any) -> Iterator[Any]:
    from colt.tvm.space.skeleton import _leaf_blocks

    return _leaf_blocks(body, [])


@pytest.mark.parametrize("name", [*EVEN, *ODD, "layer", "gram", "matmul-long", "max-pool", "softmax-prime"])
def test_the_nests_of_the_model_are_the_programs(name: str) -> None:
    """Own loops in their order, with fused ones taken apart; how often the nest runs; threads and vectors."""
    space, rng = space_named(name), random.Random(4)
    for sketch in space.sketches:
        try:
            schedule = space.sample(rng, sketch)
        except Rejected:
            continue
        real = extents(space.module(schedule))
        for nest in instantiate(space.skeleton(schedule), schedule.values):
            loops = real[nest.block.name]
            points = nest.times
            for loop in nest.loops:
                points *= loop.extent
            assert points == _product(extent for extent, _ in loops), nest.block.name
            assert nest.parallel == _product(extent for extent, kind in loops if kind == 1), nest.block.name
            assert nest.vector_extent() == _product(extent for extent, kind in loops if kind == 2), nest.block.name
            own = [loop.extent for loop in nest.loops if loop.kind != 1]
            assert own == [extent for extent, kind in loops if kind != 1][-len(own) :], nest.block.name


def _product(numbers: Any) -> int:
    result = 1
    for number in numbers:
        result *= number
    return result


def test_a_block_that_writes_an_argument_is_not_moved() -> None:
    a = te.placeholder((32, 32), name="A")
    b = te.compute((32, 32), lambda i, j: a[i, j] * 2.0, name="B")
    c = te.compute((32, 32), lambda i, j: b[i, j] + 1.0, name="C")
    found = derived(module_of_tensors([a, b, c]))
    assert found == {"plain/fused": ["B in parallel tiles of i·j", "C in parallel tiles of i·j"]}
