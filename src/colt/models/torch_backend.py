"""``torch.compile(model, backend="colt", options={"minutes": 10})``.

PyTorch cuts what the model does into graphs, and gives each to :func:`backend`. Parameters and buffers become
constants; the others are the compiled model's inputs. Neither inputs nor outputs are copied. A graph that cannot be
compiled runs in PyTorch, with a warning; :func:`colt.torch_report` says which do, why, and what they take. A graph
whose sizes PyTorch leaves open is compiled for the first sizes that come, and runs in PyTorch with all others.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import torch

from colt.errors import InputError
from colt.models.compile import compile_model
from colt.models.compiled import CompiledModel
from colt.models.options import CompileOptions
from colt.models.torch_breaks import with_breaks_timed
from colt.models.torch_checks import PLAIN, LeftToTorch, require_own_outputs, require_plain, require_right
from colt.models.torch_keys import graph_key
from colt.models.torch_report import GraphReport, torch_report
from colt.tvm.models.library import ALIGNMENT
from colt.util.declared import options_of
from colt.util.text import counted, did_you_mean, named_line

Tensor = Any
_COMPILED: weakref.WeakValueDictionary[str, CompiledModel] = weakref.WeakValueDictionary()
"""By their keys, as long as something uses them."""


MOST_VARIANTS = 64
"""Sets of parameters that one graph is compiled for."""
_GRADIENTS = "gradients are wanted: call the model under torch.no_grad() or torch.inference_mode()"
_CHANGED = "its parameters were changed after it was compiled: compile the model again"
_MANY = f"it has been compiled for {MOST_VARIANTS} sets of parameters already"


SIZES = "sizes"
"""The option that says for how many sizes a graph is compiled whose sizes are open: the first that come. (Of a file,
whose sizes have names, it says for which.)"""


def backend(
    graph: Any, example_inputs: Sequence[Any], *, options: Mapping[str, Any] | None = None, mode: str | None = None
) -> Callable[..., Any]:
    """Compile a graph of PyTorch's, or leave it to PyTorch. Raises :class:`InputError` for options that are none."""
    chosen, sizes = _options(options or {}, mode)
    gradients = torch.is_grad_enabled() and any(getattr(one, "requires_grad", False) for one in example_inputs)
    compiled = _Compiled(graph, example_inputs, chosen, sizes, _GRADIENTS if gradients else "")
    if compiled.is_open:
        return with_breaks_timed(compiled, graph, torch_report())  # for which sizes is known when it is called
    first = compiled.variant(example_inputs)
    return with_breaks_timed(first.call if first.entry.reason else compiled, graph, torch_report())


def _options(given: Mapping[str, Any], mode: str | None) -> tuple[CompileOptions, int]:
    """How graphs are compiled, and for how many sizes those whose sizes are open."""
    if mode is not None:
        raise InputError(
            f"the backend colt has no modes, such as {mode!r}; it takes options, such as {{'minutes': 10}}"
        )
    known = list(options_of(CompileOptions))
    for name in given:
        if name not in known:
            raise InputError(f"the backend colt has no option {name!r}; {did_you_mean(name, known)}")
    sizes = given.get(SIZES, 1)
    if not isinstance(sizes, int) or isinstance(sizes, bool) or not 1 <= sizes <= MOST_VARIANTS:
        raise InputError(f"{SIZES} is {sizes!r}; accepted is a whole number from 1 to {MOST_VARIANTS}")
    return CompileOptions(**{name: value for name, value in given.items() if name != SIZES}), sizes


@contextmanager
def _outside_of_tracing() -> Iterator[None]:
    """The graph is compiled while PyTorch traces; what is done for it must not be traced."""
    from torch._guards import tracing
    from torch._subclasses.fake_tensor import unset_fake_temporarily

    with tracing(None), unset_fake_temporarily(), torch.inference_mode(False), torch.no_grad():
        yield


