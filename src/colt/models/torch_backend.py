"""``torch.compile(model, backend="colt", options={"minutes": 10})``.

PyTorch cuts what the model does into graphs, and gives each to :func:`backend`. Parameters and buffers become
constants; the others are the compiled model's inputs. Neither inputs nor outputs are copied. A graph that cannot be
compiled runs in PyTorch, with a warning; :func:`colt.torch_report` says which do, why, and what they take.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch

from colt.errors import InputError
from colt.models.compile import compile_model
from colt.models.compiled import CompiledModel
from colt.models.options import CompileOptions
from colt.models.torch_keys import graph_key
from colt.models.torch_report import GraphReport, torch_report
from colt.tvm.models.library import ALIGNMENT
from colt.util.declared import options_of
from colt.util.text import did_you_mean, named_line

Tensor = Any
_COMPILED: weakref.WeakValueDictionary[str, CompiledModel] = weakref.WeakValueDictionary()
"""By their keys, as long as something uses them."""


MOST_VARIANTS = 64
"""Sets of parameters that one graph is compiled for."""
_GRADIENTS = "gradients are wanted: call the model under torch.no_grad() or torch.inference_mode()"
_CHANGED = "its parameters were changed after it was compiled: compile the model again"
_MANY = f"it has been compiled for {MOST_VARIANTS} sets of parameters already"


class LeftToTorch(Exception):
    """The graph is left to PyTorch; the text says why."""


def backend(
    graph: Any, example_inputs: Sequence[Any], *, options: Mapping[str, Any] | None = None, mode: str | None = None
) -> Callable[..., Any]:
    """Compile a graph of PyTorch's, or leave it to PyTorch. Raises :class:`InputError` for options that are none."""
    chosen = _options(options or {}, mode)
    gradients = torch.is_grad_enabled() and any(getattr(one, "requires_grad", False) for one in example_inputs)
    compiled = _Compiled(graph, example_inputs, chosen)
    first = compiled.variant(example_inputs, _GRADIENTS if gradients else "")
    return first.call if first.entry.reason else compiled


def _options(given: Mapping[str, Any], mode: str | None) -> CompileOptions:
    if mode is not None:
        raise InputError(
            f"the backend colt has no modes, such as {mode!r}; it takes options, such as {{'minutes': 10}}"
        )
    known = options_of(CompileOptions)
    for name in given:
        if name not in known:
            raise InputError(f"the backend colt has no option {name!r}; {did_you_mean(name, list(known))}")
    return CompileOptions(**given)


@contextmanager
def _outside_of_tracing() -> Iterator[None]:
    """The graph is compiled while PyTorch traces; what is done for it must not be traced."""
    from torch._guards import tracing
    from torch._subclasses.fake_tensor import unset_fake_temporarily

    with tracing(None), unset_fake_temporarily(), torch.inference_mode(False), torch.no_grad():
        yield


class _Compiled:
    """A graph, called as PyTorch calls it: with parameters and inputs, in the order of the graph's.

    PyTorch gives one graph to modules of one kind, with the parameters of each in turn; it is compiled for each.
    """

    def __init__(self, graph: Any, examples: Sequence[Any], options: CompileOptions) -> None:
        places = [node for node in graph.graph.nodes if node.op == "placeholder"]
        static = [_static(node, value) for node, value in zip(places, examples, strict=True)]
        self._graph, self._options = graph, options
        self._constants = [number for number, constant in enumerate(static) if constant]
        self._inputs = [number for number, constant in enumerate(static) if not constant]
        self._variants: dict[tuple[int, ...], _Variant] = {}
        """By the identities of the constants, which they keep."""
        self._last: _Variant | None = None

    def __call__(self, *arguments: Any) -> Any:
        """The outputs for the graph's inputs."""
        variant = self._last
        if variant is None or not variant.takes(arguments):
            key = tuple(id(arguments[number]) for number in self._constants)
            variant = self._last = self._variants.get(key) or self.variant(arguments)
        return variant.call(*arguments)

    def variant(self, arguments: Sequence[Any], refused: str = "") -> _Variant:
        """The graph compiled for the constants among the arguments, or left to PyTorch; the reason may be known."""
        entry = torch_report().new(sum(node.op.startswith("call") for node in self._graph.graph.nodes))
        constants = {number: arguments[number] for number in self._constants}
        refused = refused or (_MANY if len(self._variants) >= MOST_VARIANTS else "")
        try:
            with _outside_of_tracing():
                call = self._bound(arguments, constants, entry, refused)
        except Exception as error:  # noqa: BLE001 - PyTorch runs whatever cannot be compiled
            call = _left(self._graph, entry, _reason(error))
        found = _Variant(list(constants.items()), entry, call)
        return self._variants.setdefault(tuple(map(id, constants.values())), found)

    def _bound(
        self, arguments: Sequence[Any], constants: Mapping[int, Tensor], entry: GraphReport, refused: str
    ) -> Callable[..., Any]:
        """Raises :class:`LeftToTorch` or :class:`InputError` for what has to run in PyTorch."""
        if refused:
            raise LeftToTorch(refused)
        _require_plain(arguments)
        if not self._inputs:
            raise LeftToTorch("it has no inputs beside parameters")
        _require_own_outputs(self._graph, arguments)
        inputs = [arguments[number].detach() for number in self._inputs]
        key = graph_key(self._graph, constants, inputs, self._options)
        model = _COMPILED.get(key)
        entry.again = model is not None
        if model is None:
            model = compile_model(TorchGraph(self._graph, constants), tuple(inputs), self._options)
            _require_right(model)
            _COMPILED[key] = model
        entry.model = model.report
        return _calling(model, self._graph, list(constants.values()), self._inputs, entry)


