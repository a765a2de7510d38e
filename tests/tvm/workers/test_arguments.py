"""What programs are called with."""

from dataclasses import replace

import numpy as np
import pytest

from colt.tvm.programs.arrays import is_float, numpy_dtype, write_numbered
from colt.tvm.programs.domains import Domain
from colt.tvm.workers.arguments import (
    ArgumentCache,
    Drawing,
    Parameter,
    contents,
    poisoned_array,
    positive,
    random_array,
    signature,
)
from colt.tvm.workers.draws import DrawKind, InputDraw
from tests.helpers import measure_programs as programs

FLOATS = ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
OTHERS = ["int8", "uint8", "int16", "int32", "int64", "uint32", "bool"]


@pytest.mark.parametrize("dtype", FLOATS + OTHERS)
def test_random_inputs_are_seeded_varied_and_small(dtype):
    parameter = Parameter((64, 64), dtype)
    array = random_array(parameter, 0, seed=7)
    assert array.shape == (64, 64)
    assert array.dtype == numpy_dtype(dtype)
    assert array.tobytes() == random_array(parameter, 0, seed=7).tobytes()
    assert array.tobytes() != random_array(parameter, 0, seed=8).tobytes()
    assert array.tobytes() != random_array(parameter, 1, seed=7).tobytes()
    wide = array.astype(np.float64)
    assert np.isfinite(wide).all()
    assert abs(wide).max() < 4
    assert len(np.unique(wide)) >= 2
    if dtype in OTHERS:
        assert wide.min() >= 0


def test_what_needs_no_care_is_drawn_as_ever():
    """Recorded figures were made with these."""
    array = random_array(Parameter((4,), "float32"), 1, seed=3)
    rng = np.random.default_rng((3, 1))
    assert array.tobytes() == (rng.standard_normal(4, dtype=np.float32) * np.float32(0.5)).tobytes()


def test_domains_are_drawn_from_end_to_end():
    indices = random_array(Parameter((1000,), "int32"), 0, 1, Domain(1, 20))
    assert indices.dtype == np.int32
    assert (indices.min(), indices.max()) == (1, 20)
    pointers = random_array(Parameter((17,), "int64"), 0, 1, Domain(0, 100, order=True))
    assert (pointers[0], pointers[-1]) == (0, 100)
    assert (np.diff(pointers) >= 0).all()
    floats = random_array(Parameter((1000,), "bfloat16"), 0, 1, Domain(0.1, 0.9)).astype(np.float64)
    assert 0.09 < floats.min() < 0.2 < 0.8 < floats.max() < 0.91
    assert pointers.tobytes() == random_array(Parameter((17,), "int64"), 0, 1, Domain(0, 100, order=True)).tobytes()


def test_whole_numbers_are_for_floats_that_need_no_care():
    parameters = (Parameter((64,), "float16"), Parameter((64,), "float16"), Parameter((64,), "int32"))
    drawing = Drawing((None, Domain(0.1, 0.9), Domain(0, 9)))
    found, usual = InputDraw(DrawKind.WHOLE, 1, 64).contents(parameters, drawing), contents(parameters, drawing)
    assert set(found[0].tolist()) == {-1.0, 1.0}
    assert [array.tobytes() for array in found[1:]] == [array.tobytes() for array in usual[1:]]
    assert found[0].tobytes() != InputDraw(DrawKind.WHOLE, 2, 64).contents(parameters, drawing)[0].tobytes()
    assert set(InputDraw(DrawKind.WHOLE, 1, 1 << 16).contents(parameters, drawing)[0].tolist()) == {-1.0, 0.0, 1.0}
    assert set(InputDraw(DrawKind.WHOLE, 1, 64, 8.0).contents(parameters, drawing)[0].tolist()) == {-8.0, 8.0}
    given = replace(drawing, given=frozenset({0}))
    assert InputDraw(DrawKind.WHOLE, 1, 64).contents(parameters, given)[0].tobytes() == usual[0].tobytes()


@pytest.mark.parametrize("shape", [(16, 256), (256, 16), (64, 64), (3, 40, 100), (100,)])
def test_each_of_few_large_terms_carries_a_part_of_its_row(shape):
    parameters = (Parameter(shape, "bfloat16"),)
    found, usual = (draw.contents(parameters, Drawing())[0] for draw in (InputDraw(DrawKind.FEW_LARGE), InputDraw()))
    assert set(found.astype(float).ravel()) == {0.0, 8.0}
    assert len(set(usual.astype(float).ravel())) > 50
    large = found != 0
    longest = int(np.argmax(shape))
    assert large.sum(longest).max() <= 10
    ends = [large.take(end, longest) for end in (0, -1)]
    assert all(end.any() for end in ends), "the first and the last term are large in some row"


