"""The space of real TVM schedules: what is asked for is what is realised, or it is said."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tvm import s_tir
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms
from tvm.s_tir.meta_schedule.postproc import PyPostproc
from tvm.s_tir.schedule import Trace
from tvm_ffi import structural_equal

from colt.errors import IllegalEdit, Rejected
from colt.knobs import Edit, Jump, LocationKnob, Schedule, Transformation, Value
from colt.options import SpaceKind
from colt.testing.cases import SpaceCase
from colt.testing.space import SPACE_CHECKS
from colt.tvm.devices.host import cpu_intrinsics, resolve_target
from colt.tvm.sketches import Design, DesignSpace
from colt.tvm.space.recent import Recent
from colt.tvm.space.space import TvmSpace
from tests.helpers import space_programs as programs

TARGET = resolve_target(None, 2)
MATMUL_VALUES: tuple[Value, ...] = ((4, 2, 2, 4), (2, 2, 1, 16), (8, 8), 16)
MATMUL = Schedule("plain", "ms0", MATMUL_VALUES)


def space_of(name: str, **options: Any) -> TvmSpace:
    return programs.stock_space(programs.PROGRAMS[name](), TARGET, **options)


@pytest.fixture(scope="module")
def matmul() -> TvmSpace:
    return space_of("matmul")


@pytest.fixture(scope="module")
def conv() -> TvmSpace:
    return space_of("conv")


def rng() -> random.Random:
    return random.Random(5)


# ---- the contract ----


@pytest.mark.parametrize("check", SPACE_CHECKS, ids=lambda check: str(check.__name__))
@pytest.mark.parametrize("name", ["matmul", "softmax"])
def test_conforms(name: str, check: Callable[[SpaceCase], None], spaces: dict[str, TvmSpace]) -> None:
    check(SpaceCase(spaces[name], seed=1, cases=5))


@pytest.fixture(scope="module")
def spaces(matmul: TvmSpace) -> dict[str, TvmSpace]:
    return {"matmul": matmul, "softmax": space_of("softmax")}


# ---- edits ----


def test_an_edit_sets_its_knob_and_nothing_else(matmul: TvmSpace) -> None:
    applied = matmul.apply(MATMUL, (Edit("C.j", [1, 4, 1, 16]), Edit("unroll", 64)), rng())  # type: ignore[arg-type]
    assert applied.schedule == Schedule("plain", "ms0", ((4, 2, 2, 4), (1, 4, 1, 16), (8, 8), 64))
    assert applied.notes == ()


def test_the_program_holds_the_values(matmul: TvmSpace) -> None:
    trace = matmul.python_trace(matmul.realise(MATMUL).schedule)
    for tile in ("[4, 2, 2, 4]", "[2, 2, 1, 16]", "[8, 8]"):
        assert f"decision={tile}" in trace
    assert "probs=[0.25, 0.25, 0.25, 0.25], decision=1)" in trace  # TVM counts candidates: 16 is number 1


@pytest.mark.parametrize(
    ("transformation", "complaint"),
    [
        ((Edit("C.i", (0, 2, 2, 4)),), "C.i takes 4 integers >= 1"),
        ((Edit("C.i", (4, 2, 2, 2)),), "the product is 32"),
        ((Edit("unroll", 1),), "one of [0, 16, 64, 512]"),
        ((Edit("C.l", (1, 1)),), "no knob 'C.l' here; did you mean C."),
        ((Edit("zebra", 1),), "there are C.i, C.j, C.k, unroll"),
        ((Edit("x" * 10**6, 1),), "there is no knob 'xxx"),
        ((Edit("unroll", 0), Edit("unroll", 16)), "'unroll' is edited twice"),
        ((Jump("plain", "ms9"),), "no sketch 'plain/ms9'; there are plain/ms0, plain/ms1, plain/ms2"),
        ((Jump("plain", "untuned"),), "no sketch 'plain/untuned'"),
        ((Jump("plain", "ms1"), Jump("plain", "ms2")), "at most one jump"),
        ((Jump("plain", "ms1"), Edit("C.x", None)), "no knob 'C.x'"),
        ((Edit(["C.i"], None),), "of a knob by its name"),  # type: ignore[arg-type]
        (("unroll = 0",), "not a str"),
        ("unroll = 0", "not a str"),
    ],
)
def test_an_illegal_edit_says_what_is_wrong(matmul: TvmSpace, transformation: Any, complaint: str) -> None:
    with pytest.raises(IllegalEdit) as caught:
        matmul.apply(MATMUL, transformation, rng())
    assert complaint in str(caught.value)
    assert len(str(caught.value)) < 300


def test_an_open_edit_takes_another_value(matmul: TvmSpace, conv: TvmSpace) -> None:
    for seed in range(5):
        applied = matmul.apply(MATMUL, (Edit("C.i", None),), random.Random(seed))
        assert applied.schedule.values[0] != MATMUL_VALUES[0]
        assert applied.schedule.values[1:] == MATMUL_VALUES[1:]
    sampled = conv.sample(rng(), conv.sketches[0])
    with pytest.raises(IllegalEdit, match=r"Y\.n has no other legal value"):
        conv.apply(sampled, (Edit("Y.n", None),), rng())


def test_the_untuned_program_takes_nothing_but_jumps(matmul: TvmSpace) -> None:
    untuned = matmul.untuned
    assert matmul.apply(untuned, (), rng()).schedule == untuned
    assert matmul.realise(untuned).schedule == untuned
    with pytest.raises(IllegalEdit, match="jump to a sketch first"):
        matmul.apply(untuned, (Edit("unroll", 0),), rng())
    jumped = matmul.apply(untuned, (Edit("unroll", 64), Jump("plain", "ms2")), rng()).schedule
    assert (jumped.sketch, jumped.values[3]) == ("ms2", 64)
    assert isinstance(matmul.random_transformation(untuned, rng())[0], Jump)
    assert structural_equal(matmul.module(untuned), programs.PROGRAMS["matmul"]())


def test_a_jump_carries_values_over(matmul: TvmSpace) -> None:
    applied = matmul.apply(MATMUL, (Jump("plain", "ms2"), Edit("C.k", (64, 1))), rng())
    assert applied.schedule == Schedule("plain", "ms2", (*MATMUL_VALUES[:2], (64, 1), 16))


@pytest.mark.parametrize(
    ("schedule", "complaint"),
    [
        (Schedule("plain", "ms0", MATMUL_VALUES[:3]), "has 4 values"),
        (Schedule("plain", "ms0", ((4, 2, 2, 4), (2, 2, 1, 16), (8, 8), 17)), "unroll takes one of"),
        (Schedule("plain", "ms7", MATMUL_VALUES), "no sketch"),
        (Schedule("packed", "ms0", MATMUL_VALUES), "no sketch"),
        (Schedule(3, ["ms0"], MATMUL_VALUES), "no sketch"),  # type: ignore[arg-type]
    ],
)
def test_a_schedule_from_outside_is_checked(matmul: TvmSpace, schedule: Schedule, complaint: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: matmul.realise(schedule),
        lambda: matmul.knobs(schedule),
        lambda: matmul.module(schedule),
        lambda: matmul.apply(schedule, (), rng()),
        lambda: matmul.random_transformation(schedule, rng()),
    ]
    for call in calls:
        with pytest.raises(IllegalEdit, match=complaint):
            call()


# ---- locations ----


def location(space: TvmSpace, schedule: Schedule, name: str) -> LocationKnob:
    (knob,) = [knob for knob in space.knobs(schedule) if knob.name == name]
    assert isinstance(knob, LocationKnob)
    return knob


def test_every_listed_location_is_realised_as_asked(conv: TvmSpace) -> None:
    schedule = conv.sample(rng(), conv.sketches[0])
    listed = location(conv, schedule, "pad.at").locations
    assert len(listed) >= 3
    for name in listed:
        applied = conv.apply(schedule, (Edit("pad.at", name),), rng())
        assert (applied.schedule.values[-1], applied.notes) == (name, ())
        assert applied.schedule.values[:-1] == schedule.values[:-1]


def test_a_location_that_is_not_legal_is_refused_with_the_legal_ones(conv: TvmSpace) -> None:
    schedule = conv.sample(rng(), conv.sketches[0])
    legal = location(conv, schedule, "pad.at").locations
    for name in ("rx_1", "nowhere", "Root", ""):
        assert name not in legal
        with pytest.raises(IllegalEdit) as caught:
            conv.apply(schedule, (Edit("pad.at", name),), rng())
        assert str(list(legal)) in str(caught.value)


def lost_locations(space: TvmSpace) -> Iterator[tuple[Schedule, Transformation]]:
    """Schedules with a location that an edit of a tile makes illegal."""
    chance = random.Random(0)
    for _ in range(40):
        schedule = space.sample(chance, space.sketches[0])
        place = schedule.values[-1]
        if place in ("root", "inline"):
            continue
        edit = Edit(f"Y.{str(place).rpartition('_')[0]}", None)
        applied = space.apply(schedule, (edit,), chance)
        if applied.schedule.values[-1] != place:
            names = [knob.name for knob in space.knobs(schedule)]
            number = names.index(edit.knob)
            yield schedule, (Edit(edit.knob, applied.schedule.values[number]),)


def test_a_location_lost_by_another_edit_is_noted(conv: TvmSpace) -> None:
    schedule, transformation = next(lost_locations(conv))
    applied = conv.apply(schedule, transformation, rng())
    (note,) = applied.notes
    assert note.startswith(f"pad.at = {schedule.values[-1]} is not legal")
    assert note.endswith(f"became {applied.schedule.values[-1]}")
    assert applied.schedule.values[-1] in location(conv, applied.schedule, "pad.at").locations

    asked_too = conv.apply(schedule, (*transformation, Edit("pad.at", schedule.values[-1])), rng())
    assert asked_too == applied  # legal in the schedule that was edited: realised differently, with the note

    constructed = Schedule("plain", "ms0", (*applied.schedule.values[:-1], schedule.values[-1]))
    assert conv.realise(constructed) == applied
    with pytest.raises(IllegalEdit, match="not a realised schedule"):
        conv.module(constructed)


def test_an_edit_may_use_a_location_that_it_makes_legal_itself(conv: TvmSpace) -> None:
    before, transformation = next(lost_locations(conv))
    lost = conv.apply(before, transformation, rng()).schedule
    back = tuple(
        Edit(edit.knob, before.values[[knob.name for knob in conv.knobs(before)].index(edit.knob)])
        for edit in transformation
        if isinstance(edit, Edit)
    )
    with pytest.raises(IllegalEdit):
        conv.apply(lost, (Edit("pad.at", before.values[-1]),), rng())
    assert conv.apply(lost, (Edit("pad.at", before.values[-1]), *back), rng()).schedule == before


def test_after_a_jump_locations_are_legal_whatever_they_were() -> None:
    space = space_of("softmax")
    for seed in range(8):
        chance = random.Random(seed)
        schedule = space.sample(chance)
        target = chance.choice(space.sketches)
        applied = space.apply(schedule, (Jump(target.variant, target.name),), chance)
        assert applied.notes == ()
        for knob, value in zip(space.knobs(applied.schedule), applied.schedule.values, strict=True):
            knob.check(value)


def test_a_location_that_a_jump_cannot_keep_is_drawn_among_the_legal_ones(conv: TvmSpace) -> None:
    schedule, transformation = next(lost_locations(conv))
    drawn = set()
    for seed in range(12):
        applied = conv.apply(schedule, (Jump("plain", "ms2"), *transformation), random.Random(seed))
        drawn.add(applied.schedule.values[-1])
        assert applied.notes == ()
    assert schedule.values[-1] not in drawn
    assert 1 < len(drawn) <= len(location(conv, applied.schedule, "pad.at").locations)


# ---- what TVM gets ----


def test_a_module_is_what_the_plain_recipe_makes(conv: TvmSpace) -> None:
    """A fresh schedule, the trace, the post-processors: the space's short cuts change nothing."""
    mod = programs.PROGRAMS["conv"]()
    with cpu_intrinsics():
        context = ms.TuneContext(mod=mod, target=TARGET, space_generator="post-order-apply", num_threads=1)
        postprocs = context.space_generator.postprocs
    for seed in range(4):
        schedule = conv.sample(random.Random(seed))
        trace = conv.scheduled(schedule).trace
        plain = s_tir.Schedule(mod, seed=1, debug_mask="all")
        Trace(trace.insts, trace.decisions).apply_to_schedule(plain, remove_postproc=True)
        plain.enter_postproc()
        assert all(postproc.apply(plain) for postproc in postprocs)
        assert structural_equal(plain.mod, conv.module(schedule))


