"""Modules of PyTorch in all forms: each computes what PyTorch computes, or is refused in a sentence that says where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from colt.errors import InputError
from colt.models.judge import verified
from colt.tvm.models.sources import load_graph, open_model
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

    def with_layer(self, layer: Any) -> Calling:
        """With one layer more."""
        self.layer = layer
        return self

    def forward(self, *args: Any, **named: Any) -> Any:
        return self.function(self, *args, **named)


X, IMAGE, HEADS = torch.randn(4, 8), torch.randn(1, 4, 6, 6), torch.randn(1, 2, 5, 8)
PIXELS, GRID = torch.randn(1, 2, 7, 9), 1.2 * torch.rand(1, 4, 5, 2) - 0.6
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


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN], ids=lambda kind: kind.__name__)
def test_recurrent_layers_draw_nothing_at_rest(kind: Any) -> None:
    torch.manual_seed(0)
    layer = kind(8, 6, batch_first=True)
    assert compared(load_graph(Calling(lambda m, x: m.layer(x)[0]).with_layer(layer), (HEADS[0],))).ok


def test_indices_that_are_given_may_count_from_the_end() -> None:
    """Whatever those of the example did."""
    graph = load_graph(Calling(lambda m, x, n: (x[n], x[:, n])), (PIXELS[0, 0], torch.tensor([0, 1])))
    assert graph.reference is not None
    inputs = [graph.example[0], np.array([-1, 2])]
    found, expected = untuned(graph)(*inputs), graph.reference(inputs)
    assert verified([one.numpy() for one in found], expected, "PyTorch").ok


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: (x[-1], x[:, -1], x[..., -2] * 2, x.select(-2, -7)),
        lambda m, x: torch.relu(x)[:, :, -1] @ torch.ones(9, 3),
        lambda m, x: x.cumsum(2)[:, :, -1],
        lambda m, x: zeroed(x.clone()),
        lambda m, x: (x.take(torch.tensor([[-1, 0], [-126, 5]])), x.flatten()[-3]),
    ],
    ids=["alone", "of what is computed", "of a sum", "put", "of all"],
)
def test_one_index_may_count_from_the_end(function: Any) -> None:
    """TVM's importer reads what lies before the tensor."""
    assert compared(load_graph(Calling(function), (PIXELS,))).ok


def zeroed(x: Any) -> Any:
    x[:, -2] += 1
    x[:, :, -1] = 0
    return x


def test_the_last_state_of_a_recurrent_layer_is_the_last() -> None:
    layer = torch.nn.LSTM(8, 6, batch_first=True)
    assert compared(load_graph(Calling(lambda m, x: m.layer(x)[0][:, -1]).with_layer(layer), (HEADS[0],))).ok


class Last(torch.nn.Module):  # type: ignore[misc]
    """The last row."""

    def forward(self, x: Any) -> Any:
        return x[-1]


def test_one_index_may_count_from_an_end_that_is_open(tmp_path: Path) -> None:
    rows = torch.export.Dim("rows", min=2, max=64)
    program = torch.export.export(Last(), (X,), dynamic_shapes=({0: rows},))
    torch.export.save(program, tmp_path / "m.pt2")
    graph = open_model(tmp_path / "m.pt2", None, None, ["x.0"]).opened({"x.0": 4})
    library = untuned(graph)
    for size in (4, 7):
        x = np.arange(8.0 * size, dtype="float32").reshape(size, 8)
        np.testing.assert_array_equal(library(x)[0].numpy(), x[-1])


