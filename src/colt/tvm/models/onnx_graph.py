"""Models of ONNX: read, checked, and imported by TVM's importer, which names here what it stumbles over.

A file is a stranger's: it is checked by ``onnx`` before anything is made of it, and weights that it keeps elsewhere
have to lie in its own folder.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from tvm import tirx
from tvm.relax.frontend.onnx import onnx_frontend

from colt.errors import InputError
from colt.tvm.models.graph import Array, CannotTell, Graph, Reference
from colt.tvm.models.onnx_inputs import Example, Input, drawn, in_order, inputs_of, resized
from colt.tvm.models.onnx_operators import ADDED, converted, refused
from colt.util.streams import keeping_remarks
from colt.util.text import first_line, named_line, shown, why

_STANDARD = ("", "ai.onnx")
"""Names of the domain of ONNX's own operators."""
_DOMAINS = (*_STANDARD, "com.microsoft")
"""The importer has operators of these, and takes those of all others that are called the same for them."""
_BRANCHES = ("If",)
"""Operators that the importer knows beside those of its table."""
_OF_NUMPY = tuple(
    f"tensor({name})"
    for name in (
        "bool",
        "float",
        "float16",
        "double",
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    )
)
"""Types of tensors that ONNX Runtime takes and gives as arrays of NumPy, as it calls them."""


def from_file(
    path: Path,
    example: Example | None,
    shapes: Mapping[str, Sequence[int]],
    sizes: Mapping[str, int] | None = None,
    opened: Collection[str] = (),
) -> Graph:
    """An ``.onnx`` file. ``shapes`` are those of inputs by name, ``sizes`` those that the file leaves open, by the
    names that it has for them; they are 1 otherwise. ``opened`` are the names of those that stay open.

    Raises :class:`InputError`.
    """
    model = read_model(path)
    inputs, notes = inputs_of(model, shapes, sizes or {}, opened)
    fix_shapes(model, inputs)
    if example is None:
        notes = (*notes, "inputs to compare and to time with were drawn at random")
    given = example_of(model, inputs, example, resizing=bool(sizes))
    _require_fitting(inputs, given)
    reference, why_not = _reference(model, inputs, path)
    if reference is None:
        notes = (*notes, f"outputs are compared with nothing: {why_not}")
    fold_batch_norms(model)
    drop_nothing(model)
    drop_unused_results(model)
    names = tuple(one.name for one in inputs)
    outputs = tuple(one.name for one in model.graph.output)
    return Graph(
        path.stem, _imported(model, path, inputs), names, tuple(given), reference, "ONNX Runtime", outputs, notes
    )


def example_of(model: Any, inputs: Sequence[Input], example: Example | None, resizing: bool) -> Sequence[Array]:
    """Contents for the inputs: the example, made as large as they are if ``resizing``, or drawn if there is none.

    Raises :class:`InputError` for an example that has not one array for each."""
    if example is None:
        return drawn(model, inputs)
    given = in_order([one.name for one in inputs], example)
    if resizing:
        return [resized(array, one.shape) for array, one in zip(given, inputs, strict=True)]
    return given


def read_model(path: Path) -> Any:
    """The model of a file, checked, whose operators the importer knows. Raises :class:`InputError`."""
    model = _read(path)
    _require_known(model, path)
    return model


def _read(path: Path) -> Any:
    """The model of a file, checked. Raises :class:`InputError`."""
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model if _small(model) else str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {why(error)}") from None
    except Exception as error:  # noqa: BLE001 - parsers raise what they like
        raise InputError(f"{path} is not a model of ONNX, or is damaged: {first_line(error)}") from None
    if not model.graph.node:
        raise InputError(f"{path} is not a model of ONNX, or is empty: it has no operators")
    return model


def _small(model: Any) -> bool:
    return bool(model.ByteSize() < onnx.checker.MAXIMUM_PROTOBUF)


