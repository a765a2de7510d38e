"""Zero points inside a product: the normal form multiplies them out, to the last bit, and its product is a dot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
from tvm import te
from tvm.target import Target
from tvm.tirx import PrimFunc

from colt.tvm.devices.host import resolve_target
from colt.tvm.programs.normal import normal_form
from colt.tvm.programs.program import module_of_function, module_of_tensors
from colt.tvm.programs.source import load_program
from colt.tvm.sketches import derive
from tests.helpers.dot_programs import linear_with_zero_points, matmul, operands, target_with, with_zero_points

KINDS = ("constants", "channels", "left only", "right only")
M, N, K = 13, 31, 29


def inputs() -> tuple[Any, Any, Any]:
    x, w = operands(M, N, K, "uint8", "int8", "NT")
    return x, w, np.random.default_rng(0).integers(-128, 128, N).astype(np.int32)


def computed(func: PrimFunc) -> Any:
    library = tvm.tirx.build(module_of_function(func), target=resolve_target(None, 2))
    output = tvm.runtime.tensor(np.zeros((M, N), np.int32))
    library["main"](*map(tvm.runtime.tensor, inputs()), output)
    return output.numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_the_normal_form_is_exact(kind: str) -> None:
    normal = normal_form(linear_with_zero_points(M, N, K, kind)["main"])
    np.testing.assert_array_equal(computed(normal), with_zero_points(*inputs(), kind))


@pytest.mark.parametrize("kind", KINDS)
def test_its_product_is_a_dot(kind: str) -> None:
    program = load_program(linear_with_zero_points(M, N, K, kind))
    assert program.given is not None
    designs, messages = derive(program.module, Target(target_with("avx512vnni")))
    assert messages == []
    assert any(design.variant == "dot" for design in designs)


def test_a_sum_of_one_factor_takes_only_the_other_zero_point() -> None:
    text = normal_form(linear_with_zero_points(M, N, K, "left only")["main"]).script()
    assert "P_W_sum" in text
    assert "P_X_sum" not in text


def test_without_zero_points_nothing_changes() -> None:
    func = matmul(M, N, K, "uint8", "int8")["main"]
    assert normal_form(func) is func


def test_what_changes_along_the_sum_is_no_zero_point() -> None:
    x = te.placeholder((M, K), dtype="uint8", name="X")
    w = te.placeholder((N, K), dtype="int8", name="W")
    z = te.placeholder((K,), dtype="int32", name="Z")
    k = te.reduce_axis((0, K), name="k")
    body = lambda i, j: te.sum((x[i, k].astype("int32") - z[k]) * w[j, k].astype("int32"), axis=k)  # noqa: E731
    func = module_of_tensors([x, w, z, te.compute((M, N), body, name="P")])["main"]
    assert normal_form(func) is func
