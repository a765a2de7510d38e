"""Whole models: those that COLT compiled, and what others make of the original."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from colt.bench.contenders.contender import Array, Contender, Maker, load_array
from colt.bench.contenders.messages import Settings
from colt.errors import InputError

_EXPORTED = "original.onnx"
"""A model of PyTorch as others read it: written once, for all of them."""


def makers(settings: Settings, inputs: Sequence[Array]) -> Iterator[tuple[str, Maker]]:
    """The maker of each: those that COLT compiled have their files."""
    for member in settings.members:
        made = partial(_colt, member.module) if member.module else partial(_PEERS[member.name], settings)
        yield member.name, partial(made, inputs)


def _colt(path: str, inputs: Sequence[Array]) -> Contender:
    from colt.models.loading import load

    model = load(Path(path))
    return Contender(lambda: model(*inputs), lambda found: _flat(found if isinstance(found, list) else [found]))


def _torch(settings: Settings, inputs: Sequence[Array], compiled: bool, freezing: bool = False) -> Contender:
    import torch

    from colt.tvm.models.torch_calls import as_array, as_tensor

    torch.set_num_threads(settings.threads)
    module, tensors = _flat_module(settings.workload), [as_tensor(array) for array in inputs]
    if settings.products:
        narrow = getattr(torch, settings.products)
        module = module.to(narrow)
        tensors = [one.to(narrow) if one.dtype == torch.float32 else one for one in tensors]
    if compiled:
        torch._inductor.config.freezing = freezing
        module = torch.compile(module, dynamic=False)

    def call() -> Any:
        with torch.no_grad():
            return module(*tensors)

    return Contender(call, lambda found: _flat([as_array(one) for one in found]))


def _flat_module(source: str) -> Any:
    """The original as a module that takes tensors and returns tensors."""
    from colt.tvm.models.sources import torch_module
    from colt.tvm.models.torch_calls import Flat, at_rest, signature_of

    module, example = torch_module(source)
    return at_rest(Flat(module, signature_of(module, example)))


def _onnx_runtime(settings: Settings, inputs: Sequence[Array]) -> Contender:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = settings.threads, 3
    session = onnxruntime.InferenceSession(_onnx_file(settings), options, providers=["CPUExecutionProvider"])
    given = {one.name: array for one, array in zip(session.get_inputs(), inputs, strict=True)}
    return Contender(lambda: session.run(None, given), _flat)


def _openvino(settings: Settings, inputs: Sequence[Array]) -> Contender:
    import openvino

    core = openvino.Core()
    model = core.read_model(_onnx_file(settings))
    model.reshape({one: list(array.shape) for one, array in zip(model.inputs, inputs, strict=True)})
    options: dict[str, Any] = {"INFERENCE_NUM_THREADS": settings.threads, "PERFORMANCE_HINT": "LATENCY"}
    if any(one.get_element_type() == openvino.Type.f32 for one in (*model.inputs, *model.outputs)):
        # Left alone, it would be bf16 where the processor has that. A model may take integers and return floats.
        options["INFERENCE_PRECISION_HINT"] = "bf16" if settings.products == "bfloat16" else "f32"
    request = core.compile_model(model, "CPU", options).create_infer_request()
    count = len(model.outputs)

    def call() -> Any:
        return request.infer(list(inputs), share_inputs=True, share_outputs=True)

    return Contender(call, lambda found: _flat([found[number] for number in range(count)]))


def _onnx_file(settings: Settings) -> str:
    """The original as a file of ONNX; a model of PyTorch is exported."""
    if Path(settings.workload).suffix == ".onnx":
        return settings.workload
    path = Path(settings.folder) / _EXPORTED
    if not path.exists():
        import torch

        from colt.tvm.models.torch_calls import as_tensor

        tensors = tuple(as_tensor(load_array(one)) for one in settings.inputs)
        with torch.no_grad():
            torch.onnx.export(_flat_module(settings.workload), tensors, str(path), dynamo=True, verbose=False)
    if not path.exists():
        raise InputError("the model cannot be exported to ONNX")
    return str(path)


def _flat(outputs: Sequence[Any]) -> Array:
    """All outputs, one after the other."""
    return np.concatenate([np.asarray(one).astype(np.float64).reshape(-1) for one in outputs])


_PEERS: dict[str, Callable[..., Contender]] = {
    "torch": partial(_torch, compiled=False),
    "torch.compile": partial(_torch, compiled=True),
    "torch.compile-freezing": partial(_torch, compiled=True, freezing=True),
    "ort": _onnx_runtime,
    "openvino": _openvino,
}
