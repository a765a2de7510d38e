"""The workloads: their programs compute what their numpy references say, and their counts are right."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tvm

from colt.errors import InputError
from colt.tvm.devices.host import resolve_target
from colt.tvm.programs import workloads
from colt.tvm.programs.arguments import Argument, min_bytes_of
from colt.tvm.programs.workloads import Role, deepseek_r1_experts
from colt.tvm.programs.workloads._attention import AttentionShape

PAPER = {
    "matmul": [(2048, 2048), (2048, 2048), (2048, 2048)],
    "llama3-attention": [(32, 512, 128), (8, 512, 128), (8, 512, 128), (32, 512, 128)],
    "deepseek-r1-moe": [(1, 16, 7168), (7168, 2048), (1, 16, 2048)],
    "deepseek-r1-experts": [(8, 7168), (7168, 8), (8, 7168, 2048), (8, 7168, 2048), (8, 2048, 7168), (8, 7168)],
    "flux-attention": [(24, 768, 128), (24, 768, 128), (24, 768, 128), (24, 768, 128)],
    "flux-conv": [(1, 512, 32, 32), (512, 512, 3, 3), (1, 512, 32, 32)],
    "llama4-scout-mlp": [(16, 5120), (5120, 8192), (5120, 8192), (8192, 5120), (16, 5120)],
}
SMALL_GFLOP = {  # worked out by hand from WORKLOADS.md
    "matmul": 0.268435456,
    "llama3-attention": 2 * 2 * 8 * 256 * 256 * 128 / 1e9,
    "deepseek-r1-moe": 2 * 16 * 1792 * 512 / 1e9,
    "deepseek-r1-experts": (2 * 32 * 512 * 4 + 3 * 2 * 4 * 32 * 512 * 512) / 1e9,
    "flux-attention": 2 * 2 * 6 * 256 * 256 * 128 / 1e9,
    "flux-conv": 2 * 128 * 32 * 32 * 128 * 9 / 1e9,
    "llama4-scout-mlp": 3 * 2 * 64 * 512 * 1024 / 1e9,
}
BLOCKS = {
    "matmul": ["C"],
    "llama3-attention": ["QK", "rowmax", "exp", "rowsum", "prob", "O"],
    "deepseek-r1-moe": ["C"],
    "deepseek-r1-experts": ["logits", "rowmax", "exp", "rowsum", "prob", "gate", "up", "act", "Y"],
    "flux-attention": ["QK", "rowmax", "exp", "rowsum", "prob", "O"],
    "flux-conv": ["pad", "Y"],
    "llama4-scout-mlp": ["gate", "up", "act", "Y"],
}


def random_inputs(workload: workloads.Workload[Any], size: Any, scale: float = 0.1) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    inputs = [argument for argument in workload.arguments(size) if argument.role is Role.INPUT]
    return [rng.standard_normal(argument.shape, dtype=np.float32) * np.float32(scale) for argument in inputs]


def run(workload: workloads.Workload[Any], size: Any, inputs: list[np.ndarray]) -> np.ndarray:
    library = tvm.tirx.build(workload.build(size), target=resolve_target(None, 1))
    out = tvm.runtime.tensor(np.full(workload.arguments(size)[-1].shape, np.nan, "float32"))
    library["main"](*map(tvm.runtime.tensor, inputs), out)
    return out.numpy()


def test_the_seven_workloads_are_listed():
    assert sorted(workloads.names()) == sorted(PAPER)


@pytest.mark.parametrize("name", workloads.names())
def test_the_program_agrees_with_its_reference(name):
    workload = workloads.get(name)
    inputs = random_inputs(workload, "small")
    want = workload.reference(inputs)
    assert np.abs(want).max() > 1e-3
    np.testing.assert_allclose(run(workload, "small", inputs), want, rtol=1e-3, atol=1e-5)


def test_attention_scales_scores_and_shares_heads():
    workload = workloads.get("llama3-attention")
    shape = type(workload.shape("small"))(heads=6, kv_heads=2, sequence=5, dim=4)
    q, k, v = random_inputs(workload, shape, scale=3.0)
    want = np.empty_like(q)
    for head in range(6):
        for row in range(5):
            scores = [float(q[head, row] @ k[head // 3, column]) / math.sqrt(4) for column in range(5)]
            weights = [math.exp(score) for score in scores]
            want[head, row] = sum(w * v[head // 3, j] for j, w in enumerate(weights)) / sum(weights)
    np.testing.assert_allclose(workload.reference([q, k, v]), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run(workload, shape, [q, k, v]), want, rtol=1e-4, atol=1e-5)


def test_softmax_does_not_overflow():
    workload = workloads.get("llama3-attention")
    shape = AttentionShape(heads=1, kv_heads=1, sequence=4, dim=4)
    inputs = random_inputs(workload, shape, scale=100.0)
    assert np.isfinite(run(workload, shape, inputs)).all()
    assert np.isfinite(workload.reference(inputs)).all()


def test_experts_are_weighted_by_the_router():
    workload = workloads.get("deepseek-r1-experts")
    shape = deepseek_r1_experts.ExpertsShape(tokens=3, experts=3, hidden=4, intermediate=5)
    x, wr, wg, wu, wd = random_inputs(workload, shape, scale=1.0)
    want = np.zeros_like(x)
    for token in range(3):
        logits = [float(x[token] @ wr[:, expert]) for expert in range(3)]
        total = sum(map(math.exp, logits))
        for expert in range(3):
            gate, up = x[token] @ wg[expert], x[token] @ wu[expert]
            hidden = gate * (1 / (1 + np.exp(-gate))) * up
            want[token] += math.exp(logits[expert]) / total * (hidden @ wd[expert])
    np.testing.assert_allclose(workload.reference([x, wr, wg, wu, wd]), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run(workload, shape, [x, wr, wg, wu, wd]), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", workloads.names())
def test_paper_shapes(name):
    arguments = workloads.get(name).arguments("paper")
    assert [argument.shape for argument in arguments] == PAPER[name]
    assert [argument.role for argument in arguments] == [Role.INPUT] * (len(arguments) - 1) + [Role.OUTPUT]
    assert {argument.dtype for argument in arguments} == {"float32"}


@pytest.mark.parametrize("name", workloads.names())
def test_flops_are_those_of_the_contractions(name):
    workload = workloads.get(name)
    assert workload.flops("small") == round(SMALL_GFLOP[name] * 1e9)
    everything = tvm.s_tir.analysis.estimate_tir_flops(workload.build("paper"))
    assert 0.97 * everything <= workload.flops("paper") <= everything


@pytest.mark.parametrize("name", workloads.names())
def test_bytes_count_each_argument_once(name):
    floats = sum(math.prod(shape) for shape in PAPER[name])
    assert workloads.get(name).min_bytes("paper") == 4 * floats


def test_an_argument_read_and_written_moves_twice():
    both = Argument("A", (3, 5), "float16", Role.INOUT)
    assert min_bytes_of([both]) == 60


@pytest.mark.parametrize("name", workloads.names())
def test_blocks_have_readable_names(name):
    schedule = tvm.s_tir.Schedule(workloads.get(name).build("small"))
    blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    assert [schedule.get(block).name_hint for block in blocks] == BLOCKS[name]


@pytest.mark.parametrize("name", workloads.names())
def test_the_module_is_in_normal_form(name):
    module = workloads.get(name).build("small")
    assert [variable.name_hint for variable in module.get_global_vars()] == ["main"]
    assert module["main"].attrs["global_symbol"] == "main"
    assert module["main"].attrs["tirx.noalias"]


@pytest.mark.parametrize("name", workloads.names())
def test_descriptions_are_one_line(name):
    workload = workloads.get(name)
    assert workload.name == name
    assert workload.description
    assert "\n" not in workload.description


@pytest.mark.parametrize(
    ("name", "near"),
    [("matmull", "matmul"), ("llama3_attention", "llama3-attention"), ("conv", "flux-conv"), ("MatMul", "matmul")],
)
def test_an_unknown_name_brings_up_near_ones(name, near):
    with pytest.raises(InputError, match=rf"no workload '{name}'; did you mean .*{near}.*\? There are "):
        workloads.get(name)


@pytest.mark.parametrize("name", ["", "zzz", "../matmul", "base"])
def test_a_name_unlike_any_brings_up_all(name):
    with pytest.raises(InputError) as error:
        workloads.get(name)
    assert all(known in str(error.value) for known in workloads.names())


def test_an_unknown_size_names_the_sizes():
    with pytest.raises(InputError, match="matmul has no size 'huge'; it has small and paper"):
        workloads.get("matmul").build("huge")


def test_listing_names_does_not_import_tvm():
    code = "import sys, colt.tvm.programs.workloads as w; w.names(); sys.exit('tvm' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