INF, NAN = float("inf"), float("nan")
ODD = torch.tensor([[NAN, INF, -INF, 0.0], [1.0, -1.0, -0.0, 3.0], [NAN, NAN, -INF, NAN]])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x != x, x != 0, x != x + 1, torch.ne(x, 3.0), x.double() != x.double()),
        lambda x: (x == x, x >= x, x <= x, 2 * x == 2 * x, x == 0, x == x.flip(1)),
        lambda x: (~(x == x), torch.logical_not(x == x), ~(x < 1), ~(x >= 1), (x > 1).logical_not()),
        lambda x: (torch.where(x != x, 0.0, x), torch.where(~(x < 1), 7.0, x), x.masked_fill(x != x, 2.0)),
        lambda x: (x.isfinite(), x.half().isfinite(), ~x.isnan(), torch.isfinite((x > 0).int()), x.nan_to_num()),
        lambda x: (F.elu(x), F.selu(x), F.celu(x, 0.7)),
        lambda x: ((x > 0) * (x < 2), (x > 0) + (x < 0), torch.maximum(x > 0, x < 2), torch.minimum(x > 0, x < 2)),
    ],
    ids=["unequal", "equal", "inverted", "chosen by", "finite", "elu", "truths"],
)
def test_a_nan_is_unequal_and_in_no_order(function: Any) -> None:
    assert compared(load_graph(Calling(lambda m, x: function(x)), (ODD,))).ok


@pytest.mark.parametrize("least", [-INF, float(torch.finfo(torch.float32).min)])
def test_the_largest_of_nothing_but_the_least_is_the_first(least: float) -> None:
    x = torch.full((3, 5), least)
    x[1, 3], x[2] = -1e30, torch.tensor([-INF, least, -INF, least, -INF])

    def function(m: Any, x: Any) -> Any:
        return x.argmax(1), (-x).argmin(1), x.t()[x.argmax(1)], x.argmax(), x.max(1).indices

    assert compared(load_graph(Calling(function), (x,))).ok


def test_the_largest_of_a_window_of_infinities_is_one() -> None:
    image = torch.full((1, 2, 5, 6), -INF)
    image[0, 0, 2, 2], image[0, 1, 4, 5] = -1e30, 3.0

    def function(m: Any, x: Any) -> Any:
        more = {"ceil_mode": True, "dilation": 2}
        return F.max_pool2d(x, 3, 1, 1), F.max_pool2d(x, 2), F.max_pool2d(x, 2, **more), F.max_pool1d(x[0], 2, 2, 1)

    assert compared(load_graph(Calling(function), (image,))).ok


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: F.group_norm(x, 2),
        lambda m, x: F.group_norm(x, 2, m.scale, m.scale - 1),
        lambda m, x: F.instance_norm(x),
        lambda m, x: F.instance_norm(x, weight=m.scale, bias=m.scale),
        lambda m, x: torch.nn.GroupNorm(1, 4)(x.flatten(2)),
    ],
    ids=["groups", "groups with factors", "instances", "instances with factors", "one group"],
)
def test_norms_are_right_far_from_zero(function: Any) -> None:
    """With a mean of a thousand times the deviation."""
    module = Calling(function)
    module.register_buffer("scale", torch.tensor([1.0, 2.0, 0.5, -1.0]))
    assert compared(load_graph(module, (IMAGE + 1000,))).ok


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x.amax(1), x.amin((0, -1)), x.amax(), x.amax(-1, keepdim=True)),
        lambda x: (*x.max(1), *x.min(0), *x.min(-1, keepdim=True)),
        lambda x: ((x > 0).any(), (x > 0).all(1), (x > 9).any(0, keepdim=True), (x != x).any((0, 2)), x.int().all()),
        lambda x: (*torch.var_mean(x, 1), *torch.var_mean(x), *torch.var_mean(x, (0, 2), correction=0, keepdim=True)),
        lambda x: (x.prod(1), x.int().prod(0), x.logsumexp(1), (100 * x).logsumexp((0, 2), keepdim=True)),
        lambda x: (torch.cat([x, (x > 0).int()]), torch.cat([x.half(), x]), torch.stack([x.int(), x.long()], -1)),
        lambda x: (torch.stack([x, x + 1]), torch.stack([x, x + 1], 1), torch.stack([x, x], -1)),
    ],
    ids=["extremes", "with places", "any and all", "variance and mean", "products and logs", "joined", "stacked"],
)
def test_reductions_and_what_is_joined(function: Any) -> None:
    assert compared(load_graph(Calling(lambda m, x: function(x)), (PIXELS[0],))).ok