def _nodes(graph: Any) -> Iterator[Any]:
    """The graph's nodes, and those of graphs inside of them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") or attribute.graphs else ():
                yield from _nodes(inner)


def _place(node: Any) -> str:
    """A node in words: its name, or what it gives if it has none."""
    return shown(f"node {node.name}" if node.name else f"the node that gives {', '.join(node.output)}")


def _require_known(model: Any, path: Path) -> None:
    known = onnx_frontend._get_convert_map()
    for node in _nodes(model.graph):
        if node.domain not in _DOMAINS or node.op_type not in (*known, *ADDED, *_BRANCHES, "Constant"):
            domain = "" if node.domain in _STANDARD else f"{node.domain}."
            raise InputError(f"{path}: operator {shown(domain + node.op_type)} is not supported, {_place(node)}")


def fix_shapes(model: Any, inputs: Sequence[Input]) -> None:
    """Write the shapes of inputs into the model, where they are fixed; what was known of shapes in between is open
    then."""
    by_name = {one.name: one.axes for one in inputs}
    for value in model.graph.input:
        if value.name in by_name:
            shape = onnx.helper.make_tensor_type_proto(value.type.tensor_type.elem_type, by_name[value.name])
            value.type.CopyFrom(shape)
    del model.graph.value_info[:]


def _require_fitting(inputs: Sequence[Input], example: Sequence[Array]) -> None:
    for one, array in zip(inputs, example, strict=True):
        if tuple(array.shape) != one.shape or array.dtype != one.dtype:
            raise InputError(
                f"input {one.name} is {array.dtype}{list(array.shape)}; it takes {one.dtype}{list(one.shape)}"
                " (--shape gives sizes that the file leaves open)"
            )


def _imported(model: Any, path: Path, inputs: Sequence[Input]) -> Any:
    """The model in Relax, weights as constants. Raises :class:`InputError`, which names operator and node."""
    opset = next((one.version for one in model.opset_import if one.domain in _STANDARD), 1)
    variables = {axis: tirx.Var(axis, "int64") for one in inputs for axis in one.axes if isinstance(axis, str)}
    shapes = {one.name: [variables[axis] if isinstance(axis, str) else axis for axis in one.axes] for one in inputs}
    module, problem = _tried(model, shapes, {one.name: str(one.dtype) for one in inputs}, opset)
    if problem:
        raise InputError(f"{path}{problem}")
    return module


@keeping_remarks()
def _tried(model: Any, shapes: Any, dtypes: Mapping[str, str], opset: int) -> tuple[Any, str]:
    """What the importer makes of the model, or why it makes nothing: the error itself would hold the importer, which
    remarks on standard error that it is gone before it was done."""
    importer = _Importer(shapes, dtypes, False, True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importer.from_onnx(model.graph, opset), ""
    except InputError as error:
        return None, f": {error}"
    except Exception as error:  # noqa: BLE001 - the importer raises what it likes
        return None, f" cannot be imported: {named_line(error)}"


class _Importer(onnx_frontend.ONNXGraphImporter):  # type: ignore[misc]
    def _check_for_unsupported_ops(self, graph: Any) -> None:
        """Nothing: :func:`read_model` has."""

    def _convert_operator(self, op_name: str, inputs: Any, attrs: dict[str, Any], opset: int) -> Any:
        try:
            if why_not := refused(op_name, inputs, attrs):
                raise NotImplementedError(why_not)
            found = converted(op_name, list(inputs), attrs)
            return (
                super()._convert_operator(op_name, inputs, attrs, opset) if found is None else self.bb.normalize(found)
            )
        except Exception as error:  # noqa: BLE001 - the importer raises what it likes
            name = attrs["tvm_custom"]["name"] or "without a name"
            raise InputError(f"operator {op_name} cannot be imported, node {name}: {named_line(error)}") from None


def _reference(model: Any, inputs: Sequence[Input], path: Path) -> tuple[Reference | None, str]:
    """What ONNX Runtime computes; why not, if it cannot. It reads a model of more than 2 GB from its file itself."""
    try:
        import onnxruntime
        from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as Unimplemented
    except ImportError:
        return None, "onnxruntime is not installed"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        source = model.SerializeToString() if _small(model) else str(path)
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - it raises what it likes
        return None, f"ONNX Runtime refuses the model: {first_line(error)}"
    for one in (*session.get_inputs(), *session.get_outputs()):
        if one.type not in _OF_NUMPY:
            return None, f"ONNX Runtime exchanges no arrays of such a type as {one.name} has, {one.type}"

    def compute(arrays: Sequence[Any]) -> list[Any]:
        named = {one.name: array for one, array in zip(inputs, arrays, strict=True)}
        try:
            found: list[Any] = session.run(None, named)
        except Unimplemented as error:
            raise CannotTell(f"ONNX Runtime cannot compute the model: {first_line(error)}") from None
        return found

    return compute, ""


def fold_batch_norms(model: Any) -> None:
    """Multiply the factors of batch norms into the weights of the convolutions before them."""
    graph = model.graph
    weights = {one.name: one for one in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    users = _users(graph)
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        conv = makers.get(norm.input[0])
        if conv is None or conv.op_type != "Conv" or users(norm.input[0]) > 1 or len(norm.output) > 1:
            continue
        names = [conv.input[1], *norm.input[1:5], *conv.input[2:3]]
        if any(name not in weights for name in names) or users(conv.input[1]) > 1:
            continue
        kernel, scale, shift, mean, variance, *bias = (numpy_helper.to_array(weights[name]) for name in names)
        eps = next((one.f for one in norm.attribute if one.name == "epsilon"), 1e-5)
        factor = scale / np.sqrt(variance + eps)
        moved = shift + ((bias[0] if bias else 0) - mean) * factor
        wide = factor.reshape(-1, *[1] * (kernel.ndim - 1))
        weights[conv.input[1]].CopyFrom(numpy_helper.from_array((kernel * wide).astype(kernel.dtype), conv.input[1]))
        name = f"{norm.output[0]}.folded"
        graph.initializer.append(numpy_helper.from_array(moved.astype(kernel.dtype), name))
        conv.input[2:] = [name]
        conv.output[0] = norm.output[0]
        graph.node.remove(norm)


def drop_nothing(model: Any) -> None:
    """Replace dropouts by nothing: a model that is run drops nothing. Those that say otherwise stay."""
    users, weights = _users(model.graph), {one.name: one for one in model.graph.initializer}
    for node in [node for node in _nodes(model.graph) if node.op_type == "Dropout"]:
        training = weights.get(node.input[2]) if len(node.input) > 2 and node.input[2] else False
        if any(users(name) for name in node.output[1:]) or (training is not False and not _is_false(training)):
            continue
        node.op_type = "Identity"
        del node.input[1:], node.output[1:], node.attribute[:]


def drop_unused_results(model: Any) -> None:
    """Leave out the results of normalizations that nobody takes, from the last one on."""
    users = _users(model.graph)
    for node in [node for node in _nodes(model.graph) if node.op_type.endswith("LayerNormalization")]:
        while len(node.output) > 1 and not users(node.output[-1]):
            del node.output[-1]


def _is_false(training: Any) -> bool:
    return training is not None and not numpy_helper.to_array(training).any()


def _users(graph: Any) -> Callable[[str], int]:
    """How often a value is used."""
    counts: dict[str, int] = {}
    for name in (*(name for node in _nodes(graph) for name in node.input), *(one.name for one in graph.output)):
        counts[name] = counts.get(name, 0) + 1
    return lambda name: counts.get(name, 0)
