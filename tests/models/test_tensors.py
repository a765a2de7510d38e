"""Tensors of TVM as arrays."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tvm

from colt.models.tensors import array_of, read_arrays, write_arrays


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
    array = array_of(tvm.runtime.tensor(np.ones((2, 3), ml_dtypes.bfloat16)))
    assert array.dtype == ml_dtypes.bfloat16
    assert array.astype("float32").sum() == 6


def test_files_keep_names_types_and_shapes(tmp_path: Path) -> None:
    """Also names of arguments of NumPy's function that writes such files."""
    names = ["file", "allow_pickle", "args", "/fc/Gemm_output"]
    arrays = {name: np.full((number, 2), number, "int32") for number, name in enumerate(names)}
    write_arrays(tmp_path / "y.npz", arrays)
    with np.load(tmp_path / "y.npz") as found:
        assert list(found) == names
        for name in names:
            np.testing.assert_array_equal(found[name], arrays[name], strict=True)


def test_numbers_of_bfloat16_are_read_as_what_they_are(tmp_path: Path) -> None:
    """NumPy's files say of them that they are two bytes."""
    x = np.arange(6).reshape(2, 3).astype(ml_dtypes.bfloat16)
    np.save(tmp_path / "x.npy", x)
    (found,) = read_arrays([tmp_path / "x.npy"])
    np.testing.assert_array_equal(found, x, strict=True)
