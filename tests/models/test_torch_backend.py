"""``torch.compile(model, backend="colt")``: what is compiled, what is left to PyTorch, and neither is ever wrong."""

from __future__ import annotations

import importlib
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from colt.models.tuning import TunedTasks

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from colt.models import torch_backend  # noqa: E402
from colt.models.torch_backend import backend  # noqa: E402
from colt.models.torch_report import GraphReport, torch_report  # noqa: E402

pytestmark = pytest.mark.real  # builds libraries


@pytest.fixture(autouse=True)
def untuned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Models are put together, verified and called, but nothing is tuned."""
    monkeypatch.setattr("colt.models.compile.tune_tasks", lambda *_: TunedTasks({}, {}))
    torch._dynamo.reset()
    torch_report().graphs.clear()
    torch_report().between.clear()
    torch_backend._COMPILED.clear()
    yield
    torch._dynamo.reset()


class Mlp(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second = torch.nn.Linear(16, 32), torch.nn.Linear(32, 16)

    def forward(self, x: Any) -> Any:
        return self.second(torch.relu(self.first(x))), x * 2


def compiled(model: Any, **options: Any) -> Any:
    return torch.compile(model, backend=backend, dynamic=False, options=options)


def graphs() -> list[GraphReport]:
    return torch_report().graphs


def left(model: Any, *inputs: Any, inference: bool = True, **how: Any) -> str:
    """Run a model that is left to PyTorch, and return the reason, of which a warning tells as well."""
    with torch.inference_mode(inference), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = torch.compile(model, backend=backend, **{"dynamic": False, **how})(*inputs)
        torch.testing.assert_close(found, model(*inputs))
    (entry,) = [one for one in graphs() if one.reason]
    assert any(entry.reason in str(one.message) for one in caught)
    assert entry.reason in str(torch_report())
    assert entry.calls == 1
    return entry.reason


def test_it_computes_what_the_model_computes() -> None:
    model, x = Mlp(), torch.randn(4, 16)
    fast = compiled(model)
    with torch.no_grad():
        for given in (x, torch.randn(4, 16), torch.randn(16, 4).t(), torch.randn(65)[1:].view(4, 16)):
            torch.testing.assert_close(fast(given), model(given))
    assert not any(entry.reason for entry in graphs())
    assert "compiled, 3 tasks" in str(torch_report())


def test_inputs_that_lie_right_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("colt.tvm.models.library.ModelLibrary.call", lambda self, *x: seen.append(x) or [x[0], x[0]])
    monkeypatch.setattr("colt.models.torch_backend.require_right", lambda model: None)
    monkeypatch.setattr("colt.models.compile.timed", lambda *_: None)
    monkeypatch.setattr("colt.models.compile.verified", lambda *_: None)
    x = torch.empty(64, 16)
    with torch.no_grad():
        compiled(Mlp())(x)
    assert seen[-1][0] is x


def test_equal_graphs_compile_once() -> None:
    x, models = torch.randn(4, 16), [compiled(Mlp()), compiled(Mlp()), compiled(Mlp(seed=1))]
    with torch.no_grad():
        for one in models:
            one(x)
    assert [entry.again for entry in graphs()] == [False, True, False]


def test_what_is_set_for_all_is_part_of_a_graph() -> None:
    """Equal operators compute other types where PyTorch casts by itself."""
    model, x = Mlp(), torch.randn(4, 16)
    fast = compiled(model)
    with torch.no_grad():
        fast(x)
        with torch.autocast("cpu", torch.bfloat16):
            found, expected = fast(x), model(x)
    assert [one.dtype for one in found] == [torch.bfloat16, torch.float32]
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)


def test_weights_that_change_later_are_not_forgotten() -> None:
    model, x = Mlp(), torch.randn(4, 16)
    fast = compiled(model)
    with torch.no_grad():
        fast(x)
        model.first.weight.mul_(2)
        with pytest.warns(UserWarning, match="parameters were changed"):
            torch.testing.assert_close(fast(x), model(x))
        torch.testing.assert_close(fast(x), model(x))
    assert graphs()[0].calls == 2


def test_the_rest_of_a_graph_break_is_compiled() -> None:
    def function(x: Any) -> Any:
        y = torch.relu(x) + 1
        torch._dynamo.graph_break()
        return y * 3

    x = torch.randn(64)
    torch._dynamo.utils.counters.clear()
    with torch.no_grad():
        torch.testing.assert_close(compiled(function)(x), function(x))
    assert [entry.reason for entry in graphs()] == ["", ""]
    assert "graph break, 1 time" in str(torch_report())


def test_a_graph_break_costs_what_runs_between_two_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what the user does between two calls, nor what compiling takes, nor other graphs."""
    now = [0.0]
    monkeypatch.setattr("colt.models.torch_breaks.perf_counter", lambda: now[0])

    @torch._dynamo.disable  # type: ignore[untyped-decorator]
    def pause(seconds: float) -> None:
        now[0] += seconds

    def going_on(x: Any) -> Any:
        y = torch.relu(x) + 1
        pause(5.0)
        return y * 3

    def nothing_follows(x: Any) -> Any:
        y = torch.relu(x) - 1
        pause(7.0)
        return y

    fast, last = compiled(going_on), compiled(nothing_follows)
    x = torch.randn(64)
    with torch.no_grad():
        for _ in range(4):
            torch.testing.assert_close(fast(x), torch.relu(x) * 3 + 3)
            now[0] += 1000
            last(x)
            now[0] += 1000
    (found,) = [one for one in torch_report().between if one.times]
    assert (found.times, found.seconds) == (3, 15.0), "the first time PyTorch compiled what follows"
    assert f"{__file__}:{going_on.__code__.co_firstlineno + 2}: 3 times in Python, 5,000,000 us" in str(torch_report())