def test_a_leaky_relu_has_its_mean_slope_at_rest() -> None:
    assert compared(load_graph(Calling(lambda m, x: F.rrelu(x, 0.1, 0.5)), (X,))).ok
    with pytest.raises(InputError, match=r"aten\.rrelu\S* draws random numbers"):
        load_graph(Calling(lambda m, x: F.rrelu(x, 0.1, 0.5, training=True)), (X,))


SOME = torch.tensor([[True, False, True, True, False]] * 4 + [[False] * 5])
"""A mask whose last row sees nothing."""


@pytest.mark.parametrize(
    ("function", "mask"),
    [
        (lambda m, q, mask: attention(q, q, q, attn_mask=mask), SOME),
        (lambda m, q, mask: attention(q, q, q, attn_mask=mask), torch.zeros(5, 5).masked_fill(~SOME, -torch.inf)),
        (lambda m, q, mask: attention(q[0], q[0], q[0], attn_mask=mask), SOME),
        (lambda m, q, mask: attention(q, q, q, attn_mask=m.hidden), SOME),
        (lambda m, q, mask: attention(attention(q, q, q, attn_mask=mask), q, q, attn_mask=mask), SOME),
    ],
    ids=["bool", "floats", "three axes", "constant", "two layers"],
)
def test_rows_that_see_nothing_are_zero(function: Any, mask: Any) -> None:
    """As in PyTorch, whatever the mask of the example was."""
    module = Calling(function)
    module.register_buffer("hidden", SOME)
    graph = load_graph(module, (HEADS, torch.ones_like(mask)))
    assert graph.reference is not None
    inputs = [graph.example[0], mask.numpy()]
    (found,), expected = untuned(graph)(*inputs), graph.reference(inputs)
    assert (expected[0][..., -1, :] == 0).all()
    assert verified([found.numpy()], expected, "PyTorch").ok


@pytest.mark.parametrize(
    "function",
    [
        lambda m, q: attention(q, q, q, scale=1.0),
        lambda m, q: attention(q, q, q, scale=0.3, is_causal=True),
        lambda m, q: attention(q, q, q, attn_mask=q[0, 0, :, :5], scale=2.0),
        lambda m, q: attention(q[0], q[0], q[0], attn_mask=q[0, 0, :, :5] > 0, scale=1.0),
        lambda m, q: attention(q, q, q, scale=8**-0.5),
    ],
    ids=["alone", "causal", "masked", "without heads", "that of the width"],
)
def test_scores_may_have_a_factor_of_their_own(function: Any) -> None:
    """As those of T5 and OPT have."""
    assert compared(load_graph(Calling(function), (3 * HEADS,))).ok


@pytest.mark.parametrize(
    "function",
    [
        lambda m, q: attention(q, q[:, :1], q[:, :1]),
        lambda m, q: attention(q[:, :1], q, q[:, :1], attn_mask=q[:, :, :, :5]),
        lambda m, q: attention(q[0], q[0, :1], q[0, :1], is_causal=True),
    ],
    ids=["one head of keys", "one of queries", "without heads"],
)
def test_one_head_may_be_for_all(function: Any) -> None:
    """As those of Falcon's keys and values are."""
    assert compared(load_graph(Calling(function), (3 * HEADS,))).ok


def test_a_mask_may_follow_from_all_that_came_before() -> None:
    """Many ways lead to it from the input, none of which is constant."""

    def function(m: Any, q: Any) -> Any:
        x = q
        for _ in range(40):
            x = (x + torch.relu(x)) / 2
        return attention(q, q, q, attn_mask=x @ x.transpose(-1, -2) > 0)

    assert compared(load_graph(Calling(function), (HEADS,))).ok


