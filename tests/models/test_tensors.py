"""Tensors of TVM as arrays."""

from __future__ import annotations

import numpy as np
import pytest
import tvm

from colt.models.tensors import array_of


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "int64", "bool"])
def test_an_array_shares_the_memory_of_its_tensor(dtype: str) -> None:
    tensor = tvm.runtime.tensor(np.zeros((2, 3), dtype))
    array = array_of(tensor)
    tensor.copyfrom(np.ones((2, 3), dtype))
    assert array.dtype == dtype
    assert array.all()
    del tensor
    assert array.shape == (2, 3)
    array[:] = 0


def test_a_type_that_numpy_has_not_of_itself_is_copied() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = array_of(tvm.runtime.tensor(np.ones((2, 3), ml_dtypes.bfloat16)))
    assert array.dtype == ml_dtypes.bfloat16
    assert array.astype("float32").sum() == 6
