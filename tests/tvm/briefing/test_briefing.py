"""What prompts say of a job is true: nests, choices, numbering, and what post-processing does to loops."""

from __future__ import annotations

import math
import random
import re

import pytest
import tvm
from tvm.tirx import For, ForKind
from tvm_ffi import structural_walk

from colt.knobs import Jump
from colt.machine import detect
from colt.options import SpaceKind
from colt.tvm.briefing import brief
from colt.tvm.briefing.equations import calls, equations
from colt.tvm.briefing.families import SketchFamily
from colt.tvm.programs.source import load_program
from colt.tvm.space.space import TvmSpace
from tests.helpers import space_programs as programs
from tests.helpers import structured_programs
from tests.helpers.briefed import TARGET, job


def space_of(module: tvm.IRModule) -> TvmSpace:
    return TvmSpace.generated(module, TARGET, vector_math=True)


def section(text: str, title: str) -> list[str]:
    return text.split(f"## {title}", 1)[1].split("\n## ", 1)[0].splitlines()


# ---- families ----


@pytest.mark.parametrize("workload", ["llama3-attention", "deepseek-r1-experts", "llama4-scout-mlp"])
def test_a_number_that_is_worked_out_from_choices_is_the_sketch_that_has_them(workload: str) -> None:
    space, briefing = job(workload, SpaceKind.METASCHEDULE)
    lines = section(briefing.sketches, "plain/ms0 to ms")
    (rule,) = [line for line in lines if line.startswith("msN: ")]
    terms = re.findall(r"(?:(\d+)\*)?(\w+)", rule.partition(" = ")[2].partition(" with ")[0])
    told = {}
    for line in lines:
        if "; (b) " in line:
            blocks, _, options = line.partition(": ")
            told |= dict.fromkeys(blocks.split(", "), re.findall(r"\(\w\) (.*?)(?=; \(|$)", options))
    choices = space.plans.choices()
    for number in random.Random(0).sample(sorted(choices), 20):
        name = space.plans.keys[number][1]
        letters = dict(re.findall(r"(\w+) (\w)(?:, |$)", briefing.label("plain", name)))
        assert name == f"ms{sum(int(weight or 1) * (ord(letters[block]) - ord('a')) for weight, block in terms)}"
        for block, letter in letters.items():
            said = told[block]["abc".index(letter)]
            really = choices[number].get(block, "untiled")
            assert ("no {}" in said) == ("its output" in really)
            levels = [int(level) - 1 for level in re.findall("level (.)", really)]
            assert [int(part) for part in re.findall("after the _(.) loops", said)] == levels
            assert ("rfactor_0" in said) == ("outer" in really)
    assert briefing.label("plain", rule.partition("; so ")[2].split()[0]) in rule, "the example is one"


def test_sketches_that_are_not_numbered_by_their_choices_are_listed() -> None:
    family = SketchFamily.of(["ms0", "ms1", "ms2"], [{"A": "x", "B": "x"}, {"A": "y", "B": "y"}, {"A": "x", "B": "y"}])
    assert list(family.lines())[-1] == "Choices for A B: ms0 aa, ms1 bb, ms2 ab."
    assert [family.label(n) for n in range(3)] == ["A a, B a", "A b, B b", "A a, B b"]


def test_digits_may_stand_in_any_order() -> None:
    members = [{"A": a, "B": b} for b in "pq" for a in "xyz"]
    family = SketchFamily.of([f"ms{n}" for n in range(6)], members)
    assert list(family.lines())[-1].startswith("msN: N = 3*B + A with")
    assert family.choice_of([1, 4], [0, 1, 2, 4]) == "A b"


def test_knobs_that_only_some_have_say_which() -> None:
    _, briefing = job("llama3-attention", SpaceKind.METASCHEDULE)
    knobs = section(briefing.sketches, "plain/ms0 to ms")[-1]
    assert "rowmax_rf.at in rowmax (rowmax b/c)" in knobs
    assert "exp.at in rowsum or rowsum_rf;" in knobs


def test_beside_sketches_of_colts_own_they_take_one_line_and_their_knobs_are_told_at_their_nodes() -> None:
    space, briefing = job("llama3-attention")
    assert section(briefing.sketches, "plain/ms0 to ms80") == [
        ": by MetaSchedule, more tile levels; knobs are told at their nodes"
    ]
    schedule = space.sample(random.Random(0), next(one for one in space.sketches if one.name == "ms7"))
    assert "O.i 256 in 4 <=64; " in briefing.unfolded(schedule)
    own = space.sample(random.Random(0), next(one for one in space.sketches if one.variant == "packed"))
    assert briefing.unfolded(own) == ""


# ---- nests ----


