"""The workloads in few bits compute what their numpy references say, and have sketches with dot instructions."""

from __future__ import annotations

import math
import random
import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tvm
from tvm.target import Target

from colt.analysis.nests import instantiate
from colt.tvm.devices.host import resolve_target
from colt.tvm.dots.table import TABLE, Method, has
from colt.tvm.programs import workloads
from colt.tvm.programs.constants import split, with_constants
from colt.tvm.programs.source import load_program
from colt.tvm.programs.workloads._attention import AttentionShape
from colt.tvm.programs.workloads._int8_conv import Int8ConvShape
from colt.tvm.programs.workloads.int4_linear import Int4LinearShape
from colt.tvm.programs.workloads.matmul import MatmulShape
from colt.tvm.programs.workloads.quantised_linear import QuantisedLinearShape
from colt.tvm.sketches import derive
from colt.tvm.space.space import TvmSpace
from colt.tvm.workers.kernel import LocalKernel
from colt.tvm.workers.layout import Layouts

TINY: dict[str, Any] = {
    "quantised-linear": QuantisedLinearShape(tokens=5, inputs=19, outputs=7),
    "bf16-matmul": MatmulShape(5, 7, 19),
    "bf16-attention": AttentionShape(4, 2, 5, 7),
    "int4-linear": Int4LinearShape(tokens=1, inputs=64, outputs=7),
    "int4-linear-16": Int4LinearShape(tokens=16, inputs=64, outputs=7),
    "int4-int8-linear": Int4LinearShape(tokens=1, inputs=64, outputs=7),
    "int4-int8-linear-16": Int4LinearShape(tokens=16, inputs=64, outputs=7),
    "int8-conv": Int8ConvShape(19, 7, 5),
    "int8-depthwise-conv": Int8ConvShape(19, 19, 5, groups=19),
    "int8-grouped-conv": Int8ConvShape(18, 6, 5, groups=3),
}
DOTS = ("quantised-linear", "bf16-matmul", "int8-conv", "int8-grouped-conv", "int4-int8-linear", "int4-int8-linear-16")
"""Those whose terms, in dot instructions, need no packing that TVM cannot do."""


def inputs_of(workload: workloads.Workload[Any], size: Any) -> list[Any]:
    rng = np.random.default_rng(0)
    drawn: list[Any] = []
    for argument in workload.arguments(size)[:-1]:
        if argument.dtype in ("uint8", "int8"):
            info = np.iinfo(argument.dtype)
            drawn.append(rng.integers(info.min, info.max + 1, argument.shape).astype(argument.dtype))
        else:
            dtype = ml_dtypes.bfloat16 if argument.dtype == "bfloat16" else argument.dtype
            drawn.append(rng.standard_normal(argument.shape).astype(dtype))
    return drawn


def test_the_group_holds_them() -> None:
    assert sorted(workloads.names("low-precision")) == sorted(TINY)


