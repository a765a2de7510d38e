"""A model's library takes tensors of anybody's, wherever they lie, and copies what kernels cannot take."""

from __future__ import annotations

import os
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tvm
import tvm_ffi

from colt.errors import InputError
from colt.tvm.devices.host import available_cores
from colt.tvm.models.library import ALIGNMENT, ModelLibrary, ready
from tests.helpers.run_graph import untuned
from tests.helpers.small_models import Mlp

pytestmark = pytest.mark.real  # builds a library
MLP = Mlp()


@pytest.fixture(scope="module")
def library() -> ModelLibrary:
    return untuned(MLP.graph())


class HandedOut:
    """An array of a library that nobody knows, which follows the protocol of DLPack."""

    def __init__(self, array: Any, device: int = 1) -> None:
        self._array, self._device = array, device

    def __dlpack__(self, **how: Any) -> Any:
        return self._array.__dlpack__(**how)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device, 0


def placed(array: Any, offset: int) -> Any:
    """A copy of the array, so many bytes behind a place where kernels expect one."""
    memory = np.zeros(array.nbytes + 2 * ALIGNMENT, np.uint8)
    begins = -memory.ctypes.data % ALIGNMENT + offset
    copy = memory[begins : begins + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[:] = array
    return copy


def every_other(array: Any) -> Any:
    return np.repeat(array, 2, axis=1)[:, ::2]


@pytest.mark.parametrize("lying", ["right", "elsewhere", "apart", "backwards"])
@pytest.mark.parametrize("handed", [np.asarray, tvm_ffi.from_dlpack, HandedOut], ids=["numpy", "tvm", "dlpack"])
def test_inputs_are_anybodys_and_lie_anywhere(library: ModelLibrary, lying: str, handed: Any) -> None:
    x = {
        "right": placed(MLP.x, 0),
        "elsewhere": placed(MLP.x, 4),
        "apart": every_other(MLP.x),
        "backwards": MLP.x[::-1].copy()[::-1],
    }[lying]
    (found,) = library(handed(x))
    np.testing.assert_allclose(found.numpy(), MLP.compute(MLP.x), rtol=1e-4, atol=1e-5)
    taken = np.from_dlpack(ready(handed(x)))
    assert (taken.ctypes.data == x.ctypes.data) == (lying == "right")


def test_types_that_numpy_has_not_may_lie_elsewhere() -> None:
    given = tvm.runtime.tensor(np.arange(64).astype(ml_dtypes.bfloat16))
    elsewhere = given._create_view((32,), "bfloat16", 6)
    assert elsewhere.data_ptr() % ALIGNMENT
    np.testing.assert_array_equal(ready(elsewhere).numpy().astype(int), np.arange(3, 35))


@pytest.mark.parametrize("given", [HandedOut(MLP.x, device=2), object(), [1.0]], ids=["elsewhere", "object", "list"])
def test_what_hands_out_no_memory_here_is_refused(given: Any) -> None:
    with pytest.raises(InputError, match="is no input: "):
        ready(given)


def test_tensors_of_pytorch_are_what_they_show() -> None:
    """One may be marked as the negative of what lies in its memory, or have no memory at all."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    negative = torch.complex(torch.zeros(1), torch.ones(1)).conj().imag
    assert negative.is_neg()
    assert ready(negative).numpy() == [-1]
    with pytest.raises(InputError, match="a tensor on meta is no input"):
        ready(torch.empty(3, device="meta"))
    for sparse in (torch.eye(3).to_sparse(), torch.eye(3).to_sparse_csr()):
        with pytest.raises(InputError, match=f"a tensor of layout {sparse.layout} is no input"):
            ready(sparse)


def test_threads_are_no_more_than_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may come from a larger machine, or from somebody who wants it to hang."""
    monkeypatch.setenv("TVM_NUM_THREADS", "1")
    monkeypatch.setattr("tests.helpers.run_graph.THREADS", 100_000)
    (found,) = untuned(MLP.graph())(MLP.x)
    assert int(os.environ["TVM_NUM_THREADS"]) == available_cores()
    np.testing.assert_allclose(found.numpy(), MLP.compute(MLP.x), rtol=1e-4, atol=1e-5)