@pytest.mark.parametrize("workload", ["matmul", "llama3-attention", "flux-conv", "deepseek-r1-moe"])
def test_the_nest_of_a_schedule_has_the_extents_of_its_loops(workload: str) -> None:
    """All extents of a block's line together are the points of its block; parallel loops are those of the program."""
    space, briefing = job(workload)
    for variant, name in space.plans.keys[:3]:
        schedule = space.apply(space.untuned, (Jump(variant, name),), random.Random(2)).schedule
        blocks = {block.name: block for block in space.skeleton(schedule).blocks}
        parallel = []
        for line in briefing.nest(schedule):
            told, _, loops = line.partition(": ")
            times = re.search(r" x(\d+)$", loops)
            extents = [int(extent) for extent in re.findall(r":(\d+)", loops)]
            points = math.prod(iter_.extent for iter_ in blocks[told.partition(" ")[0]].iters)
            assert math.prod(extents) * (int(times[1]) if times else 1) >= points, line
            if found := re.search(r"parallel\((.*?)\)", loops):
                parallel.append(math.prod(int(extent) for extent in re.findall(r":(\d+)", found[1])))
        assert sorted(parallel) == sorted(extent for extent in _parallel(space.module(schedule)) if extent > 1)


def test_the_nests_of_attention() -> None:
    space, briefing = job("llama3-attention")
    lines = section(briefing.sketches, "packed/fused\n")
    module = str(space.module(space.apply(space.untuned, (Jump("packed", "fused"),), random.Random(0)).schedule))
    assert lines[:3] == [
        "packed first: K_global[a, c, b] = K[a, b, c]",
        "parallel(h i_0):",
        "  QK: h i j O.i_2 {[d] unroll(O.i_3 j_1) vec(j:16)}",
    ]
    assert "K_global[v0, v2, v1] = K[v0, v1, v2]" in module


def test_a_sketch_that_differs_in_a_block_is_told_as_that() -> None:
    _, briefing = job("llama4-scout-mlp")
    lines = section(briefing.sketches, "plain/fused-parts")
    assert lines[0] == ": as plain/fused, but"
    assert lines[1].startswith("Y: {[kd_0] ")
    assert lines[2].startswith("Knobs: those of plain/fused; Y.kd ")


def test_padding_is_told_with_the_extents_that_knobs_tile() -> None:
    program = load_program(programs.matmul(37, 41, 43))
    text = brief(space_of(program.module), program, detect(), 2, vector_math=True).sketches
    lines = section(text, "padded/fused")
    assert "padded: C to i:39 j:48" in lines
    assert re.search(r"C.i 39 in \d", lines[-1])


@pytest.mark.parametrize("sketch", ["ms0", "ms1", "ms2"])
def test_outer_loops_are_fused_until_they_pass_the_limit(sketch: str) -> None:
    """As the rules say: up to a reduction, or to where sums begin."""
    space, briefing = job("matmul", SpaceKind.METASCHEDULE)
    assert "or more than 32 iterations" in briefing.sketches
    rng = random.Random(1)
    levels = {"ms0": 2, "ms1": 1, "ms2": 2}[sketch]
    for _ in range(8):
        schedule = space.apply(space.untuned, (Jump("plain", sketch),), rng).schedule
        i, j = schedule.values[0], schedule.values[1]
        assert isinstance(i, tuple)
        assert isinstance(j, tuple)
        wanted = 1
        for extent in [part for level in range(levels) for part in (i[level], j[level])]:
            if wanted <= 32:
                wanted *= extent
        assert _parallel(space.module(schedule)) == [wanted]


def _parallel(module: tvm.IRModule) -> list[int]:
    found: list[int] = []

    def enter(loop: For) -> None:
        if loop.kind == ForKind.PARALLEL:
            found.append(int(loop.extent))

    structural_walk(module["main"].body, (For, enter))
    return found


# ---- equations ----


def test_equations_are_shorter_than_tensorir_and_say_the_same() -> None:
    text = equations(programs.attention())
    assert re.search(r"QK\[\w+:\d+, i:\d+, j:\d+\] = sum\(\w:\d+\) Q\[", text)
    assert calls(programs.attention()) == {"exp"}
    assert "sum(" in equations(structured_programs.layer_norm())


def test_parentheses_stand_where_they_are_needed() -> None:
    from tvm import te

    a = te.placeholder((8,), name="A")
    b = te.compute((8,), lambda i: (a[i] - (a[i] - 1.0)) * (a[i] + 2.0) / (a[i] * a[i]), name="B")
    text = equations(tvm.IRModule({"main": te.create_prim_func([a, b])}))
    assert text.splitlines()[-1] == "B[i:8] = (A[i] - (A[i] - 1)) * (A[i] + 2) / (A[i] * A[i])"
