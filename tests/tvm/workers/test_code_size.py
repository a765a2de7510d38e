"""The size of the code that a program becomes, and the time to build it."""

import math
import random

import pytest
import tvm
import tvm_ffi
from tvm import s_tir, tirx
from tvm.script import tirx as T

from colt.knobs import Edit
from colt.tvm.programs import workloads
from colt.tvm.space.space import TvmSpace
from colt.tvm.workers.code_size import BuildTime, code_shape, code_size, predicted_build_seconds
from colt.tvm.workers.unrolling import read_code
from tests.helpers import measure_programs as programs

SERIAL, PARALLEL = tirx.ForKind.SERIAL, tirx.ForKind.PARALLEL
VECTOR, UNROLLED = tirx.ForKind.VECTORIZED, tirx.ForKind.UNROLLED


def steps(module):
    return read_code(module).all_steps


def instructions(module, **options):
    return read_code(module, **options).all_instructions


def lowered_stores(module):
    """Stores after those passes of TVM's own pipeline that decide on their number."""
    passes = [
        s_tir.transform.LowerInitBlock(),
        s_tir.transform.ConvertBlocksToOpaque(),
        s_tir.transform.StmtSimplify(),
        s_tir.transform.LowerOpaqueBlock(),
        tirx.transform.FlattenBuffer(),
        tirx.transform.VectorizeLoop(True),
        tirx.transform.UnrollLoop(),
    ]
    stores = []
    lowered = tvm.ir.transform.Sequential(passes)(module)
    tvm_ffi.structural_walk(lowered["main"].body, ((tirx.BufferStore, stores.append),))
    return len(stores)


def doubles(*extents, kinds=(), annotations=None, annotated=0):
    """B = 2·A in loops of these extents, outermost first; ``annotations`` are those of loop number ``annotated``."""
    n = math.prod(extents)
    a = tirx.decl_buffer((n,), "float32", name="A")
    b = tirx.decl_buffer((n,), "float32", name="B")
    loops = [tirx.Var(f"i{number}", "int32") for number in range(len(extents))]
    index = 0
    for loop, extent in zip(loops, extents, strict=True):
        index = index * extent + loop
    body = tirx.BufferStore(b, tirx.BufferLoad(a, [index]) * T.float32(2), [index])
    for number in reversed(range(len(extents))):
        kind = kinds[number] if number < len(kinds) else tirx.ForKind.SERIAL
        extra = (annotations or {}) if number == annotated else {}
        body = tirx.For(loops[number], 0, extents[number], kind, body, annotations=extra)
    return programs.module(tirx.PrimFunc([a, b], body))


def under_pragma(module, max_step):
    """The program with a limit for unrolling around all of it."""
    function = module["main"]
    body = tirx.AttrStmt(T.int32(0), "pragma_auto_unroll_max_step", T.int32(max_step), function.body)
    return programs.module(function.with_body(body))


def unrolled_up_to(steps, explicit=1):
    return {"pragma_auto_unroll_max_step": steps, "pragma_unroll_explicit": explicit}


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (doubles(8), 1),
        (doubles(8, kinds=[UNROLLED]), 8),
        (doubles(4, 8, kinds=[SERIAL, UNROLLED]), 8),
        (doubles(4, 8, kinds=[UNROLLED, UNROLLED]), 32),
        (doubles(4, 8, kinds=[UNROLLED]), 4),
        (doubles(4, 8, annotations=unrolled_up_to(32)), 32),
        (doubles(4, 8, annotations=unrolled_up_to(31)), 8),
        (doubles(4, 8, annotations=unrolled_up_to(7)), 1),
        (doubles(4, 8, annotations=unrolled_up_to(512, explicit=0)), 1),
        (doubles(4, 8, kinds=[PARALLEL], annotations=unrolled_up_to(512)), 8),
        (doubles(2, 9, 2, kinds=[SERIAL, PARALLEL], annotations=unrolled_up_to(512)), 2),
        (doubles(*[2] * 11, annotations=unrolled_up_to(4096)), 512),
        (doubles(4, 16, kinds=[SERIAL, VECTOR], annotations=unrolled_up_to(4)), 4),
        (doubles(1, 8, 1, annotations=unrolled_up_to(8)), 8),
    ],
)
def test_stores_left_by_the_unrolling_pass(module, expected):
    assert steps(module) == expected
    assert lowered_stores(module) == expected