def test_the_trace_in_words_can_be_run(matmul: TvmSpace) -> None:
    schedule = matmul.sample(rng())
    namespace: dict[str, Any] = {}
    exec(matmul.python_trace(schedule), namespace)
    again = s_tir.Schedule(programs.PROGRAMS["matmul"]())
    namespace["apply_trace"](again)
    assert structural_equal(again.mod, matmul.module(schedule))


def test_what_is_handed_out_is_a_copy(matmul: TvmSpace) -> None:
    schedule = matmul.sample(rng())
    handed_out = matmul.scheduled(schedule)
    handed_out.annotate(handed_out.get_sblock("root"), "scribble", 1)
    assert "scribble" not in str(matmul.module(schedule))


def test_metaschedules_own_design_spaces_make_the_same_space() -> None:
    mod = programs.PROGRAMS["softmax"]()
    with cpu_intrinsics():
        context = ms.TuneContext(
            mod=mod, target=TARGET, space_generator="post-order-apply", rand_state=1, num_threads=1
        )
        spaces = context.generate_design_space()
    given = TvmSpace.given(mod, spaces, context.space_generator.postprocs)
    generated = space_of("softmax")
    assert given.summaries() == generated.summaries()
    schedule = generated.sample(rng())
    assert given.realise(schedule).schedule == schedule
    assert structural_equal(given.module(schedule), generated.module(schedule))


