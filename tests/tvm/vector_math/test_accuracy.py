"""The bounds that :mod:`colt.tvm.vector_math` states, on compiled kernels with and without fused multiply-adds."""

from __future__ import annotations

import numpy as np
import pytest

from colt.tvm.vector_math import FUNCTIONS
from tests.helpers.vector_math_accuracy import BRANCHES, EXACT, SPECIAL, Kernel, cpus, errors, sample

RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "erf": (-1.0, 1.0), "exp": (0.0, np.inf), "exp2": (0.0, np.inf)}
TINY = 2.0**-149


def test_every_function_is_checked() -> None:
    assert set(EXACT) == set(BRANCHES) == set(FUNCTIONS)


@pytest.mark.parametrize("cpu", cpus())
@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_result_is_further_off_than_stated(name: str, cpu: str) -> None:
    x = sample(name)
    y = Kernel(name, cpu)(x)
    off = errors(name, x, y)
    worst = int(off.argmax())
    assert off[worst] <= FUNCTIONS[name].max_ulp, f"{name}({x[worst]!r}) is {y[worst]!r}"
    low, high = RANGES.get(name, (-np.inf, np.inf))
    assert np.all((y >= low) & (y <= high) | np.isnan(y))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_bound_is_beyond_what_is_promised_nor_far_from_what_is_reached(name: str) -> None:
    x = sample(name)
    reached = max(errors(name, x, Kernel(name, cpu)(x)).max() for cpu in cpus())
    assert reached <= FUNCTIONS[name].max_ulp <= min(4.0, 1.25 * reached)


SPECIAL_RESULTS = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (np.inf, np.inf), (-np.inf, 0.0), (89.0, np.inf), (-104.0, 0.0), (-103.0, TINY)],
    "exp2": [(0.0, 1.0), (np.inf, np.inf), (-np.inf, 0.0), (128.0, np.inf), (127.0, 2.0**127), (-149.0, TINY)],
    "log": [(1.0, 0.0), (0.0, -np.inf), (-0.0, -np.inf), (np.inf, np.inf), (-1.0, np.nan), (-np.inf, np.nan)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (np.inf, 1.0), (-np.inf, 0.0), (-104.0, 0.0), (-103.0, TINY)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (np.inf, 1.0), (-np.inf, -1.0), (TINY, TINY), (-9.1, -1.0)],
    "erf": [(0.0, 0.0), (-0.0, -0.0), (np.inf, 1.0), (-np.inf, -1.0), (TINY, TINY), (-4.0, -1.0)],
    "rsqrt": [(0.0, np.inf), (-0.0, -np.inf), (np.inf, 0.0), (4.0, 0.5), (-1.0, np.nan), (-np.inf, np.nan)],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(name: str) -> None:
    x, wanted = np.array([*SPECIAL_RESULTS[name], (np.nan, np.nan)], np.float32).T
    found = Kernel(name, cpus()[0])(x)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(np.signbit(found[wanted == 0]), np.signbit(wanted[wanted == 0]))


def test_the_measure_counts_what_it_should() -> None:
    x = np.array([1.0, -3.0, 0.0, -0.0, 100.0, np.nan, -200.0], np.float32)
    right = np.tanh(x.astype(np.float64)).astype(np.float32)
    assert errors("tanh", x, right).max() <= 0.5
    assert errors("tanh", x, np.nextafter(right, np.float32(2.0)))[:2] == pytest.approx([1.0, 1.0], abs=0.5)
    assert errors("tanh", x, np.abs(right)).tolist()[1] == np.inf
    assert errors("tanh", x, np.abs(right)).tolist()[3] == np.inf
    assert errors("tanh", x, np.zeros_like(right)).tolist()[5] == np.inf
    largest, beyond = np.float32(88.72284), np.float32(88.73)
    assert errors("exp", np.array([largest, beyond]), np.array([np.inf, np.finfo(np.float32).max], "f"))[1] > 0.5
    assert errors("exp", np.array([-200.0], "f"), np.array([2.0**-149], "f")) == pytest.approx([1.0], abs=1e-3)
    assert np.isin(SPECIAL, sample("tanh")).sum() == len(SPECIAL) - 1  # NaN is not equal to itself
