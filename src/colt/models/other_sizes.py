"""A model for the sizes that it is not tuned for: the same operators, with sizes that are known in a call only.

It is never wrong. It is compared with the original for sizes outside of the bucket: one next to the largest, which is
odd as a rule and divides nothing, and where the original takes them, 1 and twice the largest. It takes sizes from the
smallest to the largest that were compared. If the original refuses the one next to the largest, it may take some sizes
and not others, and there is no such model; nor if TVM cannot compile it, or if it computes something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import msgspec

from colt.errors import InputError
from colt.models.compile import bare_manifest
from colt.models.compiled import CompiledModel
from colt.models.judge import verified
from colt.models.manifest import ComparedPart, TensorPart
from colt.models.options import CompileOptions
from colt.models.sized import in_words
from colt.plan import device_of
from colt.tvm.models.assembly import assemble
from colt.tvm.models.fused import fused
from colt.tvm.models.graph import Graph, OpenModel
from colt.tvm.models.layouts import CHANNELS_LAST
from colt.tvm.models.library import ModelLibrary, bytes_of, write_library
from colt.tvm.models.open_shapes import output_shapes, without_bounds
from colt.tvm.models.quantised import with_integer_products
from colt.tvm.models.untuned import on_all_threads
from colt.util.text import counted, named_line

PATIENCE_SECONDS = 2.0
"""Twice the largest size is tried only if a call of about the largest takes no longer."""


@dataclass(frozen=True, slots=True)
class OtherSizes:
    """A model for other sizes, or why there is none."""

    messages: tuple[str, ...]
    model: CompiledModel | None = None
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def compile_others(
    source: OpenModel, options: CompileOptions, tell: Callable[[str], object] = lambda stage: None
) -> OtherSizes:
    """A model for sizes beside those of the options. ``tell`` is told what it is at, for a process that TVM may end."""
    given = options.sizes or {}
    next_to = {name: _next_to(sizes) for name, sizes in given.items()}
    try:
        tell("while it imports the model")
        graph = with_integer_products(source.opened(next_to))
        tell("while it compiles the model")
        model, left = _compiled(graph, source, options)
        found = _Comparison(source, graph, model, options.products, tell)
        limits = _limits(found, given, next_to)
    except InputError as error:
        return OtherSizes((f"other sizes are refused: {error}",))
    notes = [f"one thread alone runs {counted(left, 'nest')} of loops"] if left else []
    worst = max(found.verdicts, key=lambda one: one.worst)
    model.manifest = msgspec.structs.replace(model.manifest, compared=worst, messages=(*graph.notes, *notes))
    return OtherSizes((), model, limits)


def _next_to(sizes: Sequence[int]) -> int:
    """A size next to the largest that is none of them, and not 1, which tensors of other sizes may be spread along."""
    largest = max(sizes)
    return largest - 1 if largest > 2 and largest - 1 not in sizes else largest + 1


def _compiled(graph: Graph, source: OpenModel, options: CompileOptions) -> tuple[CompiledModel, int]:
    """The model with plain schedules, and how many nests of loops have none. Raises :class:`InputError`."""
    device = device_of(replace(options, fleet=None, fleet_cpu=None).tune_options(1))  # nothing of it is measured
    outputs = output_shapes(graph.module["main"])
    module = fused(without_bounds(graph.module), device.target, CHANNELS_LAST, options.products)
    try:
        scheduled, left = on_all_threads(module)
        assembled = assemble(scheduled, [], {}, device.target)
        content = write_library(assembled.executable)
        library = ModelLibrary(content, assembled.weights, device.threads, assembled.outputs)
    except Exception as error:  # noqa: BLE001 - passes of TVM raise what they like
        raise InputError(f"TVM cannot compile it: {named_line(error)}") from None
    names = graph.outputs or [f"output{number}" for number in range(1, len(outputs) + 1)]
    parts = zip(graph.inputs, source.axes, graph.example, strict=True)
    manifest = bare_manifest(
        graph,
        inputs=tuple(TensorPart(name=name, shape=axes, dtype=str(one.dtype)) for name, axes, one in parts),
        outputs=tuple(
            TensorPart(name=name, shape=shape, dtype=dtype) for name, (shape, dtype) in zip(names, outputs, strict=True)
        ),
        weights=assembled.weights,
        device=device,
        products=options.products,
    )
    return CompiledModel(manifest, content, [bytes_of(one) for one in assembled.weights], library), left


class _Comparison:
    """The model held against the original."""

    def __init__(
        self, source: OpenModel, graph: Graph, model: CompiledModel, products: str, tell: Callable[[str], object]
    ) -> None:
        self._source, self._graph, self._call, self._tell = source, graph, model.library, tell
        self._products = products or graph.narrow
        self.verdicts = list[ComparedPart]()
        self.against = graph.against
        self.compares = graph.reference is not None

    def takes(self, sizes: Mapping[str, int]) -> bool:
        """Whether the original takes these sizes. Raises :class:`InputError` if the model computes something else."""
        assert self._graph.reference is not None
        self._tell(f"while it compares the model for {in_words(sizes)}")
        try:
            example = self._source.example(sizes)
            expected = self._graph.reference(example)
        except Exception:  # noqa: BLE001 - PyTorch and ONNX Runtime raise what they like
            return False
        try:
            found = [one.numpy() for one in self._call(*example)]
        except Exception as error:  # noqa: BLE001 - TVM, too
            raise InputError(f"it fails for {in_words(sizes)}: {named_line(error)}") from None
        verdict = verified(found, expected, self._graph.against, self._products)
        if not verdict.ok:
            raise InputError(f"it computes something else for {in_words(sizes)}: {verdict.in_words}")
        self.verdicts.append(verdict)
        return True

    def seconds(self, sizes: Mapping[str, int]) -> float:
        """How long a call takes."""
        example, started = self._source.example(sizes), perf_counter()
        self._call(*example)
        return perf_counter() - started


def _limits(
    found: _Comparison, given: Mapping[str, Sequence[int]], next_to: Mapping[str, int]
) -> dict[str, tuple[int, int]]:
    """The smallest and the largest of each size that the model was compared for. Raises :class:`InputError`."""
    if not found.compares:
        raise InputError("there is nothing to compare them with")
    if not found.takes(next_to):
        raise InputError(f"{found.against} takes none with {in_words(next_to)}, and may take others or not")
    limits = dict[str, tuple[int, int]]()
    quick = found.seconds(next_to) < PATIENCE_SECONDS
    for name, sizes in given.items():
        ends = [min(sizes), max(*sizes, next_to[name])]
        wider = [1, 2 * max(sizes) if quick else ends[1]]
        for place, size in enumerate(wider):
            if size != ends[place] and found.takes({**next_to, name: size}):
                ends[place] = size
            elif not found.takes({**next_to, name: ends[place]}):
                raise InputError(f"{found.against} takes none with {in_words({**next_to, name: ends[place]})}")
        limits[name] = ends[0], ends[1]
    return limits
