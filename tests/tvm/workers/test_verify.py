"""A candidate passes only if it leaves in its parameters what the untuned program leaves there."""

import numpy as np
import pytest
from tvm import IRModule, s_tir, te, tirx, topi

from colt.errors import MeasureError
from colt.knobs import Schedule
from colt.measure.base import Fate, Inputs, Job, Limits
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.inputs import user_inputs
from colt.tvm.programs.program import module_of_tensors
from colt.tvm.programs.roles import arguments_of
from colt.tvm.space.space import TvmSpace
from colt.tvm.workers.rounded import rounded_module
from tests.helpers import measure_programs as programs
from tests.helpers.dot_programs import chain
from tests.helpers.mutants import KINDS
from tests.helpers.sparse_programs import sparse_rows, sparse_rows_without_their_last
from tests.helpers.verified_programs import VERIFIED


def test_a_correct_schedule_passes(measurer):
    result = measurer.verify(programs.matmul(128), programs.scheduled_matmul(128), seed=3)
    assert result.ok
    assert 0 <= result.max_rel_error < 1e-6
    assert result.tolerance == 1e-4
    assert result.message == ""


def test_a_wrong_kernel_fails(measurer):
    result = measurer.verify(programs.matmul(128), programs.matmul_missing_a_term(128))
    assert not result.ok
    assert 1e-3 < result.max_rel_error < 1
    result = measurer.verify(programs.doubles, programs.elementwise("float32", lambda x: x * 2.001))
    assert not result.ok
    assert result.max_rel_error == pytest.approx(5e-4, rel=1e-2)
    assert "relative error" in result.message


def test_an_unwritten_element_fails(measurer):
    result = measurer.verify(programs.doubles, programs.doubles_all_but_one)
    assert not result.ok
    assert "1 of 64 elements are not written" in result.message


def test_writing_an_input_fails(measurer):
    result = measurer.verify(programs.doubles, programs.doubles_and_clears)
    assert not result.ok
    assert "parameter 0 (input)" in result.message
    assert "parameter 1" not in result.message


def test_in_place_programs(measurer):
    assert measurer.verify(programs.doubles_in_place, programs.doubles_in_place).ok
    wrong = measurer.verify(programs.doubles_in_place, programs.triples_in_place)
    assert not wrong.ok
    assert "parameter 0 (written)" in wrong.message
    assert "parameter 1" not in wrong.message  # the signs are right


@pytest.mark.parametrize(
    ("dtype", "out"),
    [("float64", None), ("float16", None), ("float16", "float32"), ("bfloat16", "float32"), ("int8", "int32")],
)
def test_data_types(measurer, dtype, out):
    result = measurer.verify(programs.matmul(64, dtype, out), programs.scheduled_matmul(64, dtype, out))
    assert result.ok, result


def test_bfloat16_outputs(measurer):
    twice = programs.elementwise("bfloat16", lambda x: x + x)
    assert measurer.verify(twice, programs.elementwise("bfloat16", lambda x: x * 2)).ok
    assert not measurer.verify(twice, programs.elementwise("bfloat16", lambda x: x * 3)).ok


def test_booleans(measurer):
    positive = programs.elementwise("float32", lambda x: x > 0, out="bool")
    assert measurer.verify(positive, positive).ok
    assert not measurer.verify(positive, programs.elementwise("float32", lambda x: x > 0.1, out="bool")).ok


def test_other_parameters_fail(measurer):
    result = measurer.verify(programs.matmul(16), programs.matmul(32))
    assert not result.ok
    assert "parameters" in result.message


def test_a_candidate_that_dies_fails_and_the_worker_comes_back(measurer):
    reference = programs.elementwise("int32", lambda x: x + 1, n=256)
    result = measurer.verify(reference, programs.divides_by_zero)
    assert not result.ok
    assert "SIGFPE" in result.message
    assert measurer.verify(reference, reference).ok


def test_a_candidate_that_hangs_fails(measurer):
    reference = programs.elementwise("int32", lambda x: x + 1)
    result = measurer.verify(reference, programs.never_ends, limits=Limits(reference_seconds=0.5))
    assert not result.ok
    assert "run-timeout" in result.message


@pytest.mark.parametrize("reference", [programs.divides_by_zero, programs.cannot_be_built], ids=["dies", "no-build"])
def test_a_reference_that_does_not_run_is_the_callers_problem(measurer, reference):
    with pytest.raises(MeasureError, match="untuned program"):
        measurer.verify(reference, programs.elementwise("int32", lambda x: x + 1))


@pytest.mark.alone
def test_the_reference_runs_once_per_seed(measurer):
    reference, candidate = programs.matmul(512), programs.scheduled_matmul(512)

    def seconds_running(seed):
        before = measurer.seconds_timing
        assert measurer.verify(reference, candidate, seed).ok
        return measurer.seconds_timing - before

    first, again, other = seconds_running(1), seconds_running(1), seconds_running(2)
    assert again < first / 2
    assert again < other / 2