@pytest.mark.parametrize(("annotations", "expected"), [({}, 4), ({"note": 1}, 1)])
def test_a_loop_of_one_iteration_is_a_loop_if_annotated(annotations, expected):
    module = under_pragma(doubles(4, 1, kinds=[SERIAL, PARALLEL], annotations=annotations, annotated=1), 64)
    assert steps(module) == lowered_stores(module) == expected


def test_an_instruction_each_for_load_multiplication_and_store():
    assert instructions(doubles(8)) == 3
    assert instructions(doubles(8, kinds=[UNROLLED])) == 24


@pytest.mark.parametrize(("lanes", "registers"), [(4, 1), (16, 1), (17, 2), (64, 4)])
def test_vectors_take_as_many_instructions_as_registers(lanes, registers):
    module = doubles(2, lanes, kinds=[SERIAL, VECTOR])
    assert instructions(module) == 3 * registers
    assert instructions(module, vector_bits=128) == 3 * -(-lanes // 4)


@T.prim_func(s_tir=True)
def _transposes(A: T.Buffer((16, 16), "float32"), B: T.Buffer((16, 16), "float32")):
    for i in range(16):
        for j in T.vectorized(16):
            with T.sblock("B"):
                vi, vj = T.axis.remap("SS", [i, j])
                B[vi, vj] = A[vj, vi]


@T.prim_func(s_tir=True)
def _pads(A: T.Buffer((15,), "float32"), B: T.Buffer((16,), "float32")):
    for i in T.vectorized(16):
        with T.sblock("B"):
            v = T.axis.spatial(16, i)
            B[v] = T.if_then_else(v < 15, A[v], T.float32(0))


@T.prim_func(s_tir=True)
def _exponentials(A: T.Buffer((16,), "float32"), B: T.Buffer((16,), "float32")):
    for i in T.vectorized(16):
        with T.sblock("B"):
            v = T.axis.spatial(16, i)
            B[v] = T.exp(A[v])


def test_a_gather_goes_element_by_element():
    assert instructions(programs.module(_transposes)) == 2 * 16 + 1
    assert code_shape(programs.module(_transposes)).gathers == 16**2


def test_a_call_goes_element_by_element():
    assert instructions(programs.module(_exponentials)) == 3 * 16 + 2


@pytest.mark.parametrize(("max_step", "expected"), [(0, 1), (15, 1), (16, 16)])
def test_what_differs_between_lanes_is_a_serial_loop(max_step, expected):
    module = under_pragma(programs.module(_pads), max_step)
    assert steps(module) == lowered_stores(module) == expected


def test_what_an_unrolled_loop_shares_is_counted_once():
    sch = s_tir.Schedule(programs.matmul(16))
    block = sch.get_sblock("C")
    i, _, k = sch.get_loops(block)
    sch.decompose_reduction(block, k)
    before = instructions(sch.mod)
    sch.unroll(k)
    # A and B are loaded 16 times, multiplied and added; C stays in a register.
    assert instructions(sch.mod) - before == 15 * 4
    sch.unroll(i)
    assert code_shape(sch.mod).statements == 16 * (1 + 16)


def test_code_grows_with_the_unroll_knob(target):
    space = TvmSpace.generated(programs.matmul(64), target)
    rng = random.Random(0)
    for _ in range(5):
        schedule = space.sample(rng)
        knob = next(knob for knob in space.knobs(schedule) if knob.name == "unroll")
        sizes = []
        for value in sorted(knob.candidates):
            edited = space.apply(schedule, (Edit("unroll", value),), rng).schedule
            sizes.append(instructions(space.module(edited)))
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[-1]


@pytest.mark.parametrize("name", ["matmul", "flux-conv", "llama3-attention"])
def test_real_schedules_leave_as_many_stores_as_after_lowering(name, target):
    space = TvmSpace.generated(workloads.get(name).build("small"), target)
    rng = random.Random(3)
    for _ in range(4):
        module = space.module(space.sample(rng))
        assert steps(module) == pytest.approx(lowered_stores(module), rel=0.02)


@T.prim_func(s_tir=True)
def _counts(A: T.Buffer((64,), "int32"), n: T.int32):
    for i in range(n):
        with T.sblock("A"):
            v = T.axis.spatial(n, i)
            T.where(i % 3 == 1)
            while A[v % 64] < 3:
                A[v % 64] = A[v % 64] + 1
        if i > 5:
            T.evaluate(T.call_extern("int32", "sleep", 1))
        else:
            T.evaluate(0)
    for j in T.unroll(0):
        A[j] = 1
    for j in T.serial(8, annotations={"pragma_auto_unroll_max_step": "many", "pragma_unroll_explicit": "yes"}):
        A[j] = 2


def deep_sum(terms):
    a = tirx.decl_buffer((terms,), "float32", name="A")
    value = T.float32(0)
    for number in range(terms):
        value = value + tirx.BufferLoad(a, [number])
    return programs.module(tirx.PrimFunc([a], tirx.BufferStore(a, value, [0])))


ODD = {
    "strange statements": programs.module(_counts),
    "empty": tvm.IRModule(),
    "two functions": tvm.IRModule({"f": programs.doubles["main"], "g": programs.doubles["main"]}),
    "deep expression": deep_sum(1500),
    "deep nest": doubles(*[1] * 20, *[2] * 12, *[1] * 400),
    "endless": doubles(2**30, 2, kinds=[UNROLLED]),
    **{name: module for name, module in vars(programs).items() if isinstance(module, tvm.IRModule)},
}


@pytest.mark.parametrize("module", ODD.values(), ids=ODD)
def test_any_module_has_a_size(module):
    assert code_size(module) > 0
    assert predicted_build_seconds(module) > 0


def test_an_unknown_statement_is_one_instruction():
    assert instructions(programs.module(tirx.PrimFunc([], tirx.Evaluate(0)))) == 1


def test_the_time_grows_with_the_size():
    build_time = BuildTime()
    assert build_time.predict(2000) == 2 * build_time.predict(1000) > 0


def test_the_machine_s_speed_is_learnt():
    build_time = BuildTime()
    expected = {size: build_time.predict(size) for size in (500, 1000, 5000)}
    for _ in range(5):
        for size, seconds in expected.items():
            build_time.learn(size, 3 * seconds)
    assert build_time.correction == pytest.approx(3)
    assert build_time.predict(1000) == pytest.approx(3 * expected[1000])


def test_a_single_build_and_outliers_do_not_move_it():
    build_time = BuildTime()
    build_time.learn(1000, 1e6)
    assert build_time.correction == 1
    for _ in range(10):
        build_time.learn(1000, 2 * 1000 * (BuildTime().predict(1000) / 1000))
    for _ in range(4):
        build_time.learn(1000, 1e9)
    assert build_time.correction == pytest.approx(2)


def test_old_builds_are_forgotten():
    build_time = BuildTime(window=8)
    for factor in (4, 0.5):
        for _ in range(8):
            build_time.learn(1000, factor * BuildTime().predict(1000))
    assert build_time.correction == pytest.approx(0.5)


@pytest.mark.parametrize(("seconds", "correction"), [(1e12, 20), (1e-12, 1 / 20)])
def test_the_correction_is_limited(seconds, correction):
    build_time = BuildTime()
    for _ in range(10):
        build_time.learn(1000, seconds)
    assert build_time.correction == pytest.approx(correction)


@pytest.mark.parametrize(("size", "seconds"), [(0, 1), (-5, 1), (10, 0), (10, -1), (10, math.nan), (10, math.inf)])
def test_nonsense_is_not_learnt(size, seconds):
    build_time = BuildTime(window=1)
    build_time.learn(size, seconds)
    assert build_time.correction == 1