def test_what_the_user_gave_is_read_from_a_file(tmp_path):
    parameters = (Parameter((3,), "bfloat16"), Parameter((2,), "int32"))
    array = np.array([1, 2, 3], numpy_dtype("bfloat16"))
    write_numbered(tmp_path / "given.npz", {0: array})
    found = contents(parameters, Drawing(file=str(tmp_path / "given.npz"), stored=frozenset({0})))
    assert found[0].dtype == array.dtype
    assert found[0].tobytes() == array.tobytes()
    assert found[1].tobytes() == random_array(parameters[1], 1, 0).tobytes()


def test_positive_floats_leave_the_rest_as_it_was():
    parameters = (Parameter((64,), "float32"), Parameter((64,), "float32"), Parameter((64,), "int32"))
    drawing = Drawing((None, Domain(-2, -1), Domain(0, 9)), given=frozenset({1}))
    assert positive(parameters, drawing).domains == (Domain(0.1, 0.9), Domain(-2, -1), Domain(0, 9))


@pytest.mark.parametrize("dtype", FLOATS)
def test_float_poison_is_nan(dtype):
    assert is_float(numpy_dtype(dtype))
    assert np.isnan(poisoned_array(Parameter((4,), dtype)).astype(np.float64)).all()


@pytest.mark.parametrize("dtype", OTHERS)
def test_other_poison_is_no_input(dtype):
    poison = poisoned_array(Parameter((4,), dtype))
    assert not is_float(poison.dtype)
    assert not np.isin(poison.view(np.uint8), [0, 1, 2, 3]).any()


def test_signatures_hold_shapes_and_data_types():
    assert signature(programs.matmul(16, "int8", "int32")) == (
        Parameter((16, 16), "int8"),
        Parameter((16, 16), "int8"),
        Parameter((16, 16), "int32"),
    )
    assert signature(programs.doubles_in_place)[1] == Parameter((64,), "bool")


SMALL = (Parameter((256,), "float32"), Parameter((256,), "int32"))  # 2 KB


def test_arguments_are_reused():
    cache = ArgumentCache(1 << 20)
    first = cache.get(SMALL, frozenset())
    assert [tensor.dtype for tensor in first] == ["float32", "int32"]
    assert cache.get(SMALL, frozenset()) is first


def test_parameters_that_are_updated_in_place_get_their_contents_back():
    cache = ArgumentCache(1 << 20)
    tensors = cache.get(SMALL, frozenset())
    before = [tensor.numpy() for tensor in tensors]
    for tensor in tensors:
        tensor.copyfrom(np.zeros(256, tensor.dtype))
    cache.get(SMALL, frozenset({1}))
    assert not tensors[0].numpy().any()
    np.testing.assert_array_equal(tensors[1].numpy(), before[1])
    assert before[1].any()


def test_the_least_recently_used_arguments_make_room():
    a, b, c = (SMALL, (Parameter((512,), "float32"),), (Parameter((256,), "float64"),))
    cache = ArgumentCache(5000)
    kept = {key: cache.get(key, frozenset()) for key in (a, b)}
    assert cache.get(a, frozenset()) is kept[a]
    cache.get(c, frozenset())  # in place of b
    assert cache.get(a, frozenset()) is kept[a]
    assert cache.get(b, frozenset()) is not kept[b]


def test_arguments_beyond_the_budget_are_kept_while_they_are_in_use():
    cache = ArgumentCache(1)
    assert cache.get(SMALL, frozenset()) is cache.get(SMALL, frozenset())


def test_ties_are_of_few_numbers_whose_sums_are_exact():
    parameters = (Parameter((64, 64), "float32"), Parameter((64,), "float32"))
    tied, usual = (draw.contents(parameters, Drawing()) for draw in (InputDraw(DrawKind.TIES), InputDraw()))
    for found, before in zip(tied, usual, strict=True):
        assert 1 < len(set(found.reshape(-1).tolist())) <= 3
        assert not (found * 8 % 1).any()
        assert before.min() <= found.min() <= found.max() <= before.max()
    products = (tied[0] * tied[1]).astype("float32")
    np.testing.assert_array_equal(products.sum(1), products[:, ::-1].sum(1))