def test_a_scheduled_program_can_be_the_reference(measurer):
    """It reads its output back, so that cannot be poisoned; the comparison holds all the same."""
    assert measurer.verify(programs.scheduled_matmul(64), programs.matmul(64)).ok
    assert not measurer.verify(programs.scheduled_matmul(64), programs.matmul_missing_a_term(64)).ok


# ---- sums in few bits ----


def program(*arguments) -> IRModule:
    return programs.module(te.create_prim_func(list(arguments)))


def products(dtype, terms=1024, summed=None, first=0, last=0):
    """Sums of products; summed in another type, from the ``first`` term on, without the ``last`` terms."""
    a, b = te.placeholder((32, terms), dtype), te.placeholder((64, terms), dtype)
    k = te.reduce_axis((first, terms - last), "k")
    wide = summed or dtype
    c = te.compute((32, 64), lambda i, j: te.sum(a[i, k].astype(wide) * b[j, k].astype(wide), axis=k), name="C")
    return program(a, b, c if summed is None else te.compute((32, 64), lambda i, j: c[i, j].astype(dtype)))


def row_sums(dtype, terms, summed=None, last=0):
    a, k = te.placeholder((64, terms), dtype), te.reduce_axis((0, terms - last), "k")
    c = te.compute((64,), lambda i: te.sum(a[i, k].astype(summed or dtype), axis=k), name="C")
    return program(a, c if summed is None else te.compute((64,), lambda i: c[i].astype(dtype)))


def in_parts(module, parts):
    """The sums in so many parts, added up at the end."""
    sch = s_tir.Schedule(module)
    outer, _ = sch.split(sch.get_loops(sch.get_sblock("C"))[-1], [parts, None])
    sch.rfactor(outer, 0)
    return sch.mod


@pytest.mark.parametrize(
    ("untuned", "accurate", "wrong"),
    [
        (products("bfloat16"), products("bfloat16", summed="float32"), products("bfloat16", summed="float32", last=1)),
        (products("float16", 8192), products("float16", 8192, "float32"), products("float16", 8192, "float32", last=1)),
        (row_sums("bfloat16", 8192), row_sums("bfloat16", 8192, "float32"), row_sums("bfloat16", 8192, "float32", 1)),
        (row_sums("float16", 8192), row_sums("float16", 8192, "float32"), row_sums("float16", 8192, "float32", 1)),
    ],
    ids=["bf16-products", "fp16-products", "bf16-rows", "fp16-rows"],
)
def test_long_sums_in_few_bits(measurer, untuned, accurate, wrong):
    """The untuned program is far off; schedules that are not are right, and one that loses a term is still wrong."""
    found = measurer.verify(untuned, accurate)
    assert found.ok, found
    assert found.untuned_error > 10 * found.max_rel_error
    for parts in (4, 32):
        other = measurer.verify(untuned, in_parts(untuned, parts))
        assert other.ok, other
    assert measurer.verify(untuned, untuned).ok
    assert not measurer.verify(untuned, wrong).ok


def test_other_sums_are_compared_as_ever(measurer):
    assert measurer.verify(programs.matmul(64), programs.scheduled_matmul(64)).untuned_error is None
    assert measurer.verify(programs.matmul(64, "float16", "float32"), programs.matmul(64)).untuned_error is None
    half = measurer.verify(products("float32"), products("float32", summed="float16"))
    assert not half.ok


def test_few_bits_and_functions(measurer):
    scores = te.placeholder((16, 256), "bfloat16", name="scores")
    softmax = program(scores, topi.nn.softmax(scores))
    assert measurer.verify(softmax, softmax).ok
    wrong = program(scores, topi.nn.softmax(te.compute((16, 256), lambda i, j: scores[i, (j + 1) % 256])))
    assert not measurer.verify(softmax, wrong).ok


def test_an_intermediate_may_be_rounded_as_the_program_says(measurer):
    """TVM computes it in float32, and is closer to float64 than what the program says."""
    untuned, wrong = chain(16, 64, 48), chain(16, 64, 48, last=1)
    kept = measurer.verify(untuned, rounded(untuned))
    assert kept.ok, kept
    assert 1e-4 < kept.max_rel_error == kept.untuned_error
    assert measurer.verify(untuned, untuned).max_rel_error < 1e-6
    for other in (wrong, rounded(wrong)):
        assert not measurer.verify(untuned, other).ok


def rounded(module):
    found = rounded_module(module["main"])
    assert found is not None
    return found


# ---- inputs that mean something ----