@pytest.mark.parametrize("name", TINY)
def test_the_program_is_its_reference(name: str) -> None:
    workload = workloads.get(name)
    inputs = inputs_of(workload, TINY[name])
    expected = workload.reference(inputs)
    output = tvm.runtime.tensor(np.zeros(expected.shape, np.float32))
    library = tvm.tirx.build(workload.build(TINY[name]), target=resolve_target(None, 1))
    library["main"](*map(tvm.runtime.tensor, inputs), output)
    np.testing.assert_allclose(output.numpy(), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", DOTS)
def test_it_has_sketches_with_dots(name: str) -> None:
    designs, messages = derive(load_program(name).module, Target({"kind": "llvm", "mcpu": "znver5", "num-cores": 2}))
    assert messages == []
    assert any(design.variant == "dot" for design in designs)


def test_weights_of_4_bits_are_read_narrow_in_the_call() -> None:
    """They are packed ahead, and widened to float32 in the register tile; of float32 there is no copy."""
    designs, _ = derive(load_program("int4-linear").module, Target({"kind": "llvm", "mcpu": "znver5", "num-cores": 2}))
    (packed,) = [design for design in designs if design.variant == "packed"]
    assert "Q packed for Y" in packed.summary
    assert "computed ahead of the call" in packed.summary
    assert " W" not in packed.summary


@pytest.mark.parametrize("tokens", [1, 5])
@pytest.mark.parametrize("variant", ["packed", "panels"])
def test_weights_of_4_bits_packed_ahead_give_the_reference(variant: str, tokens: int) -> None:
    """In rows, and in panels of four vectors, of which 128 outputs make two."""
    workload, shape = workloads.get("int4-linear"), Int4LinearShape(tokens, inputs=64, outputs=128)
    target = Target({"kind": "llvm", "mcpu": "znver5", "num-cores": 2})
    module = workload.build(shape)
    module = with_constants(module, workload.constants, workload.arguments(shape))
    space = TvmSpace.generated(module, target)
    (sketch,) = [one for one in space.sketches if one.variant == variant]
    scheduled = space.module(space.sample(random.Random(0), sketch))
    parts = split(scheduled)
    assert parts is not None
    assert len({shape for shape, _ in parts.between}) == 2  # of weights and of scales
    assert all((extents[-1] == 64) == (variant == "panels") for extents, _ in parts.between)
    inputs = inputs_of(workload, shape)
    expected = workload.reference(inputs)
    given = [*map(tvm.runtime.tensor, inputs), tvm.runtime.tensor(np.zeros(expected.shape, np.float32))]
    LocalKernel(scheduled, resolve_target(None, 2), Layouts()).bind(given).call()
    np.testing.assert_allclose(given[-1].numpy(), expected, rtol=1e-4, atol=1e-3)


def _halves(tokens: int, outputs: int, target: Any) -> tuple[Any, Any, TvmSpace]:
    workload, shape = workloads.get("int4-int8-linear"), Int4LinearShape(tokens, inputs=96, outputs=outputs)
    module = with_constants(workload.build(shape), workload.constants, workload.arguments(shape))
    return workload, shape, TvmSpace.generated(module, target)


@pytest.mark.parametrize(("tokens", "outputs"), [(1, 64), (3, 40), (16, 48)])
def test_weights_of_4_bits_are_multiplied_as_halves_of_bytes(tokens: int, outputs: int) -> None:
    """By the first schedule of every sketch and by random ones; 40 outputs are no whole vectors."""
    target = resolve_target(None, 2)
    workload, shape, space = _halves(tokens, outputs, target)
    if not any(row.method is Method.HALVES and has(target, row) for row in TABLE):
        pytest.skip("this machine multiplies no unsigned by signed bytes")
    inputs = inputs_of(workload, shape)
    expected = workload.reference(inputs)
    sketches = [sketch for sketch in space.sketches if sketch.variant == "dot"]
    assert sketches
    for schedule in [space.sample(random.Random(seed), sketch) for seed in range(2) for sketch in sketches]:
        given = [*map(tvm.runtime.tensor, inputs), tvm.runtime.tensor(np.zeros(expected.shape, np.float32))]
        LocalKernel(space.module(schedule), target, Layouts()).bind(given).call()
        np.testing.assert_allclose(given[-1].numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("cpu", "register"), [("znver5", "%zmm"), ("alderlake", "%ymm")])
def test_halves_of_bytes_are_masked_in_registers_and_nothing_is_unpacked(cpu: str, register: str) -> None:
    target = Target({"kind": "llvm", "mcpu": cpu, "num-cores": 2})
    _, _, space = _halves(1, 64, target)
    sketch = next(sketch for sketch in space.sketches if sketch.variant == "dot")
    parts = split(space.module(space.sample(random.Random(0), sketch)))
    assert parts is not None
    assert ((3, 64 // (16 if cpu == "znver5" else 8), 4, 16 if cpu == "znver5" else 8, 4), "uint8") in parts.between
    text = tvm.tirx.build(parts.module("pack", "main"), target=target).inspect_source("asm")
    assert re.search(rf"vpdpbusd\t.*{register}", text)


def test_the_model_sees_a_groups_products_computed_once() -> None:
    """In tiles of the outputs, under the loop over these; each group of 8 vectors has 3 sums of 4 steps."""
    _, _, space = _halves(1, 128, Target({"kind": "llvm", "mcpu": "znver5", "num-cores": 2}))
    sketch = next(one for one in space.sketches if (one.variant, one.name) == ("dot", "fused"))
    schedule = space.sample(random.Random(0), sketch)
    nests = instantiate(space.skeleton(schedule), schedule.values)
    (products,) = [nest for nest in nests if nest.block.name == "P"]
    assert products.times * math.prod(loop.extent for loop in products.loops) == 3 * 8 * 4 * 16


def test_recorded_runs_have_no_halves_of_bytes() -> None:
    target = Target({"kind": "llvm", "mcpu": "znver5", "num-cores": 2})
    module = load_program("int4-int8-linear").module
    assert "dot" in {design.variant for design in derive(module, target)[0]}
    assert "dot" not in {design.variant for design in derive(module, target, edition=6)[0]}


def test_zero_points_are_compared_with_the_program_as_it_is_written() -> None:
    program = load_program("quantised-linear")
    assert program.given is not None
    assert [str(block.name_hint) for block in _blocks(program.given)] == ["P", "Y"]
    assert "P_zero_points" in [str(block.name_hint) for block in _blocks(program.module)]


def _blocks(module: Any) -> list[Any]:
    schedule = tvm.s_tir.Schedule(module)
    return [schedule.get(block) for block in schedule.get_child_blocks(schedule.get_sblock("root"))]