def test_masks_of_which_each_row_sees_something_cost_nothing() -> None:
    """They are constant."""
    kept = [torch.ones(5, 5, dtype=torch.bool).tril(), torch.zeros(5, 5).masked_fill(MASK, -1e9)]
    for mask in kept:
        module = Calling(lambda m, q: attention(q, q, q, attn_mask=m.mask))
        module.register_buffer("mask", mask)
        assert "R.max(" not in load_graph(module, (HEADS,)).module.script()


@pytest.mark.parametrize(
    "function",
    [
        lambda n: n.clamp(min=0),
        lambda n: n.clamp(-1, 3),
        lambda n: n.clamp(max=2).to(torch.int32).clamp(0, 1),
        lambda n: n.clamp(-0.5, 2.5),
        lambda n: n.to(torch.int32).cumsum(0),
        lambda n: (n > 0).cumsum(0),
        lambda n: n.to(torch.int8).prod(),
        lambda n: n.double().clamp(-1.5, 2),
        lambda n: (n * 0.5, n + 1.5, 0.5 - n, n / 4, n.abs() ** 0.5, 2.0**n, n.remainder(2.5)),
        lambda n: (n < 0.5, n >= -1.5, n == 0.5, n != 2),
        lambda n: (1 - n, n % 3, n**2, n // 5, torch.div(n, 5, rounding_mode="trunc")),
        lambda n: ((n > 0) + 1, (n > 0) * 2.5, (n > 0) + n, n.to(torch.int32) + n, n.to(torch.int8) * 2),
        lambda n: (torch.where(n > 0, n, 0.5), n.masked_fill(n > 0, 7), n.float().masked_fill(n > 0, -1.5)),
        lambda n: (torch.maximum(n, n / 2), n * torch.tensor(2.5), n.float() * torch.tensor(0.1, dtype=torch.float64)),
        lambda n: (n.abs().sqrt(), n.exp(), n.sigmoid(), torch.atan2(n, n + 9)),
        lambda n: (n.view(3, 3) @ n.view(3, 3), F.linear(n.double(), n.double().view(1, 9), n[:1].double())),
        lambda n: (n.half() * 3 + torch.tensor(0.5), n.bfloat16() * n.float(), n.half() < 0.5),
    ],
    ids=[
        *("from", "within", "to", "floats", "cumsum", "cumsum of bool", "prod", "float64", "and floats", "compared"),
        *("and whole numbers", "of several types", "chosen", "and tensors", "as floats", "products", "halves"),
    ],
)
def test_numbers_are_of_the_types_that_pytorch_computes_in(function: Any) -> None:
    assert compared(load_graph(Calling(lambda m, n: function(n)), (torch.arange(-4, 5),))).ok


def resized(size: Any = None, factor: Any = None, mode: str = "nearest", **how: Any) -> Callable[..., Any]:
    return lambda m, x: F.interpolate(x, size=size, scale_factor=factor, mode=mode, **how)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x[:, :, [-1, 0, -7]],
        lambda m, x: x[torch.tensor([0, -1]), torch.tensor([-2, 1])],
        lambda m, x: x.index_put(tuple(map(torch.tensor, ([0], [-1], [2], [-3]))), torch.tensor(7.0)),
        lambda m, x: x[torch.tensor([0, 0, 0]), :, torch.tensor([1, 3, 2])],
        lambda m, x: x[:, torch.tensor([0, 1, 0]), torch.tensor([1, 3, 2])],
        lambda m, x: x[:, torch.tensor([0, 1]), torch.tensor([[1], [2]]), 1:],
        lambda m, x: x[:, :, torch.tensor([[1], [3]]), torch.tensor([0, 5, 8])],
        lambda m, x: (x.squeeze() + x[:, :1].squeeze(), x.squeeze(1).squeeze((0, -1)), x.sum().squeeze()),
        resized(factor=2, mode="bilinear"),
        resized(factor=1.5, mode="bicubic", align_corners=True),
        lambda m, x: (torch.add(x, x + 1, alpha=3), torch.sub(x, 2 * x, alpha=0.5), torch.rsub(x, 1.5, alpha=2)),
        lambda m, x: (F.selu(x), F.elu(x, 0.3), F.celu(x, 0.7)),
        resized((5, 4)),
        resized((14, 18)),
        resized((10, 13)),
        resized((8, 9)),
        resized(factor=2),
        resized(factor=(3, 2), mode="nearest-exact"),
        resized((12, 9), mode="bilinear", antialias=True),
        resized((5, 13), mode="bicubic"),
        lambda m, x: F.grid_sample(x, GRID),
        lambda m, x: F.grid_sample(x, GRID, align_corners=True, padding_mode="border"),
    ],
    ids=[
        *(
            "from the end",
            "from the end of all",
            "put from the end",
            "apart",
            "side by side",
            "in the middle",
            "a grid of",
        ),
        *("squeezed", "bilinear by 2", "corners"),
        *("factors", "elu", "nearest, fewer", "nearest, twice", "nearest, more", "nearest, one more", "by 2", "exact"),
        *("antialiased", "bicubic", "grid", "grid with corners"),
    ],
)
def test_operators_that_the_importer_has_otherwise(function: Any) -> None:
    assert compared(load_graph(Calling(function), (PIXELS,))).ok


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (
            resized((5, 4), mode="bilinear", antialias=True),
            r"bilinear2d_aa\..* cannot be imported, in .*smaller",
        ),
        (resized(factor=1.5), r"upsample_nearest2d\.vec cannot be imported, in .*no whole numbers of rows"),
        (resized(factor=1.5, mode="bilinear"), r"upsample_bilinear2d\.vec cannot be imported, in .*no whole numbers"),
        (lambda m, x: F.avg_pool2d(x, 2, divisor_override=3), r"avg_pool2d\.default cannot be imported, in .*divided"),
        (
            lambda m, x: F.max_pool2d(x, 2, return_indices=True),
            r"with_indices\.default cannot be imported, in .*is asked",
        ),
    ],
)
def test_what_the_importer_would_compute_otherwise_is_refused(function: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_graph(Calling(function), (PIXELS,))


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
        ((torch.empty(3, device="meta"),), "input1 is on meta; models are compiled for dense tensors on the CPU"),
        ((torch.eye(3).to_sparse(),), r"input1 is of layout torch\.sparse_coo"),
        ((np.array(["x"]),), "PyTorch takes no array of type <U1"),
    ],
)
def test_examples_that_are_none_are_refused(example: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_graph(Calling(lambda m, *x: x), example)


def test_examples_may_lie_backwards() -> None:
    graph = load_graph(Calling(lambda m, x: m.linear(x)), (X.numpy()[::-1],))
    np.testing.assert_array_equal(graph.example[0], X.numpy()[::-1])
    assert compared(graph).ok


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.norm(F.conv2d(x, m.conv.weight / m.conv.weight.norm())),
        lambda m, x: m.norm(F.conv2d(x, x[:, :, :3, :3].repeat(8, 1, 1, 1))),
        lambda m, x: m.norm(F.conv2d(x, torch.ones(8, 4, 3, 3))),
        lambda m, x: m.norm(F.conv2d(x, m.conv.weight, m.conv.bias * 2)),
    ],
    ids=["computed", "given", "constant", "with a computed bias"],
)
def test_a_batch_norm_may_follow_any_convolution(function: Any) -> None:
    """It becomes part of the weights only where there are some."""
    assert compared(load_graph(Calling(function), (IMAGE,))).ok


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