@dataclass(frozen=True, slots=True)
class _Variant:
    """A graph with some parameters."""

    constants: Sequence[tuple[int, Tensor]]
    """Each with its number among the arguments."""
    entry: GraphReport
    call: Callable[..., Any]

    def takes(self, arguments: Sequence[Any]) -> bool:
        """Whether the arguments have these parameters."""
        return all(arguments[number] is constant for number, constant in self.constants)


def _calling(
    model: CompiledModel, graph: Any, constants: Sequence[Tensor], inputs: Sequence[int], entry: GraphReport
) -> Callable[..., Any]:
    """The compiled model as the graph; in PyTorch from when on parameters are written to, or where inputs hold no
    numbers."""
    states = list(map(_state, constants))
    single = not isinstance(graph.graph.output_node().args[0], tuple | list)
    left: Callable[..., Any] | None = None

    def call(*arguments: Any) -> Any:
        nonlocal left
        if left is None and list(map(_state, constants)) != states:
            left = _left(graph, entry, _CHANGED)
        if left is not None:
            return left(*arguments)
        given = [arguments[number] for number in inputs]
        if any(type(tensor) not in _PLAIN for tensor in given):
            return graph.forward(*arguments)
        found = model.library.call(*map(_ready, given))
        outputs = [one if isinstance(one, torch.Tensor) else torch.from_dlpack(one) for one in found]
        return outputs[0] if single else outputs

    return call


def _left(graph: Any, entry: GraphReport, reason: str) -> Callable[..., Any]:
    """The graph in PyTorch from now on, with a warning; the time it takes is kept."""
    entry.reason = reason
    warnings.warn(f"colt leaves {entry.title} to PyTorch: {reason}", stacklevel=2)
    forward = graph.forward

    def call(*arguments: Any) -> Any:
        started = perf_counter()
        try:
            return forward(*arguments)
        finally:
            entry.calls += 1
            entry.seconds += perf_counter() - started

    return call


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, LeftToTorch | InputError) else named_line(error)


_PLAIN = (torch.Tensor, torch.nn.Parameter)
"""Tensors that are nothing else besides, such as fakes that a tracer sends through."""


class TorchGraph(torch.nn.Module):  # type: ignore[misc]
    """A graph with some of its inputs made constants."""

    def __init__(self, graph: Any, constants: Mapping[int, Tensor]) -> None:
        super().__init__()
        self.graph, self._places = graph, constants.keys()
        for place, value in constants.items():
            self.register_buffer(f"constant{place}", value.detach())

    def forward(self, *inputs: Any) -> Any:
        """The graph's outputs. Operator by operator, so that an export knows the lines of the model's own code."""
        left, count = iter(inputs), len(inputs) + len(self._places)
        given = [getattr(self, f"constant{n}") if n in self._places else next(left) for n in range(count)]
        with torch.fx.traceback.preserve_node_meta():
            return torch.fx.Interpreter(self.graph).run(*given)


def _static(node: Any, value: Tensor) -> bool:
    """Whether the input is the same tensor in every call."""
    return isinstance(value, torch.nn.Parameter) or "_dynamo_static_input_type" in node.meta.get("tensor_dict", {})


def _state(constant: Tensor) -> tuple[int, int]:
    """What changes where a parameter is written to, or given other memory."""
    return constant.data_ptr(), 0 if constant.is_inference() else constant._version


def _require_plain(examples: Sequence[Any]) -> None:
    for value in examples:
        if not isinstance(value, torch.Tensor):
            raise LeftToTorch("one of its sizes is symbolic: use torch.compile(..., dynamic=False)")
        if any(not isinstance(extent, int) for extent in value.shape):
            raise LeftToTorch("an input has a symbolic size: use torch.compile(..., dynamic=False)")
        if value.device.type != "cpu":
            raise LeftToTorch(f"a tensor of it is on {value.device}; colt compiles for the CPU")
        if type(value) not in _PLAIN and not isinstance(value, torch.nn.Buffer):
            raise LeftToTorch(f"a tensor of it is a {type(value).__name__}")


def _require_own_outputs(graph: Any, examples: Sequence[Tensor]) -> None:
    """Raises :class:`LeftToTorch` if outputs share memory with inputs or each other, which those of a compiled model
    never do."""
    copies = [x.detach().clone(memory_format=torch.preserve_format) for x in examples]
    with torch.random.fork_rng(devices=[]):
        found = graph.forward(*copies)
    outputs = [one for one in (found if isinstance(found, tuple | list) else [found]) if one is not None]
    if any(not isinstance(one, torch.Tensor) for one in outputs):
        raise LeftToTorch("an output is no tensor")
    places = [one.untyped_storage().data_ptr() for one in (*copies, *outputs)]
    if len(set(places[len(copies) :])) < len(outputs) or set(places[: len(copies)]) & set(places[len(copies) :]):
        raise LeftToTorch("outputs share memory with inputs or with each other")


def _require_right(model: CompiledModel) -> None:
    verdict = model.report.compared
    if verdict is not None and not verdict.ok:
        worst = max(verdict.errors, default=float("inf"))
        raise LeftToTorch(
            f"it does not compute what PyTorch computes: error {worst:.2g} of {verdict.tolerance:.2g} allowed"
        )


def _ready(tensor: Tensor) -> Tensor:
    """As kernels take it: compact, and aligned."""
    if tensor.requires_grad:
        tensor = tensor.detach()
    if not tensor.is_contiguous():
        return tensor.contiguous()
    return tensor.clone() if tensor.data_ptr() % ALIGNMENT else tensor