class _Compiled:
    """A graph, called as PyTorch calls it: with parameters, sizes and inputs, in the order of the graph's.

    PyTorch gives one graph to modules of one kind, with the parameters of each in turn; it is compiled for each.
    """

    def __init__(
        self, graph: Any, examples: Sequence[Any], options: CompileOptions, most_sizes: int, refused: str
    ) -> None:
        places = [node for node in graph.graph.nodes if node.op == "placeholder"]
        static = [_static(node, value) for node, value in zip(places, examples, strict=True)]
        self._graph, self._options, self._most_sizes, self._refused = graph, options, most_sizes, refused
        self._constants = [number for number, constant in enumerate(static) if constant]
        self._sizes = [number for number, value in enumerate(examples) if isinstance(value, torch.SymInt | int)]
        self._inputs = sorted(set(range(len(places))) - set(self._constants) - set(self._sizes))
        self._variants: dict[_Key, _Variant] = {}
        self._last: _Variant | None = None

    @property
    def is_open(self) -> bool:
        """Whether sizes are known in a call only."""
        return bool(self._sizes)

    def __call__(self, *arguments: Any) -> Any:
        """The outputs for the graph's inputs."""
        sizes = self._shapes(arguments) if self._sizes else None
        variant = self._last
        if variant is None or not variant.takes(arguments, sizes):
            variant = self._last = self.variant(arguments)
        return variant.call(*arguments)

    def variant(self, arguments: Sequence[Any]) -> _Variant:
        """The graph compiled for the constants and the sizes among the arguments, or left to PyTorch."""
        own = tuple(id(arguments[number]) for number in self._constants)
        sizes = self._shapes(arguments) if self._sizes else None
        refused = self._refused or (_MANY if len(self._variants) >= MOST_VARIANTS else "")
        found = self._variants.get(_Key(own, sizes))
        if found is None and sizes is not None and self._is_full(own):
            sizes = _OTHERS
            refused = f"it is compiled for {counted(self._most_sizes, 'size')}, of which this is none (option {SIZES})"
            found = self._variants.get(_Key(own, sizes))
        if found is not None:
            return found
        entry = torch_report().new(sum(node.op.startswith("call") for node in self._graph.graph.nodes))
        constants = {number: arguments[number] for number in self._constants}
        try:
            with _outside_of_tracing():
                call = self._bound(arguments, constants, entry, refused)
        except Exception as error:  # noqa: BLE001 - PyTorch runs whatever cannot be compiled
            call = _left(self._graph, entry, _reason(error))
        found = _Variant(list(constants.items()), sizes, entry, call)
        return self._variants.setdefault(_Key(own, sizes), found)

    def _shapes(self, arguments: Sequence[Any]) -> _Sizes:
        return tuple(arguments[n] for n in self._sizes), tuple(arguments[n].shape for n in self._inputs)

    def _is_full(self, constants: tuple[int, ...]) -> bool:
        """Whether the graph has been compiled for as many sizes as it is to be."""
        return sum(key.constants == constants and key.sizes != _OTHERS for key in self._variants) >= self._most_sizes

    def _bound(
        self, arguments: Sequence[Any], constants: Mapping[int, Tensor], entry: GraphReport, refused: str
    ) -> Callable[..., Any]:
        """Raises :class:`LeftToTorch` or :class:`InputError` for what has to run in PyTorch."""
        if refused:
            raise LeftToTorch(refused)
        given = {number: arguments[number] for number in self._sizes}
        require_plain([one for number, one in enumerate(arguments) if number not in given])
        if not self._inputs:
            raise LeftToTorch("it has no inputs beside parameters")
        require_own_outputs(self._graph, arguments)
        inputs = [arguments[number].detach() for number in self._inputs]
        key = graph_key(self._graph, constants, inputs, (self._options, given))
        model = _COMPILED.get(key)
        entry.again = model is not None
        if model is None:
            model = compile_model(TorchGraph(self._graph, {**constants, **given}), tuple(inputs), self._options)
            require_right(model)
            _COMPILED[key] = model
        entry.model = model.report
        return _calling(model, self._graph, list(constants.values()), self._inputs, entry)


_Sizes = tuple[tuple[int, ...], tuple[Any, ...]]
"""The sizes that PyTorch passes along, and the shapes of the inputs."""
_OTHERS: _Sizes = ((), ())
"""All sizes that the graph is not compiled for."""


class _Key(NamedTuple):
    """What of its arguments a graph is compiled for."""

    constants: tuple[int, ...]
    """Their identities: the variant keeps them."""
    sizes: _Sizes | None
    """``None`` for a graph all of whose sizes are fixed."""


@dataclass(frozen=True, slots=True)
class _Variant:
    """A graph with some parameters, and some sizes if it leaves those open."""

    constants: Sequence[tuple[int, Tensor]]
    """Each with its number among the arguments."""
    sizes: _Sizes | None
    entry: GraphReport
    call: Callable[..., Any]

    def takes(self, arguments: Sequence[Any], sizes: _Sizes | None) -> bool:
        """Whether the arguments have these parameters and sizes."""
        return sizes == self.sizes and all(arguments[number] is constant for number, constant in self.constants)


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
        if any(type(tensor) not in PLAIN for tensor in given):
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


class TorchGraph(torch.nn.Module):  # type: ignore[misc]
    """A graph with some of its inputs made constants: tensors, and sizes."""

    def __init__(self, graph: Any, constants: Mapping[int, Tensor | int]) -> None:
        super().__init__()
        self.graph, self._places = graph, constants.keys()
        for place, value in constants.items():
            if isinstance(value, int):
                setattr(self, f"constant{place}", value)
            else:
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


def _ready(tensor: Tensor) -> Tensor:
    """As kernels take it: compact, and aligned."""
    if tensor.requires_grad:
        tensor = tensor.detach()
    if not tensor.is_contiguous():
        return tensor.contiguous()
    return tensor.clone() if tensor.data_ptr() % ALIGNMENT else tensor