def test_pytorch_finds_it_by_its_name() -> None:
    """The distribution declares it where PyTorch looks."""
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["entry-points"]
    module, _, name = declared["torch_dynamo_backends"]["colt"].partition(":")
    assert getattr(importlib.import_module(module), name) is backend


def test_gradients_are_pytorchs() -> None:
    assert "gradients are wanted" in left(Mlp(), torch.randn(4, 16), inference=False)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: torch.linalg.svd(x)[1], "_linalg_svd.default is not supported, in " + __file__),
        (lambda x: (x.view(-1), x + 1), "share memory"),
        (lambda x: torch.nn.functional.dropout(x, 0.0, True) if x is None else x.clone().add_(1).T, ""),
    ],
    ids=["unsupported", "a view of an input", "in place on its own"],
)
def test_what_cannot_be_compiled_runs_in_pytorch(function: Any, said: str) -> None:
    x = torch.randn(8, 8)
    if said:
        assert said in left(function, x)
        return
    with torch.no_grad():
        torch.testing.assert_close(compiled(function)(x), function(x))
    assert [entry.reason for entry in graphs()] == [""]


def test_inputs_that_are_written_to_are_pytorchs() -> None:
    x, other = torch.zeros(64), torch.zeros(64)
    with torch.no_grad(), pytest.warns(UserWarning, match="writes to"):
        found = compiled(lambda x: x.add_(1) * 2)(x)
    other.add_(1)
    torch.testing.assert_close((x, found), (other, other * 2))


class OfItsSize(torch.nn.Module):  # type: ignore[misc]
    """Sizes are numbers in it, and shapes."""

    def forward(self, x: Any) -> Any:
        return torch.relu(x * x.shape[0]).reshape(-1, 4).sum(1)


@pytest.mark.parametrize("sizes", [1, 2])
def test_open_sizes_are_compiled_for_the_first_ones(sizes: int) -> None:
    """Others are right, and run in PyTorch; the first come back to what was compiled for them."""
    model = OfItsSize()
    fast = torch.compile(model, backend=backend, dynamic=True, options={"sizes": sizes})
    with torch.no_grad(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for size in (5, 3, 5, 6, 3, 7):
            x = torch.randn(size, 8)
            torch.testing.assert_close(fast(x), model(x))
    reasons = [entry.reason for entry in graphs()]
    assert reasons[:-1] == [""] * sizes
    assert f"for {sizes} size" in reasons[-1]
    assert graphs()[-1].calls == {1: 4, 2: 2}[sizes]
    assert sum("option sizes" in str(one.message) for one in caught) == 1


def test_a_second_size_is_compiled_as_pytorch_asks_for_it() -> None:
    """PyTorch takes the first size for the only one, and leaves it open from the second on."""
    model = Mlp()
    fast = torch.compile(model, backend=backend)
    with torch.no_grad(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for size in (4, 6, 9):
            x = torch.randn(size, 16)
            torch.testing.assert_close(fast(x), model(x))
    assert any("of which this is none" in str(one.message) for one in caught)
    assert [bool(entry.reason) for entry in graphs()] == [False, False, True]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"options": {"minuets": 3}}, "no option 'minuets'; did you mean minutes"),
        ({"options": {"minutes": -1}}, "minutes is -1"),
        ({"options": {"sizes": 0}}, "sizes is 0; accepted is a whole number from 1"),
        ({"mode": "max-autotune"}, "has no modes"),
    ],
)
def test_unknown_options_are_refused(how: Any, said: str) -> None:
    fast = torch.compile(lambda x: x + 1, backend=backend, dynamic=False, **how)
    with torch.no_grad(), pytest.raises(Exception, match=said):
        fast(torch.randn(4))


def test_a_model_that_computes_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("colt.models.judge", fromlist=["x"]).TOLERANCES, "float32", -1.0)
    assert "does not compute what PyTorch computes" in left(lambda x: x.exp(), torch.randn(64))


def test_modules_of_one_kind_have_weights_of_their_own() -> None:
    """PyTorch gives one graph to them all, with the parameters of each in turn."""
    models, x = [Mlp(seed) for seed in range(3)], torch.randn(4, 16)
    fast = [compiled(model) for model in models]
    with torch.no_grad():
        for one, model in [*zip(fast, models, strict=True), *zip(fast, models, strict=True)]:
            torch.testing.assert_close(one(x), model(x))
    assert [(entry.again, entry.reason) for entry in graphs()] == [(False, "")] * 3