def test_metaschedules_space_is_colts_less_the_sketches_of_our_own() -> None:
    mod, target = programs.softmax(), resolve_target(None, 2)
    theirs = TvmSpace.generated(mod, target, SpaceKind.METASCHEDULE).summaries()
    everything = TvmSpace.generated(mod, target, SpaceKind.COLT).summaries()
    assert everything[-len(theirs) :] == theirs
    assert len(everything) > len(theirs)
    assert all(name.startswith("ms") for _, name, _ in theirs)


def test_spaces_made_alike_answer_alike() -> None:
    answers = []
    for _ in range(2):
        space, chance = space_of("attention", cache_size=1), random.Random(9)
        schedules = [space.sample(chance) for _ in range(3)]
        for schedule in list(schedules):
            schedules.append(space.apply(schedule, space.random_transformation(schedule, chance), chance).schedule)
        answers.append((schedules, [space.knobs(schedule) for schedule in schedules], list(space.sketches[:3])))
    assert answers[0] == answers[1]


# ---- what TVM refuses ----


@derived_object
class Refusing(PyPostproc):  # type: ignore[misc]
    def _initialize_with_tune_context(self, context: Any) -> None:
        pass

    def apply(self, sch: Any) -> bool:
        return False

    def clone(self) -> Any:
        return Refusing()


