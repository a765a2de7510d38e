"""Moves as people make them by hand, read off any structure of any program."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from tvm import te

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Jump, Schedule, Transformation
from colt.machine import detect
from colt.moves import read_moves, show_moves
from colt.proposers.experts.architect import Architect
from colt.proposers.experts.explorer import Explorer
from colt.search.types import MemberSpec, MemberView, NodeView, Observation, Progress
from colt.tvm.cost.scorer import AnalyticalScorer, machine_of
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.sketches import DesignSpace
from colt.tvm.space.plans import UNTUNED
from colt.tvm.space.space import TvmSpace
from tests.helpers import space_programs as programs

TARGET = resolve_target(None, 2)


@pytest.fixture(scope="module")
def transposed() -> TvmSpace:
    """A product whose second operand has its terms innermost."""
    a, b, k = (
        te.placeholder((64, 128), name="A"),
        te.placeholder((96, 128), name="B"),
        te.reduce_axis((0, 128), name="k"),
    )
    out = te.compute((64, 96), lambda i, j: te.sum(a[i, k] * b[j, k], axis=k), name="C")
    return TvmSpace.generated(module_of_tensors([a, b, out]), TARGET)


def shown(space: TvmSpace, schedule: Schedule = UNTUNED) -> list[str]:
    return [show_moves(moves) for moves in space.suggested_moves(schedule)]


def test_an_operand_is_packed_along_results(transposed: TvmSpace) -> None:
    found = shown(transposed)
    assert "cache_read(C, B); transform_layout(C, B_global, [d1, d0])" in found
    assert "prefetch(C.k, B, 8)" in found
    assert "split(C.k, [_, 4]); unroll(C.k_1)" in found
    assert "split(C.k, [?, ?]); reorder(C, [k_0, i, j])" in found


def test_terms_go_into_blocks_unless_sums_are_written_back_inside_of_the_tiles() -> None:
    space = TvmSpace.generated(programs.matmul(64, 64, 64), TARGET)
    assert "split(C.k, [?, ?]); reorder(C, [k_0, i, j])" in shown(space)
    sketch = next(one for one in space.sketches if one.name == "fused")
    assert not [text for text in shown(space, space.sample(random.Random(0), sketch)) if "reorder" in text]


def test_a_producer_is_computed_where_it_is_read() -> None:
    space = TvmSpace.generated(programs.softmax(), TARGET)
    found = shown(space)
    assert "compute_at(rowmax, exp.i)" in found
    assert not [text for text in found if text.startswith("compute_inline(prob)")], "nobody reads the result"


def test_only_sums_that_matter_are_changed() -> None:
    """A program's row reductions have few terms beside its products."""
    space = TvmSpace.generated(programs.attention(), TARGET)
    changed = {text.partition(".")[0] for text in shown(space) if text.startswith("prefetch")}
    assert changed == {"prefetch(QK", "prefetch(O"}


@pytest.mark.parametrize("number", [0, -1])
def test_most_of_what_is_suggested_can_be_made(transposed: TvmSpace, number: int) -> None:
    tiled = transposed.sample(random.Random(1), transposed.sketches[number])
    made = refused = 0
    for moves in transposed.suggested_moves(tiled):
        try:
            transposed.apply(tiled, moves, random.Random(0))
            made += 1
        except (IllegalEdit, Rejected):
            refused += 1
    assert made > refused


def test_the_architect_changes_a_stalled_structure_and_keeps_its_values(transposed: TvmSpace) -> None:
    """The model knows what strided vectors cost: packing is what it favours."""
    scorer = AnalyticalScorer(transposed, machine_of(detect(), 2))
    spec = MemberSpec("architect", 70.0, nominal=True)
    architect = Architect(transposed, scorer, spec, moving=transposed)
    values = ((8, 2, 4, 1), (2, 3, 1, 16), (4, 32), 64)
    slow = transposed.realise(Schedule("plain", "ms0", values)).schedule
    node = NodeView(1, slow, "tuner", (), None, 100.0)
    members = (MemberView(spec, 0, 0, 0, 0, 0, 0, 0),)
    seen = Observation(spec, node, (), transposed.knobs(slow), (), (node,), members, Progress(40, 64, 0), 1, 0)

    def proposed(seed: int, stalled: bool) -> Schedule:
        observation = replace(seen, seed=seed, stalled=stalled)
        (steps,) = architect.propose(observation).transformations
        return transposed.apply(slow, steps, random.Random(0)).schedule

    changed = [made for seed in range(30) if " | " in (made := proposed(seed, stalled=True)).sketch]
    assert 0 < len(changed) < 30, "now and then"
    early = [made for seed in range(30) if " | " in (made := proposed(seed, stalled=False)).sketch]
    assert early
    assert all("transform_layout(C, B_global" in made.sketch for made in early), (
        "what is faster by far, and nothing else"
    )
    packed = [made for made in changed if "transform_layout(C, B_global" in made.sketch]
    assert packed
    assert packed[0].values == slow.values
    before, after = scorer.predict([slow, packed[0]])
    assert after < before / 2


def test_a_structure_is_opened_with_the_same_schedules_whenever_it_is_looked_at(transposed: TvmSpace) -> None:
    """What is drawn for it does not depend on what was looked at before, so that a second look costs little."""
    scorer = AnalyticalScorer(transposed, machine_of(detect(), 2))
    architect = Architect(transposed, scorer, MemberSpec("architect", 70.0, nominal=True))
    fast = transposed.realise(Schedule("plain", "ms0", ((8, 2, 4, 1), (2, 3, 1, 16), (4, 32), 64))).schedule

    def looked(seed: int | None, draw: int) -> list[Transformation]:
        return Explorer(transposed, scorer, architect, seed).changes(fast, True, random.Random(draw))

    first = looked(3, 0)
    assert any(isinstance(step, Jump) for steps in first for step in steps), "none of the untuned program"
    assert looked(3, 1) == first
    assert looked(4, 0) != first
    assert looked(None, 0) != looked(None, 1)


def test_a_copy_runs_in_parallel_where_loops_are_marked_so(transposed: TvmSpace) -> None:
    made = transposed.apply(UNTUNED, read_moves("parallel(C.i)"), random.Random(0)).schedule
    wanted = "cache_read(C, B); transform_layout(C, B_global, [d1, d0]); parallel(B_global.ax0)"
    assert wanted in shown(transposed, made)


def test_a_sum_that_reads_a_scalar_has_suggestions() -> None:
    """No dimension of it can be packed, and no line of it prefetched."""
    a, b = te.placeholder((32, 64), name="A"), te.placeholder((48, 64), name="B")
    scale, k = te.placeholder((), name="scale"), te.reduce_axis((0, 64), name="k")
    out = te.compute((32, 48), lambda i, j: te.sum(a[i, k] * b[j, k] * scale(), axis=k), name="C")
    found = shown(TvmSpace(module_of_tensors([a, b, scale, out]), DesignSpace((), ())))
    assert "cache_read(C, B); transform_layout(C, B_global, [d1, d0])" in found
    assert "prefetch(C.k, A, 8)" in found
    assert not [text for text in found if "scale" in text]
