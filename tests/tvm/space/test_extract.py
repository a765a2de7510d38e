"""Knobs read off traces: names, limits, roles, and that the roles tell the truth about the program."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from tvm import s_tir

from colt.knobs import CategoryKnob, Knob, LocationKnob, Schedule, TileKnob
from colt.tvm.devices.host import resolve_target
from colt.tvm.sketches import generate
from colt.tvm.space.extract import Extraction, extract
from colt.tvm.space.locations import LoopNest, consumer_nest, distinct_names, is_legal, legal_indices
from colt.tvm.space.replay import Replayer
from colt.tvm.space.space import TvmSpace
from tests.helpers import space_programs as programs

TARGET = resolve_target(None, 2)
JOBS = 32  # 16 for each of the target's two cores


def space_of(name: str) -> TvmSpace:
    return programs.stock_space(programs.PROGRAMS[name](), TARGET)


def knobs_of(name: str, sketch: int = 0) -> dict[str, Knob]:
    return {knob.name: knob for knob in space_of(name).sketches[sketch].knobs}


def extraction_of(mod: Any, schedule: Any) -> Extraction:
    return extract(Replayer(mod, ()), schedule.trace)


# ---- names, limits, candidates ----


def test_a_contraction_has_a_tile_for_each_loop_and_one_choice_of_unrolling() -> None:
    parts = {"C.i": (64, 4), "C.j": (64, 4), "C.k": (64, 2)}
    knobs = knobs_of("matmul")
    assert list(knobs) == [*parts, "unroll"]
    for name, (extent, count) in parts.items():
        knob = knobs[name]
        assert isinstance(knob, TileKnob)
        assert (knob.block, knob.loop, knob.extent, knob.parts) == ("C", name[-1], extent, count)
        assert knob.max_innermost == 64
    unroll = knobs["unroll"]
    assert isinstance(unroll, CategoryKnob)
    assert unroll.candidates == (0, 16, 64, 512)


def test_the_innermost_limit_is_metaschedules_or_the_extent() -> None:
    knobs = knobs_of("matmul-prime")
    limits = {knob.loop: (knob.extent, knob.max_innermost) for knob in knobs.values() if isinstance(knob, TileKnob)}
    assert limits == {"i": (31, 31), "j": (61, 61), "k": (127, 64)}


def test_siblings_name_equal_decisions_alike() -> None:
    space = space_of("attention")
    names = [{knob.name for knob in space.sketches[number].knobs} for number in (0, 40, 80)]
    tiles = {"O.h", "O.i", "O.x", "O.j2", "QK.h", "QK.i", "QK.j", "QK.d", "unroll"}
    assert all(tiles <= found for found in names)
    assert "rowsum.r2.rfactor" not in names[0]
    assert {"rowsum.r2.rfactor", "rowmax.r1.rfactor", "rowsum_rf.at", "rowmax_rf.at"} <= names[2]


def test_a_knob_is_legal_with_the_value_that_the_program_has() -> None:
    for name in programs.PROGRAMS:
        space = space_of(name)
        schedule = space.sample(random.Random(3))
        for knob, value in zip(space.knobs(schedule), schedule.values, strict=True):
            assert knob.check(value) == value


def test_decisions_of_schedules_made_by_hand() -> None:
    mod = programs.matmul(32, 32, 32)
    schedule = s_tir.Schedule(mod, seed=1)
    block = schedule.get_sblock("C")
    i, j, k = schedule.get_loops(block)
    i_0, i_1 = schedule.split(i, schedule.sample_perfect_tile(i, 2, -1))
    schedule.reorder(i_1, j, k)
    schedule.vectorize(schedule.split(i_1, schedule.sample_perfect_tile(i_1, 3, 4))[2])
    schedule.parallel(schedule.fuse(i_0, schedule.get_loops(block)[1]))
    schedule.annotate(block, "layers", schedule.sample_categorical([3, 5], [0.5, 0.5]))
    schedule.split(j, [None, schedule.sample_categorical([4, 8], [0.5, 0.5])])
    schedule.sample_categorical([1, 2], [0.5, 0.5])

    knobs = [decision.knob for decision in extraction_of(mod, schedule).decisions]
    assert [knob.name for knob in knobs] == ["C.i", "C.i_1", "C.layers", "C.j.split", "choice"]
    free, second = knobs[:2]
    assert isinstance(free, TileKnob)
    assert isinstance(second, TileKnob)
    assert free.max_innermost == 32
    assert roles(free) == ("outermost, fused, run in parallel", "2nd from the outside")
    assert roles(second) == ("outermost", "2nd of 3 parts", "3rd of 3 parts, vectorised")


def test_knobs_of_one_name_are_numbered() -> None:
    mod = programs.matmul(32, 32, 32)
    schedule = s_tir.Schedule(mod, seed=1)
    block = schedule.get_sblock("C")
    for _ in range(3):
        schedule.annotate(block, "layers", schedule.sample_categorical([3, 5], [0.5, 0.5]))
        schedule.unannotate(block, "layers")
    knobs = [decision.knob.name for decision in extraction_of(mod, schedule).decisions]
    assert knobs == ["C.layers", "C.layers#2", "C.layers#3"]


def test_unknown_decisions_are_kept_and_told() -> None:
    mod = programs.matmul(32, 32, 32)
    schedule = s_tir.Schedule(mod, seed=1)
    i, j, _ = schedule.get_loops("C")
    factors = schedule.sample_partitioned_tile(i, 2, 1, 4)
    schedule.split(i, factors)
    schedule.split(j, schedule.sample_perfect_tile(j, 2, 16))
    found = extraction_of(mod, schedule)
    assert [decision.knob.name for decision in found.decisions] == ["C.j"]
    assert found.messages == (
        "1 decisions of kind SamplePartitionedTile are no knobs: they stay as MetaSchedule sampled them",
    )


# ---- roles ----


def test_the_roles_of_a_contractions_tiles() -> None:
    knobs = knobs_of("matmul")
    outer, second = "outermost, fused and run in parallel", "2nd from the outside, joins the parallel loop as long as"
    second += f" that has at most {JOBS} iterations"
    assert roles(knobs["C.i"]) == (
        outer,
        second,
        "between the parts of the reduction",
        "innermost, inside the reduction",
    )
    assert roles(knobs["C.j"]) == (
        outer,
        f"{second}, write-back of C happens inside it",
        "between the parts of the reduction",
        "innermost, vectorised",
    )
    assert roles(knobs["C.k"]) == ("outer part of the reduction", "inner part of the reduction")


def roles(knob: Knob) -> tuple[str, ...]:
    assert isinstance(knob, TileKnob)
    return knob.roles


def test_loops_inside_the_write_back_do_not_join_the_parallel_loop() -> None:
    outermost, second, *_ = roles(knobs_of("matmul", 1)["C.j"])
    assert outermost == "outermost, fused and run in parallel, write-back of C happens inside it"
    assert second == "2nd from the outside"


def test_a_consumer_inside_a_tile_is_named() -> None:
    assert any("R is computed inside it" in role for role in roles(knobs_of("bias-relu", 1)["C.j"]))


def test_the_roles_of_partial_results() -> None:
    inner, outer = (roles(knobs_of("row-sum", number)["S.k.rfactor"]) for number in (1, 2))
    serial = "reduced one after the other within each partial result"
    assert inner == (serial, "partial results side by side, vectorised, combined at the end")
    assert outer == ("partial results, each a loop of its own, combined at the end", serial)


def test_a_tensorised_block_claims_no_vectors() -> None:
    target = resolve_target({"kind": "llvm", "mcpu": "cascadelake"}, 2)
    space = programs.stock_space(programs.packed_dot(), target)
    assert "tensorised with dot_16x4_vnni" in space.structure + space.sketches[0].summary
    assert not any(
        "vectorised" in role for knob in space.sketches[0].knobs if isinstance(knob, TileKnob) for role in knob.roles
    )


def loops(stmt: Any) -> Iterator[tuple[str, int, int]]:
    """Name, extent and kind (0 serial, 1 parallel, 2 vectorised) of all loops, outermost first."""
    kind = type(stmt).__name__
    if kind == "For":
        yield str(stmt.loop_var.name), int(stmt.extent), int(stmt.kind)
        yield from loops(stmt.body)
    elif kind == "SeqStmt":
        for part in stmt.seq:
            yield from loops(part)
    elif kind == "SBlockRealize":
        yield from loops(stmt.block.body)


def loops_of(space: TvmSpace, schedule: Schedule) -> list[tuple[str, int, int]]:
    applied = space.realise(schedule)
    assert not applied.notes
    return list(loops(space.module(applied.schedule)["main"].body))


@pytest.mark.parametrize(
    ("i", "j", "fused"),
    [
        ((2, 2, 4, 4), (4, 1, 4, 4), 16),  # all four, since there are never more than 32
        ((4, 4, 2, 2), (4, 4, 1, 4), 64),  # stops after i_1, which crosses 32
        ((64, 1, 1, 1), (2, 4, 1, 8), 64),  # i_0 alone has more than 32
    ],
)
def test_outer_loops_are_fused_as_the_roles_say(i: tuple[int, ...], j: tuple[int, ...], fused: int) -> None:
    found = loops_of(space_of("matmul"), Schedule("plain", "ms2", (i, j, (8, 8), 0)))
    assert [extent for _, extent, kind in found if kind == 1] == [fused]
    assert [extent for name, extent, kind in found if kind == 2 and not name.endswith("_init")] == [j[3]]


def test_partial_results_are_vectorised_as_the_role_says() -> None:
    space = space_of("row-sum")
    inner = loops_of(space, Schedule("plain", "ms1", ((16, 16), 0)))
    assert [extent for name, extent, kind in inner if kind == 2 and not name.endswith("_init")] == [16]
    outer = loops_of(space, Schedule("plain", "ms2", ((16, 16), 0)))
    assert [extent for _, extent, kind in outer if kind == 2] == []


# ---- summaries ----


def test_summaries_say_what_sets_a_sketch_apart() -> None:
    assert [sketch.summary for sketch in space_of("matmul").sketches] == [
        "C tiled, sums in a buffer written back inside tile level 2",
        "C tiled, sums in a buffer written back inside tile level 1",
        "C tiled, sums in its output",
    ]
    space = space_of("softmax")
    summaries = [summary for _, _, summary in space.summaries()]
    assert summaries[0] == "rowmax untiled; rowsum untiled"
    assert "rowsum in partial results over the inner part of its reduction" in summaries[3]
    assert len(set(summaries)) == 9
    assert space_of("attention").structure == "prob inlined"


def test_a_lone_sketch_says_what_it_does() -> None:
    assert [summary for _, _, summary in space_of("elementwise").summaries()] == ["B inlined"]


# ---- locations ----


def test_locations_are_named_after_loops() -> None:
    nest = LoopNest("C", tuple(distinct_names(["i_0", "ax0", "ax0", "root", "ax0"])))
    assert nest.loops == ("i_0", "ax0", "ax0#2", "root#2", "ax0#3")
    for index in range(-2, 5):
        assert nest.index(nest.name(index)) == index
    assert nest.name(-1) == "root"
    assert nest.name(-2) == "inline"
    assert nest.index("j") is None


def test_probing_finds_what_trying_each_loop_finds() -> None:
    """On every location of a random schedule of the richest attention sketch, against asking for each index."""
    mod = programs.attention()
    trace = generate(mod, TARGET).designs[80]
    assert trace.complete is not None
    full, _ = trace.complete(trace.trace)
    seen = []

    def compare(number: int, schedule: Any, live: Any, decision: Any) -> Any:
        instruction = full.insts[number]
        if instruction.kind.name == "SampleComputeLocation":
            before = str(schedule.trace)
            nest = consumer_nest(schedule, live[0])
            scratch = schedule.copy()
            consumers = scratch.get_consumers(live[0])
            names = [str(scratch.get(loop).loop_var.name) for loop in scratch.get_loops(consumers[0])]
            each = [index for index in range(-2, len(names)) if is_legal(schedule, live[0], index, nest)]
            assert legal_indices(schedule, live[0], nest) == each
            assert list(nest.loops) == distinct_names(names)
            assert nest.consumer == str(scratch.get(consumers[0]).name_hint)
            assert str(schedule.trace) == before
            seen.append(len(each))
        return decision

    Replayer(mod, ()).replay(full, 1, compare)
    assert len(seen) == 5
    assert max(seen) > 2


def test_a_sketch_lists_the_locations_of_its_first_sample() -> None:
    pad = knobs_of("conv")["pad.at"]
    assert isinstance(pad, LocationKnob)
    assert (pad.block, pad.consumer) == ("pad", "Y")
    loops = set(pad.locations) - {"inline", "root"}
    assert loops
    assert loops < {f"{loop}_{level}" for loop in ("n", "o", "y", "x_", "rc", "ry", "rx") for level in range(4)}
