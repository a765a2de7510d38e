"""ONNX Runtime. Needs the extra ``onnx``.

A workload's graph is written in ONNX's own words, with the operators that ONNX Runtime's quantiser would leave. What is
constant is part of the model, so that it is packed once; what is not is bound in place, so that a call copies nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import onnxruntime
from onnx import numpy_helper, parser

from colt.bench.contenders.contender import Array, Contender, Maker, NotApplicable
from colt.bench.contenders.messages import Settings
from colt.bench.contenders.onnx_graphs import GRAPHS, OnnxGraph, element_type

RESULT = "Y"
_HEADER = '<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>'


def makers(settings: Settings, inputs: Sequence[Array]) -> Iterator[tuple[str, Maker]]:
    """The maker of the one contender."""
    for member in settings.members:
        yield member.name, partial(_make, settings, inputs)


def _make(settings: Settings, inputs: Sequence[Array]) -> Contender:
    from colt.tvm.programs import workloads

    if settings.workload not in GRAPHS:
        raise NotApplicable(f"ONNX Runtime has nothing for {settings.workload}")
    graph = GRAPHS[settings.workload](*inputs)
    output = workloads.get(settings.workload).arguments(settings.size)[-1]
    session = onnxruntime.InferenceSession(
        _model(graph, output.dtype, output.shape), _options(settings.threads), providers=["CPUExecutionProvider"]
    )
    binding = session.io_binding()
    for name, array in graph.given.items():
        binding.bind_cpu_input(name, array)
    binding.bind_output(RESULT, "cpu")

    def call() -> None:
        session.run_with_iobinding(binding)

    return Contender(call, lambda _: binding.copy_outputs_to_cpu()[0])


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return options


def _model(graph: OnnxGraph, dtype: str, shape: Sequence[int]) -> bytes:
    """The model that computes the graph."""
    given = ", ".join(_declared(name, array.dtype.name, array.shape) for name, array in graph.given.items())
    result = _declared(RESULT, dtype, shape)
    model = parser.parse_model(f"{_HEADER} workload ({given}) => ({result}) {{ {graph.nodes} }}")
    model.graph.initializer.extend(numpy_helper.from_array(*reversed(one)) for one in graph.constants.items())
    serialised: bytes = model.SerializeToString()
    return serialised


def _declared(name: str, dtype: str, shape: Sequence[int]) -> str:
    return f"{element_type(dtype)}[{', '.join(map(str, shape))}] {name}"
