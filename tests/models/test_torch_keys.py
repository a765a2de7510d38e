"""Keys of PyTorch's graphs: equal for graphs that compute the same, and for no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from colt.models.torch_keys import graph_key  # noqa: E402

X = torch.ones(2, 3)


def graph_of(call: Callable[[Any, Any], Any], modules: dict[str, Any] | None = None, name: str = "x") -> Any:
    """A graph of one call."""
    graph = torch.fx.Graph()
    graph.output(call(graph, graph.placeholder(name)))
    return torch.fx.GraphModule(modules or {}, graph)


def key(graph: Any) -> str:
    return graph_key(graph, {}, [X], None)


def times(factor: float) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        return x * factor

    return function


def test_names_of_variables_are_no_part() -> None:
    relu = [graph_of(lambda g, x: g.call_function(torch.relu, (x,)), name=name) for name in ("x", "y")]
    tanh = graph_of(lambda g, x: g.call_function(torch.tanh, (x,)))
    assert key(relu[0]) == key(relu[1]) != key(tanh)


def test_functions_of_users_may_be_called_the_same() -> None:
    """Their names are all that a graph has of them."""
    functions = [times(2), times(3)]
    assert functions[0].__qualname__ == functions[1].__qualname__
    found = [key(graph_of(lambda g, x, f=f: g.call_function(f, (x,)))) for f in functions]
    assert found[0] != found[1]


def test_modules_may_be_called_the_same() -> None:
    """Parameters do not say what a module does with them."""
    pools = [{"pool": torch.nn.AvgPool2d(size)} for size in (1, 2)]
    found = [key(graph_of(lambda g, x: g.call_module("pool", (x,)), modules)) for modules in pools]
    assert found[0] != found[1]


def test_graphs_in_graphs_are_part_of_it() -> None:
    """At any depth."""

    def inside(function: Any, depth: int) -> Any:
        graph = graph_of(lambda g, x: g.call_function(function, (x,)))
        for _ in range(depth):
            graph = graph_of(lambda g, x: g.call_function(torch.relu, (g.get_attr("inner"),)), {"inner": graph})
        return graph

    for depth in (1, 2):
        same, other, another = (key(inside(one, depth)) for one in (torch.relu, torch.relu, torch.tanh))
        assert same == other != another


def test_what_is_set_for_all_is_part_of_it() -> None:
    graph = graph_of(lambda g, x: g.call_function(torch.relu, (x,)))
    before = key(graph)
    with torch.autocast("cpu", torch.bfloat16):
        assert key(graph) != before
    torch.set_default_dtype(torch.float64)
    try:
        assert key(graph) != before
    finally:
        torch.set_default_dtype(torch.float32)
    assert key(graph) == before


def test_where_inputs_lie_is_no_part() -> None:
    """They are made compact, and a graph is not tuned again for that; unless it looks at how they lie."""
    apart = torch.ones(3, 2).T
    relu = graph_of(lambda g, x: g.call_function(torch.relu, (x,)))
    strided = graph_of(lambda g, x: g.call_function(torch.as_strided, (x, (2, 2), (1, 1))))
    assert graph_key(relu, {}, [X], None) == graph_key(relu, {}, [apart], None)
    assert graph_key(relu, {}, [X], None) != graph_key(relu, {}, [torch.ones(3, 2)], None)
    assert graph_key(strided, {}, [X], None) != graph_key(strided, {}, [apart], None)