X = te.placeholder((8, 16), "float32", name="x")
Y = te.placeholder((8, 16), "float32", name="y")
K = te.reduce_axis((0, 16), "k")
SHORT = te.reduce_axis((0, 15), "k")


def log_sums(k):
    return program(X, te.compute((8,), lambda i: te.sum(te.log(X[i, k]), axis=k)))


def divergence(k):
    return program(X, Y, te.compute((8,), lambda i: te.sum(X[i, k] * te.log(X[i, k] / Y[i, k]), axis=k)))


def rows_of(index):
    table, ids = te.placeholder((2, 8), "float32", name="table"), te.placeholder((64,), "int32", name="ids")
    return program(table, ids, te.compute((64, 8), lambda i, j: table[index(ids[i]), j]))


def pages(offset):
    pool, page = te.placeholder((4 * 65536,), "float32"), te.placeholder((5,), "int32")
    return program(pool, page, te.compute((5, 65536), lambda i, j: pool[(page[i] - 1) * 65536 + (j + offset) % 65536]))


def quotients(more):
    total, count = te.placeholder((64,), "int32"), te.placeholder((64,), "int32")
    return program(total, count, te.compute((64,), lambda i: te.floordiv(total[i] + more, count[i])))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (log_sums(K), log_sums(SHORT)),
        (divergence(K), divergence(SHORT)),
        (rows_of(lambda v: v), rows_of(lambda v: 1 - v)),
        (pages(0), pages(1)),
        (quotients(0), quotients(1)),
        (programs.module(sparse_rows), programs.module(sparse_rows_without_their_last)),
    ],
    ids=["logs", "divergence", "small-table", "pages-from-1", "quotients", "sparse-rows"],
)
def test_programs_that_need_care_are_verified_and_timed(measurer, right, wrong):
    found = measurer.verify(right, right)
    assert found.ok, found
    assert not measurer.verify(right, wrong).ok
    (timed,) = measurer.measure([Job(-1, right, Inputs(right))])
    assert timed.fate is Fate.OK, timed


def test_schedules_are_timed_on_what_the_untuned_program_needs(measurer):
    """Of a schedule alone it could not be told that what it copies is a divisor."""
    total, count = te.placeholder((64,), "int32"), te.placeholder((64,), "int32")
    hidden = te.compute((64,), lambda i: te.floordiv(total[i], tirx.bitwise_and(count[i], 7)))
    (timed,) = measurer.measure([Job(5, program(total, count, hidden), Inputs(quotients(0)))])
    assert timed.fate is Fate.OK, timed


def test_nothing_finite_is_the_inputs_fault(measurer):
    hopeless = program(X, te.compute((8, 16), lambda i, j: te.log(-te.exp(X[i, j]))))
    with pytest.raises(MeasureError, match="no finite number; no schedule is to blame, but the inputs may be"):
        measurer.verify(hopeless, hopeless)


def test_a_crash_of_the_untuned_program_is_the_inputs_fault(measurer):
    with pytest.raises(MeasureError, match=r"SIGFPE.*no schedule is to blame, but the inputs may be, drawn or given"):
        measurer.verify(programs.divides_by_zero, programs.divides_by_zero)


def test_inputs_that_turn_out_to_need_care_are_timed_as_they_are_verified(measurer):
    """That a logarithm is taken of them only shows when the program runs."""
    x = te.placeholder((8, 16), "float32", name="x")
    logs = te.compute((8, 16), lambda i, j: tirx.if_then_else(x[i, j] > -9, te.log(te.min(0.0, x[i, j])), 0.0))
    hidden = program(x, logs)
    with pytest.raises(MeasureError, match="no finite number"):
        list(measurer.measure([Job(-1, hidden, Inputs(hidden))]))


# ---- inputs of the user's ----


def embedding(index):
    table, ids = te.placeholder((50, 8), "float32", name="table"), te.placeholder((64,), "int32", name="ids")
    return program(table, ids, te.compute((64, 8), lambda i, j: table[index(ids[i]), j]))


def test_what_the_user_gives_is_what_is_verified_with(measurer):
    """The two differ at index 49 alone, which small random numbers leave out."""
    right, other = embedding(lambda v: v), embedding(lambda v: tirx.Min(v, tirx.const(48, "int32")))
    function = right["main"]
    for given, same in (({"ids": (0, 48)}, True), ({"ids": np.full(64, 49, "int32")}, False)):
        inputs = user_inputs(given, arguments_of(function), function, 0)
        found = measurer.verify(right, other, given=inputs)
        assert found.ok == same, found
        (timed,) = measurer.measure([Job(3, other, Inputs(right, 0, inputs))])
        assert timed.fate is Fate.OK
        assert len(measurer.interleave([right, other], 2, inputs=Inputs(right, 0, inputs))) == 2


# ---- faults of kernels ----