def test_a_refusing_post_processor_rejects() -> None:
    mod = programs.matmul(16, 16, 16)
    space = TvmSpace(mod, DesignSpace((Design("plain", tiled(mod)),), (Refusing(),)))
    with pytest.raises(Rejected, match="post-processor Refusing refused the program"):
        space.realise(Schedule("plain", "ms0", ((2, 8), (4, 2))))


def tiled(mod: Any) -> Any:
    """A trace whose second tile is of a loop that the first one makes."""
    schedule = s_tir.Schedule(mod, seed=1)
    i, *_ = schedule.get_loops("C")
    _, inner = schedule.split(i, schedule.sample_perfect_tile(i, 2, 8, decision=[2, 8]))
    schedule.split(inner, schedule.sample_perfect_tile(inner, 2, 8, decision=[4, 2]))
    return schedule.trace


def test_a_tile_that_tvm_changes_is_never_passed_over() -> None:
    mod = programs.matmul(16, 16, 16)
    space = TvmSpace(mod, DesignSpace((Design("own", tiled(mod), name="nested"),), ()))
    fine = Schedule("own", "nested", ((2, 8), (1, 8)))
    assert space.realise(fine).schedule == fine
    with pytest.raises(Rejected, match="became"):
        space.apply(fine, (Edit("C.i", (4, 4)),), rng())


def test_a_failing_primitive_rejects_with_its_reason() -> None:
    mod = programs.matmul(16, 16, 16)
    schedule = s_tir.Schedule(mod, seed=1)
    i, *_ = schedule.get_loops("C")
    half = schedule.sample_categorical([8, 4], [0.5, 0.5], decision=0)
    schedule.split(i, [2, half])
    space = TvmSpace(mod, DesignSpace((Design("own", schedule.trace),), ()))
    assert space.realise(Schedule("own", "ms0", (8,))).schedule.values == (8,)
    with pytest.raises(Rejected, match=r"Split failed: ScheduleError: \w+"):
        space.realise(Schedule("own", "ms0", (4,)))


