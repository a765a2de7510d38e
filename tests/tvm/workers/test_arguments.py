"""What programs are called with."""

import numpy as np
import pytest

from colt.tvm.workers.arguments import (
    ArgumentCache,
    Parameter,
    is_float,
    numpy_dtype,
    poisoned_array,
    random_array,
    signature,
)
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
    contents = [tensor.numpy() for tensor in tensors]
    for tensor in tensors:
        tensor.copyfrom(np.zeros(256, tensor.dtype))
    cache.get(SMALL, frozenset({1}))
    assert not tensors[0].numpy().any()
    np.testing.assert_array_equal(tensors[1].numpy(), contents[1])
    assert contents[1].any()


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
