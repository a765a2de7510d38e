"""Whatever layout a model's convolutions have, it computes the same."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import tvm

from colt.errors import InputError
from colt.tvm.devices.host import resolve_target
from colt.tvm.models.assembly import assemble
from colt.tvm.models.fused import fused
from colt.tvm.models.graph import Graph
from colt.tvm.models.layouts import LAYOUTS, has_convolutions, moved
from colt.tvm.models.library import ModelLibrary, write_library
from colt.tvm.models.tasks import tasks_of
from tests.helpers.small_models import Mlp

torch = pytest.importorskip("torch")
nn = torch.nn
TARGET = resolve_target(None, 2)


class Joined(nn.Module):  # type: ignore[misc, name-defined]
    """Two convolutions of one tensor, side by side: one dilated, one with padding on one axis."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Conv2d(32, 16, (1, 3), padding=(0, 1))
        self.dilated = nn.Conv2d(32, 32, 3, padding=2, dilation=2)

    def forward(self, x: Any) -> Any:
        return torch.cat([self.flat(x), self.dilated(x)], 1)


class Added(nn.Module):  # type: ignore[misc, name-defined]
    """A residual."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32))

    def forward(self, x: Any) -> Any:
        return torch.relu(x + self.inner(x))


def convolution(inputs: int = 32, outputs: int = 32, *shape: Any, **attributes: Any) -> Any:
    return nn.Conv2d(inputs, outputs, *(shape or (3,)), **attributes)


MODELS = {
    "first channels": lambda: nn.Sequential(convolution(3, 32, 5, stride=2, padding=2), convolution()),
    "strides": lambda: nn.Sequential(convolution(stride=(2, 1)), convolution(32, 48, 1, stride=2)),
    "padding": lambda: nn.Sequential(nn.ZeroPad2d((1, 0, 2, 1)), convolution(padding=(2, 1))),
    "depthwise": lambda: nn.Sequential(convolution(groups=32, padding=1), nn.ReLU6(), convolution(32, 64, 1)),
    "groups": lambda: nn.Sequential(convolution(), convolution(groups=4), convolution()),
    "odd channels": lambda: nn.Sequential(convolution(32, 24), nn.ReLU(), convolution(24, 32)),
    "bounds": lambda: nn.Sequential(convolution(), nn.Hardswish(), convolution(), nn.Hardtanh(-0.5, 0.25)),
    "units": lambda: nn.Sequential(convolution(), nn.ELU(0.7), convolution(), nn.SELU(), convolution()),
    "norms": lambda: nn.Sequential(convolution(), nn.InstanceNorm2d(32), convolution(), nn.BatchNorm2d(32)),
    "groups normed": lambda: nn.Sequential(convolution(), nn.GroupNorm(4, 32), convolution()),
    "pools": lambda: nn.Sequential(convolution(), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)),
    "pools beyond": lambda: nn.Sequential(convolution(), nn.MaxPool2d((3, 2), ceil_mode=True), convolution(32, 32, 1)),
    "joined": lambda: nn.Sequential(convolution(padding=1), Joined()),
    "residual": lambda: nn.Sequential(convolution(padding=1), Added(), Added()),
    "head": lambda: nn.Sequential(convolution(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5)),
}


def graph(name: str) -> Graph:
    from colt.tvm.models.sources import load_graph

    torch.manual_seed(0)
    model = MODELS[name]().eval()
    channels = 3 if name == "first channels" else 32
    return load_graph(model, (torch.randn(2, channels, 13, 12),))


@pytest.mark.parametrize(
    ("name", "layout"), [pair for pair in product(MODELS, LAYOUTS) if pair != ("groups normed", "blocks")]
)
def test_it_computes_what_pytorch_computes(name: str, layout: str) -> None:
    found = graph(name)
    module = fused(found.module, TARGET, LAYOUTS[layout])
    built = assemble(module, tasks_of(module), {}, TARGET)
    library = ModelLibrary(write_library(built.executable), built.weights, 2, built.outputs)
    assert found.reference is not None
    (output,), (expected,) = library(*found.example), found.reference(found.example)
    np.testing.assert_allclose(output.numpy(), expected, rtol=1e-4, atol=1e-5)


def parameters(name: str, layout: str, products: str = "") -> list[list[tuple[str, int]]]:
    """Types and numbers of dimensions of what each task takes and gives, of those with filters."""
    tasks = tasks_of(fused(graph(name).module, TARGET, LAYOUTS[layout], products))
    kinds = [[(str(one.ty.dtype), len(one.ty.shape)) for one in task.module["main"].params] for task in tasks]
    return [found for task, found in zip(tasks, kinds, strict=True) if "conv2d" in task.name]


def test_channels_are_in_blocks_where_they_can_be() -> None:
    """Data, filters, bias, and result."""
    assert all({dims for _, dims in task} <= {4, 5, 6} for task in parameters("residual", "blocks"))
    assert [[dims for _, dims in task][:2] for task in parameters("depthwise", "blocks")] == [[5, 5], [5, 6]]
    assert [[dims for _, dims in task][:2] for task in parameters("groups", "blocks")] == [[5, 6], [4, 4], [5, 6]]
    assert {dims for task in parameters("odd channels", "blocks") for _, dims in task} <= {1, 4}


def test_products_of_blocks_are_narrowed_but_for_depthwise_ones() -> None:
    kinds = [[dtype for dtype, _ in task][:2] for task in parameters("depthwise", "blocks", "bfloat16")]
    assert kinds == [["float32", "float32"], ["bfloat16", "bfloat16"]]


def test_a_clip_has_numbers_for_bounds_in_every_layout() -> None:
    for layout in LAYOUTS:
        (task,) = [
            one for one in tasks_of(fused(graph("bounds").module, TARGET, LAYOUTS[layout])) if "maximum" in one.name
        ]
        assert len(task.module["main"].params) == 4, "data, filters, bias and result"


@pytest.mark.parametrize(("layout", "move"), [("channels-last", "transpose"), ("blocks", "layout_transform")])
def test_layouts_pass_through_exponential_units(layout: str, move: str) -> None:
    """What goes in is moved, and what comes out."""
    names = [one.name for one in tasks_of(fused(graph("units").module, TARGET, LAYOUTS[layout]))]
    assert sum(move in name for name in names) <= 2


def test_only_convolutions_have_layouts() -> None:
    assert has_convolutions(graph("strides").module)
    assert not has_convolutions(Mlp().graph().module)


def test_constants_are_moved_as_tvm_moves_them() -> None:
    array = np.arange(4 * 6 * 2, dtype="float32").reshape(4, 6, 2)
    index_map = tvm.tirx.IndexMap.from_func(lambda a, b, c: [c, b // 3, a, b % 3], index_dtype="int64")
    expected = array.transpose(2, 1, 0).reshape(2, 2, 3, 4).transpose(0, 1, 3, 2)
    np.testing.assert_array_equal(moved(index_map, array, [2, 2, 4, 3]), expected)


def test_what_has_no_code_in_a_layout_is_refused() -> None:
    from colt.tvm.models.sources import load_graph

    model = nn.Sequential(convolution(), nn.PReLU(32), convolution()).eval()
    found = load_graph(model, (torch.randn(1, 32, 9, 9),)).module
    fused(found, TARGET, LAYOUTS["channels-last"])
    for refused in (found, graph("groups normed").module):
        with pytest.raises(InputError):
            fused(refused, TARGET, LAYOUTS["blocks"])