@pytest.mark.parametrize("parts", [16, 32, 64])
def test_a_part_of_a_sum_without_terms_is_not_initialised(measurer, parts):
    """TVM's rfactor leaves it to chance what memory holds there: 97 terms in 16 parts of 7 leave two parts empty."""
    untuned = VERIFIED["matmul-f32-prime"].module
    assert not measurer.verify(untuned, in_parts(untuned, parts)).ok
    assert measurer.verify(untuned, in_parts(untuned, 13)).ok


@pytest.mark.parametrize(
    "name",
    [
        "matmul-f32-prime",
        "matmul-bf16-f32-bf16",
        "total-bf16",
        "dot-f16",
        "sums-f16",
        "softmax-f32",
        "softmax-bf16",
        "embedding-bag",
        "max-pool",
    ],
)
def test_faults_are_caught(measurer, name):
    verified = VERIFIED[name]
    untuned = verified.module
    assert measurer.verify(untuned, untuned).ok
    found = {
        (kind, place): measurer.verify(untuned, mutant)
        for kind, make in KINDS.items()
        for place, mutant in make(untuned, verified.shift)
    }
    assert found
    assert not [where for where, verification in found.items() if verification.ok]


def test_what_a_thread_has_on_its_stack_is_not_taken_for_zeros(measurer):
    """One of eight partial sums, which are kept there, is never set."""
    verified = VERIFIED["softmax-bf16"]
    values = ((32, 8), (8, 32), 16, "i1", "root", "root", "i0", "i0")
    space = TvmSpace.generated(verified.module, resolve_target(None, 2))
    schedule = space.module(space.realise(Schedule("plain", "ms5", values)).schedule)
    assert measurer.verify(verified.module, schedule).ok
    tails = dict(KINDS["a tail unwritten"](schedule, verified.shift))
    (unset,) = [mutant for place, mutant in tails.items() if place.startswith("T_softmax_expsum_rf_init")]
    assert not measurer.verify(verified.module, unset).ok


def test_a_program_whose_values_are_too_large_is_compared_on_smaller_ones(measurer):
    """Its results are infinite beyond float16's range, in float32 only, so nothing could be told from them."""
    x = te.placeholder((16, 16), "bfloat16", name="x")

    def squared(y, number):
        return te.compute((16, 16), lambda i, j: y[i, j] * y[i, j], name=f"square{number}")

    def powers(last):
        wide = te.compute((16, 16), lambda i, j: x[i, j].astype("float32"), name="wide")
        for number in range(3):
            wide = squared(wide, number)
        return program(x, te.compute((16, 16), lambda i, j: (wide[i, j] - last * wide[i, j]).astype("bfloat16")))

    assert measurer.verify(powers(0.5), powers(0.5)).ok
    assert not measurer.verify(powers(0.5), powers(0.25)).ok


def test_without_a_reference_in_float64_that_is_said(measurer):
    x = te.placeholder((8, 64), "bfloat16", name="x")
    k = te.reduce_axis((0, 64), "k")
    doubled = te.compute((8, 64), lambda i, j: tirx.reinterpret("bfloat16", tirx.reinterpret("uint16", x[i, j])))
    bits = program(x, te.compute((8,), lambda i: te.sum(doubled[i, k], axis=k)))
    found = measurer.verify(bits, bits)
    assert found.ok, found
    assert found.untuned_error is None
    assert "not compared with float64" in found.message


def index_of_the_largest(keeps):
    """Per row, by a comparison that says whether what was found first stays."""

    def larger(found, other):
        stays = keeps(found[1], other[1])
        return tuple(tirx.Select(stays, one, another) for one, another in zip(found, other, strict=True))

    reducer = te.comm_reducer(larger, lambda at, best: (tirx.const(-1, at), te.min_value(best)), name="larger")
    x, k = te.placeholder((4, 64), name="x"), te.reduce_axis((0, 64), name="k")
    at, best = te.compute((4,), lambda i: reducer((k.var, x[i, k]), axis=k), name="largest")
    return module_of_tensors([x, at, best])


@pytest.mark.parametrize("given", [{}, {"x": (0.5, 1.0)}], ids=["drawn as usual", "from a range of the user's"])
def test_the_first_of_equals_has_to_stay_the_first(measurer, given):
    """Random numbers are hardly ever equal: a candidate that takes the last of equals is right on those."""
    first, last = index_of_the_largest(lambda a, b: a >= b), index_of_the_largest(lambda a, b: a > b)
    inputs = user_inputs(given, arguments_of(first["main"]), first["main"], 0) if given else None
    found = measurer.verify(first, last, 0, Limits(), inputs)
    assert not found.ok
    assert "many of which are equal" in found.message
    assert measurer.verify(first, first, 0, Limits(), inputs).ok
