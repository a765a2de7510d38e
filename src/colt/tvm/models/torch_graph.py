"""Models of PyTorch: exported by ``torch.export``, decomposed as Relax fuses best, and imported.

Batch norms are folded into the convolutions before them here, in milliseconds, which takes TVM's passes 20 s for a
ResNet-50.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from colt.errors import InputError
from colt.tvm.models.graph import Graph
from colt.util.text import first_line

_KEPT = ("scaled_dot_product_attention", "aten.linear", "aten.matmul")
"""Operators that Relax fuses better as a whole."""
_LEAST = -1e30
"""What a masked score becomes."""


def from_module(module: Any, example: Sequence[Any] | None) -> Graph:
    """A module, or a program that was exported. Raises :class:`InputError`."""
    torch = _torch()
    if isinstance(module, torch.export.ExportedProgram):
        return _from_program(module, example, "model")
    if not isinstance(module, torch.nn.Module):
        raise InputError(
            f"a model cannot be a {type(module).__name__}; accepted are a torch.nn.Module, a torch.export program, "
            "and the path of a .pt2 or .onnx file"
        )
    if example is None:
        raise InputError("a torch.nn.Module needs example inputs, such as (torch.randn(1, 3, 224, 224),)")
    module = module.eval()
    try:
        with torch.no_grad():
            program = torch.export.export(module, tuple(example))
    except Exception as error:  # noqa: BLE001 - torch raises what it likes
        raise InputError(f"torch.export refuses the model: {first_line(error)}") from None

    def reference(inputs: Sequence[Any]) -> list[Any]:
        with torch.no_grad():
            return _arrays(module(*map(torch.as_tensor, inputs)))

    name = type(module).__name__
    return _graph(program, name, [_array(one) for one in example], reference)


def from_file(path: Path, example: Sequence[Any] | None) -> Graph:
    """A ``.pt2`` file. Raises :class:`InputError`."""
    torch = _torch()
    try:
        program = torch.export.load(path)
    except Exception as error:  # noqa: BLE001
        raise InputError(f"{path} is not a program of torch.export: {first_line(error)}") from None
    return _from_program(program, example, path.stem)


def _from_program(program: Any, example: Sequence[Any] | None, name: str) -> Graph:
    torch = _torch()
    given = program.example_inputs[0] if example is None and program.example_inputs else example
    if given is None:
        raise InputError(f"{name} has no example inputs: give some")
    module = program.module()

    def reference(inputs: Sequence[Any]) -> list[Any]:
        with torch.no_grad():
            return _arrays(module(*map(torch.as_tensor, inputs)))

    return _graph(program, name, [_array(one) for one in given], reference)


def _graph(program: Any, name: str, example: Sequence[Any], reference: Any) -> Graph:
    torch = _torch()
    from tvm.relax.frontend.torch import from_exported_program

    changed = program.graph_signature
    if changed.buffers_to_mutate or changed.user_inputs_to_mutate:
        raise InputError(f"{name} writes to its inputs or buffers, which is not supported: return what changes")
    fold_batch_norms(program)
    table = torch.export.default_decompositions()
    for op in [op for op in table if any(kept in str(op) for kept in _KEPT)]:
        del table[op]
    try:
        with torch.no_grad():
            program = program.run_decompositions(table)
            simplify_masks(program)
            module = from_exported_program(program, run_ep_decomposition=False, unwrap_unit_return_tuple=True)
    except Exception as error:  # noqa: BLE001
        raise InputError(f"{name} cannot be imported: {first_line(error)}") from None
    return Graph(name, module, tuple(program.graph_signature.user_inputs), tuple(example), reference, "PyTorch")


def fold_batch_norms(program: Any) -> None:
    """Multiply the factors of batch norms into the weights of the convolutions before them."""
    torch = _torch()
    graph, signature, state = program.graph_module.graph, program.graph_signature, program.state_dict
    names = signature.inputs_to_parameters | signature.inputs_to_buffers
    for node in [n for n in graph.nodes if n.target is torch.ops.aten.batch_norm.default]:
        conv, weight, bias, mean, variance, training, _, eps = node.args[:8]
        if training or conv.target is not torch.ops.aten.conv2d.default or len(conv.users) > 1:
            continue
        kernel = conv.args[1]
        if any(n is None or len(n.users) > 1 for n in (kernel, weight, bias)):
            continue
        with torch.no_grad():
            scale = state[names[weight.name]] / torch.sqrt(state[names[variance.name]] + eps)
            shift = state[names[bias.name]] - state[names[mean.name]] * scale
            old = conv.args[2] if len(conv.args) > 2 else None
            if old is not None:
                shift = shift + state[names[old.name]] * scale
            folded = state[names[kernel.name]] * scale[:, None, None, None]
            state[names[kernel.name]] = torch.nn.Parameter(folded, False)
            state[names[bias.name]] = torch.nn.Parameter(shift, False)
        conv.args = (*conv.args[:2], bias, *conv.args[3:])
        node.replace_all_uses_with(conv)
        graph.erase_node(node)
    program.graph_module.recompile()


def simplify_masks(program: Any) -> None:
    """Relax takes masks of attention as floats only; one that is constant and all true is left out."""
    torch = _torch()
    graph = program.graph_module.graph
    for node in [n for n in graph.nodes if "scaled_dot_product_attention" in str(n.target)]:
        mask = node.args[3] if len(node.args) > 3 else node.kwargs.get("attn_mask")
        if mask is None or mask.meta["val"].dtype is not torch.bool:
            continue
        value = _constant(mask, program)
        replaced = None if value is not None and bool(value.all()) else _as_floats(graph, node, mask)
        if len(node.args) > 3:
            node.args = (*node.args[:3], replaced, *node.args[4:])
        else:
            node.kwargs = {**node.kwargs, "attn_mask": replaced}
    graph.eliminate_dead_code()
    program.graph_module.recompile()


def _as_floats(graph: Any, before: Any, mask: Any) -> Any:
    torch = _torch()
    shape = tuple(mask.meta["val"].shape)
    with graph.inserting_before(before):
        zero = graph.call_function(torch.ops.aten.full.default, (shape, 0.0))
        least = graph.call_function(torch.ops.aten.full.default, (shape, _LEAST))
        chosen = graph.call_function(torch.ops.aten.where.self, (mask, zero, least))
        for new in (zero, least, chosen):
            new.meta["val"] = torch.empty(shape, device="meta")
    return chosen


def _constant(node: Any, program: Any) -> Any:
    """The value of a node that depends on no input of the user; ``None`` otherwise."""
    torch = _torch()
    if node.op == "placeholder":
        signature = program.graph_signature
        name = signature.inputs_to_buffers.get(node.name) or signature.inputs_to_parameters.get(node.name)
        if name is not None:
            return program.state_dict.get(name, program.constants.get(name))
        name = signature.inputs_to_lifted_tensor_constants.get(node.name)
        return None if name is None else program.constants[name]
    inputs = {one: _constant(one, program) for one in node.all_input_nodes}
    if node.op != "call_function" or any(value is None for value in inputs.values()):
        return None
    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), lambda one: inputs[one])
    return node.target(*args, **kwargs)


def _arrays(outputs: Any) -> list[Any]:
    torch = _torch()
    leaves = torch.utils._pytree.tree_leaves(outputs)
    return [_array(leaf) for leaf in leaves if isinstance(leaf, torch.Tensor)]


def _array(tensor: Any) -> Any:
    """A tensor as an array; bfloat16, which NumPy does not have, as ``ml_dtypes`` has it."""
    torch = _torch()
    tensor = torch.as_tensor(tensor).detach().contiguous()
    if tensor.dtype is torch.bfloat16:
        import ml_dtypes

        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def _torch() -> Any:
    try:
        import torch
        import torch.export
    except ImportError:
        raise InputError("models of PyTorch need PyTorch: pip install 'colt-tuner[torch]'") from None
    return torch
