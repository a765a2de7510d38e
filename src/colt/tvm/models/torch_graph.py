"""Models of PyTorch: exported by ``torch.export``, decomposed as Relax fuses best, and imported.

Batch norms are folded into the convolutions before them here, in milliseconds, which takes TVM's passes 20 s for a
ResNet-50.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from colt.errors import InputError
from colt.tvm.models.graph import Graph
from colt.util.streams import keeping_remarks
from colt.util.text import first_line

_KEPT = ("scaled_dot_product_attention", "aten.linear", "aten.matmul")
"""Operators that Relax fuses better as a whole."""
_RECURRENT = ("aten.lstm.input", "aten.gru.input", "aten.rnn_tanh.input", "aten.rnn_relu.input")
"""Operators whose arguments 5 and 6 are the share that they drop, and whether they do."""
_EXPORTING = threading.Lock()
"""torch.export keeps what it is at in the process: two at a time leave it unusable."""


def from_module(module: Any, example: Any) -> Graph:
    """A module, or a program that was exported. ``example`` has its arguments in order, or by name in a mapping.

    Raises :class:`InputError`."""
    torch = require_torch()
    if isinstance(module, torch.export.ExportedProgram):
        given = own_example(module) if example is None else example
        return _from_call(module.module(), given, "model")
    if not isinstance(module, torch.nn.Module):
        raise InputError(
            f"a model cannot be of type {type(module).__name__}; accepted are a torch.nn.Module, a torch.export "
            "program, and the path of a .pt2 or .onnx file"
        )
    if example is None:
        raise InputError("a torch.nn.Module needs example inputs, such as (torch.randn(1, 3, 224, 224),)")
    return _from_call(module, example, type(module).__name__)


def from_file(path: Path, example: Any) -> Graph:
    """A ``.pt2`` file. Raises :class:`InputError`."""
    module, own = read_file(path, example)
    return _from_call(module, own, path.stem)


def read_file(path: Path, example: Any = None) -> tuple[Any, Any]:
    """The module of a ``.pt2`` file, and what it is called with: its own example if none is given. Raises
    :class:`InputError`."""
    program = read_program(path)
    return program.module(), own_example(program) if example is None else example


def read_program(path: Path) -> Any:
    """The exported program in a ``.pt2`` file. Raises :class:`InputError`."""
    torch = require_torch()
    try:
        return torch.export.load(path)
    except Exception as error:  # noqa: BLE001
        raise InputError(f"{path} is not a program of torch.export: {first_line(error)}") from None


@contextmanager
def own_warnings_only() -> Iterator[None]:
    """Keeps to itself what PyTorch says of its own code, such as that it uses what will be gone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def own_example(program: Any) -> Any:
    """The inputs that a program was exported with."""
    if program.example_inputs is None:
        raise InputError("the program has no example inputs: give some")
    args, named = program.example_inputs
    if args and named:
        raise InputError("the program takes inputs in order and by name; export it with one of the two")
    return named or args


def _from_call(module: Any, example: Any, name: str) -> Graph:
    """A module as it is called with these inputs."""
    require_torch()
    from colt.tvm.models.torch_calls import signature_of

    return from_signature(module, signature_of(module, example), name)


def from_signature(module: Any, signature: Any, name: str, open_axes: Sequence[Collection[int]] = ()) -> Graph:
    """A module as it is called by the signature. ``open_axes`` are those of its tensors whose sizes stay open, for each
    of them. Raises :class:`InputError`."""
    torch = require_torch()
    from colt.tvm.models.torch_calls import Flat, as_array, as_tensor, evaluating

    flat = Flat(module, signature)
    sizes = [dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for axes in open_axes]
    shapes = {"tensors": tuple(sizes)} if sizes else None
    try:
        with _EXPORTING, torch.no_grad(), evaluating(flat), own_warnings_only():
            program = torch.export.export(flat, signature.tensors, dynamic_shapes=shapes)
    except Exception as error:  # noqa: BLE001 - torch raises what it likes
        raise InputError(f"torch.export refuses the model: {first_line(error)}") from None

    def reference(inputs: Sequence[Any]) -> list[Any]:
        with torch.no_grad(), evaluating(flat):
            return [as_array(one) for one in flat(*map(as_tensor, inputs))]

    module = _imported(program, name, signature.inputs)
    found = tuple(as_array(one) for one in signature.tensors)
    return Graph(name, module, signature.inputs, found, reference, "PyTorch", flat.outputs)


def _imported(program: Any, name: str, inputs: Sequence[str]) -> Any:
    """The program in Relax, weights as constants. Raises :class:`InputError`."""
    torch = require_torch()

    require_function(program, name)
    fold_batch_norms(program)
    table = torch.export.default_decompositions()
    for op in [op for op in table if any(kept in str(op) for kept in _KEPT)]:
        del table[op]
    module, problem = _tried(program, table, inputs)
    if problem:
        raise InputError(f"{name}{problem}")
    return module


