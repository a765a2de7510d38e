"""Modules of PyTorch in all forms: each computes what PyTorch computes, or is refused in a sentence that says where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colt.errors import InputError
from colt.models.judge import verified
from colt.tvm.models.sources import load_graph
from tests.helpers.run_graph import compared, untuned

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
F = torch.nn.functional


class Calling(torch.nn.Module):  # type: ignore[misc]
    """Some layers, and a function of them and the inputs."""

    def __init__(self, function: Callable[..., Any], dtype: Any = torch.float32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.table = torch.nn.Linear(8, 8), torch.nn.Embedding(10, 8)
        self.conv, self.norm = torch.nn.Conv2d(4, 8, 3), torch.nn.BatchNorm2d(8)
        self.function = function
        self.to(dtype)

    def forward(self, *args: Any, **named: Any) -> Any:
        return self.function(self, *args, **named)


X, IMAGE, HEADS = torch.randn(4, 8), torch.randn(1, 4, 6, 6), torch.randn(1, 2, 5, 8)
MASK = torch.tensor([[True, False, True, True, False]]) | torch.eye(5, dtype=torch.bool)
attention = F.scaled_dot_product_attention


@pytest.mark.parametrize(
    ("function", "example", "inputs", "outputs"),
    [
        (lambda m, x: {"a": m.linear(x), "b": (x * 2, [x + 1, None])}, (X,), ["input1"], ["a", "b_0", "b_1_0"]),
        (lambda m, x, mask: torch.where(mask, m.linear(x), 0), {"x": X, "mask": X > 0}, ["x", "mask"], ["output1"]),
        (
            lambda m, p, d, n, z: p[0] + p[1] * d["y"] * n,
            ((X, X + 1), {"y": X}, 3, None),
            ["input1_0", "input1_1", "input2_y"],
            ["output1"],
        ),
        (lambda m, x, y: (x, m.linear(x)), (X, X), ["input1", "input2"], ["output1", "output2"]),
        (
            lambda m, x: [m.linear.weight, torch.ones(3), x.view(8, 4)],
            (X,),
            ["input1"],
            ["output1", "output2", "output3"],
        ),
        (lambda m, x: (m.linear(x),) * 2, (torch.randn(8, 4).t(),), ["input1"], ["output1", "output2"]),
        (
            lambda m, i, n: m.table(i) * n,
            (torch.tensor([[1, 2, 9]]), torch.tensor(2)),
            ["input1", "input2"],
            ["output1"],
        ),
        (lambda m, x: F.relu(m.norm(m.conv(x))), (IMAGE,), ["input1"], ["output1"]),
        (lambda m, x: F.hardswish(F.relu6(m.norm(m.conv(x)))).clamp(max=1.5), (9 * IMAGE,), ["input1"], ["output1"]),
        (lambda m, q, mask: attention(q, q, q, attn_mask=mask), (HEADS, MASK), ["input1", "input2"], ["output1"]),
        (
            lambda m, q, k: attention(q, k, k, enable_gqa=True),
            (HEADS.repeat(1, 2, 1, 1), HEADS),
            ["input1", "input2"],
            ["output1"],
        ),
        (
            lambda m, q, mask: attention(q, q, q, attn_mask=mask),
            (HEADS[0], MASK[None]),
            ["input1", "input2"],
            ["output1"],
        ),
        (lambda m, q: attention(q, q, q, is_causal=True), (HEADS[0],), ["input1"], ["output1"]),
    ],
    ids=[
        *("nested outputs", "by name", "nested inputs", "an input returned", "constants returned", "one output twice"),
        *("integers", "batch norm", "clips", "bool mask", "grouped heads", "three axes, masked", "three axes"),
    ],
)
def test_it_computes_what_pytorch_computes(function: Any, example: Any, inputs: list[str], outputs: list[str]) -> None:
    graph = load_graph(Calling(function), example)
    assert (list(graph.inputs), list(graph.outputs)) == (inputs, outputs)
    assert compared(graph).ok


@pytest.mark.parametrize("masked", [False, True])
def test_pytorchs_own_attention_is_taken_apart(masked: bool) -> None:
    mask = torch.tensor([[False] * 4 + [True]] * 2) if masked else None
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    graph = load_graph(layer, {"src": torch.randn(2, 5, 16), "src_key_padding_mask": mask})
    assert compared(graph).ok


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_types_of_16_bits_stay(dtype: Any) -> None:
    """Products are computed in 32 bits, biases added to them, and then they are of 16 bits again, as in PyTorch."""

    def function(m: Any, x: Any, image: Any) -> Any:
        return m.linear(x) + x, F.layer_norm(x @ x.t(), (4,)), m.conv(image), x.pow(2)

    graph = load_graph(Calling(function, dtype), (X.to(dtype), IMAGE.to(dtype)))
    assert graph.reference is not None
    found, expected = untuned(graph)(*graph.example), graph.reference(graph.example)
    assert [str(one.dtype) for one in found] == [str(one.dtype) for one in expected]
    verdict = verified([one.numpy() for one in found], expected, "PyTorch")
    assert verdict.ok
    assert max(verdict.errors) < 0.02


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (
            lambda m, x: torch.linalg.svd(m.linear(x))[1],
            r"operator aten\._linalg_svd\.default is not supported, in .*py:\d+",
        ),
        (
            lambda m, x: F.dropout(m.linear(x), 0.5, True),
            r"operator aten\.dropout\.default draws random numbers, in .*:\d+",
        ),
        (lambda m, x: x + torch.randn_like(x), r"operator aten\.randn_like\.default draws random numbers"),
        (lambda m, x: m.linear(x.add_(1)), "it writes to its input input1, which"),
        (lambda m, x: 3, "returns no tensor"),
        (lambda m, x: m.linear(x) if x.sum() > 0 else x, "refuses the model"),
    ],
    ids=["unsupported", "dropout", "random", "writes to its input", "no tensor", "depends on values"],
)
def test_what_cannot_be_compiled_is_refused_with_the_reason(function: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_graph(Calling(function), (X.clone(),))


@pytest.mark.parametrize(
    ("example", "said"),
    [
        (None, "needs example inputs"),
        (3, "cannot be of type int"),
        ((), "at least one tensor"),
        ((X[:0],), "no elements"),
    ],
)
def test_examples_that_are_none_are_refused(example: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_graph(Calling(lambda m, *x: x), example)


def test_the_module_stays_in_training() -> None:
    module = Calling(lambda m, x: m.linear(x)).train()
    module.norm.eval()
    load_graph(module, (X,))
    assert module.training
    assert module.linear.training
    assert not module.norm.training


def test_a_file_with_an_open_size_is_compiled_for_its_example(tmp_path: Path) -> None:
    module, rows = Calling(lambda m, x: m.linear(x)).eval(), torch.export.Dim("rows", min=2, max=64)
    program = torch.export.export(module, (X,), dynamic_shapes=(((rows, None),),))
    torch.export.save(program, tmp_path / "m.pt2")
    graph = load_graph(tmp_path / "m.pt2")
    assert graph.example[0].shape == (4, 8)
    assert compared(graph).ok


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nothing", bytes(1000)])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.pt2"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is not a program of torch\.export"):
        load_graph(path)