def test_what_is_kept_fixed_is_told() -> None:
    mod = programs.matmul(16, 16, 16)
    schedule = s_tir.Schedule(mod, seed=1)
    i, j, _ = schedule.get_loops("C")
    schedule.split(i, schedule.sample_partitioned_tile(i, 2, 1, 4))
    schedule.split(j, schedule.sample_perfect_tile(j, 2, 8))
    space = TvmSpace(mod, DesignSpace((Design("own", schedule.trace, summary="mine"),), (), ("from before",)))
    assert space.summaries() == [("own", "ms0", "mine")]
    assert space.messages == ("from before",)
    assert [knob.name for knob in space.sketches[0].knobs] == ["C.j"]
    assert len(space.messages) == 2
    assert "sketch own/ms0: 1 decisions of kind SamplePartitionedTile" in space.messages[1]


# ---- chance and cost ----


def test_random_transformations_are_mostly_single_edits(matmul: TvmSpace) -> None:
    chance, near, jumps = random.Random(1), 0, 0
    knobs = {knob.name: (knob, value) for knob, value in zip(matmul.knobs(MATMUL), MATMUL_VALUES, strict=True)}
    for _ in range(400):
        (step,) = matmul.random_transformation(MATMUL, chance)
        if isinstance(step, Jump):
            assert step.sketch != "ms0"
            jumps += 1
        elif step.knob == "C.i":
            knob, present = knobs["C.i"]
            assert step.value != present
            near += step.value in knob.neighbours(present)  # type: ignore[arg-type, operator]
    assert 20 <= jumps <= 60  # one in ten
    assert 45 <= near <= 85  # of about 90 edits of C.i half are neighbours, and some of the others too


def test_without_another_value_or_sketch_there_is_only_the_present_one() -> None:
    space = space_of("elementwise")
    schedule = space.sample(rng())
    transformation = space.random_transformation(schedule, rng())
    assert transformation == (Jump("plain", "ms0"),)
    assert space.apply(schedule, transformation, rng()).schedule == schedule
    assert space.perturb(schedule, rng()) == schedule


class Counting:
    """Counts the replays of a space."""

    def __init__(self, space: TvmSpace, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        replay = space._replayer.replay

        def counted(*args: Any) -> Any:
            self.count += 1
            return replay(*args)

        monkeypatch.setattr(space._replayer, "replay", counted)

    def of(self, call: Callable[[], object]) -> int:
        before = self.count
        call()
        return self.count - before


def test_no_call_replays_more_than_once(monkeypatch: pytest.MonkeyPatch) -> None:
    space = space_of("conv")
    schedule = space.sample(rng(), space.sketches[0])
    replays = Counting(space, monkeypatch)
    other = "root" if schedule.values[-1] != "root" else "inline"
    assert replays.of(lambda: space.apply(schedule, (Edit("Y.o", None), Edit("pad.at", None)), rng())) == 1
    assert replays.of(lambda: space.apply(schedule, (Edit("pad.at", other),), rng())) == 1
    assert replays.of(lambda: space.module(schedule)) == 0
    assert replays.of(lambda: space.realise(schedule)) == 0
    assert replays.of(lambda: space.knobs(schedule)) == 1
    assert replays.of(lambda: space.knobs(schedule)) == 0
    unrolled = Schedule("plain", "ms0", (*schedule.values[:-2], 0, schedule.values[-1]))
    assert replays.of(lambda: space.knobs(unrolled)) == 0  # where a block may go does not depend on unrolling
    assert replays.of(lambda: [space.perturb(schedule, random.Random(n)) for n in range(50)]) == 0


def test_a_bounded_cache_forgets_what_was_used_longest_ago() -> None:
    cache: Recent[str, int] = Recent(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c"), len(cache)) == (1, None, 3, 2)
    with pytest.raises(ValueError, match="at least one"):
        Recent(0)


def test_a_space_with_the_smallest_cache_still_hands_out_modules() -> None:
    space = space_of("matmul", cache_size=1)
    schedules = [space.sample(random.Random(seed)) for seed in range(3)]
    modules = [space.module(schedule) for schedule in schedules]
    assert len(space._realised) == len(space._modules) == 1
    again = space.module(schedules[0])
    assert structural_equal(modules[0], again)
    assert space.module(schedules[0]).same_as(again)
    assert not structural_equal(modules[0], modules[1])