@keeping_remarks()
def _tried(program: Any, table: Any, inputs: Sequence[str]) -> tuple[Any, str]:
    """What the importer makes of the program, or why it makes nothing: the error itself would hold the importer, which
    remarks on standard error that it is gone before it was done."""
    torch = require_torch()
    from colt.tvm.models.torch_attention import simplify_attention
    from colt.tvm.models.torch_import import imported

    try:
        with _EXPORTING, torch.no_grad(), own_warnings_only():
            program = program.run_decompositions(table)
            require_no_writes(program, inputs)
            simplify_attention(program)
            return imported(program), ""
    except InputError as error:
        return None, f": {error}"
    except Exception as error:  # noqa: BLE001
        return None, f" cannot be imported: {first_line(error)}"


def require_function(program: Any, name: str) -> None:
    """Raises :class:`InputError` unless the program returns tensors that depend on its inputs alone."""
    from colt.tvm.models.torch_import import place_of

    torch = require_torch()
    if not program.graph_signature.output_specs:
        raise InputError(f"{name} returns no tensor")
    for node in program.graph.nodes:
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) and not _dropout_at_rest(node):
            raise InputError(f"{name}: operator {node.target} draws random numbers, {place_of(node)}")


def require_no_writes(program: Any, inputs: Sequence[str]) -> None:
    """Raises :class:`InputError` if a program, in which nothing is done in place any more, changes what it is given."""
    changed = program.graph_signature
    names = dict(zip(changed.user_inputs, inputs, strict=True))
    written = [name.removeprefix("original.") for name in changed.buffers_to_mutate.values()]
    written += [f"its input {names[name]}" for name in changed.user_inputs_to_mutate.values()]
    if written:
        raise InputError(f"it writes to {', '.join(written)}, which is not supported: return what changes")


def _dropout_at_rest(node: Any) -> bool:
    """Whether a dropout, an attention or a recurrent layer drops nothing, or a leaky ReLU has the slope of its mean."""
    name, arguments = str(node.target), node.args
    if "dropout" in name:
        return len(arguments) > 1 and (arguments[1] == 0 or arguments[-1] is False)
    if "rrelu" in name:
        return not _named(node, "training")
    if name.startswith(_RECURRENT):
        return arguments[5] == 0 or arguments[6] is False
    dropped = arguments[4] if len(arguments) > 4 else node.kwargs.get("dropout_p", 0.0)
    return "scaled_dot_product_attention" in name and dropped == 0


def _named(node: Any, name: str) -> Any:
    """The argument of that name."""
    for number, one in enumerate(node.target._schema.arguments):
        if one.name == name:
            given = node.args[number] if number < len(node.args) else node.kwargs.get(name)
            return one.default_value if given is None else given
    return None


def fold_batch_norms(program: Any) -> None:
    """Multiply the factors of batch norms into the weights of the convolutions before them."""
    torch = require_torch()
    graph, signature, state = program.graph_module.graph, program.graph_signature, program.state_dict
    names = signature.inputs_to_parameters | signature.inputs_to_buffers
    for node in [n for n in graph.nodes if n.target is torch.ops.aten.batch_norm.default]:
        conv, weight, bias, mean, variance, training, _, eps = node.args[:8]
        if training or conv.target is not torch.ops.aten.conv2d.default or len(conv.users) > 1:
            continue
        kernel, old = conv.args[1], conv.args[2] if len(conv.args) > 2 else None
        weights = (kernel, weight, bias, mean, variance, *(() if old is None else (old,)))
        if any(one is None or names.get(one.name) not in state for one in weights):
            continue  # it has none, or somebody computes or gives them
        if any(len(one.users) > 1 for one in (kernel, weight, bias)):
            continue
        with torch.no_grad():
            scale = state[names[weight.name]] / torch.sqrt(state[names[variance.name]] + eps)
            shift = state[names[bias.name]] - state[names[mean.name]] * scale
            if old is not None:
                shift = shift + state[names[old.name]] * scale
            folded = state[names[kernel.name]] * scale[:, None, None, None]
            state[names[kernel.name]] = torch.nn.Parameter(folded, False)
            state[names[bias.name]] = torch.nn.Parameter(shift, False)
        conv.args = (*conv.args[:2], bias, *conv.args[3:])
        node.replace_all_uses_with(conv)
        graph.erase_node(node)
    program.graph_module.recompile()


def require_torch() -> Any:
    """PyTorch. Raises :class:`InputError` where it is not installed."""
    try:
        import torch
        import torch.export
    except ImportError:
        raise InputError("models of PyTorch need PyTorch: pip install 'colt-tuner[torch]'") from None
    return torch
