"""Attention in exported programs, as Relax takes it: masks of floats, four axes, equally many heads everywhere."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx.node import map_arg

_OPERATOR = "scaled_dot_product_attention"
_MASK = 3
"""The mask's place among the arguments."""
_AXES = 4
_LEAST = {torch.float16: -6e4}
"""What a masked score becomes, where -1e30 is none of the type's numbers."""
aten = torch.ops.aten


def simplify_attention(program: Any) -> None:
    """Rewrite every attention of a decomposed program."""
    graph = program.graph_module.graph
    for node in [n for n in graph.nodes if _OPERATOR in str(n.target)]:
        with graph.inserting_before(node):
            node.args = (*node.args[:_MASK], _mask(node, program), *node.args[_MASK + 1 :])
            named = dict(node.kwargs)
            named.pop("attn_mask", None)
            if named.pop("enable_gqa", False):
                node.args = (node.args[0], *_repeated(graph, node), *node.args[_MASK:])
            node.kwargs = named
            if len(node.meta["val"].shape) == _AXES - 1:
                _add_heads(graph, node)
    graph.eliminate_dead_code()
    program.graph_module.recompile()


def _mask(node: Any, program: Any) -> Any:
    """The mask as floats of four axes; none if it is constant and all true."""
    mask = node.args[_MASK] if len(node.args) > _MASK else node.kwargs.get("attn_mask")
    if mask is None:
        return None
    if mask.meta["val"].dtype is torch.bool:
        value = _constant(mask, program)
        if value is not None and bool(value.all()):
            return None
        mask = _as_floats(node.graph, mask, node.meta["val"].dtype)
    without_heads = len(node.meta["val"].shape) == _AXES - 1
    if without_heads and len(mask.meta["val"].shape) == _AXES - 1:
        mask = _call(node.graph, aten.unsqueeze.default, mask, 1)
    while len(mask.meta["val"].shape) < _AXES:
        mask = _call(node.graph, aten.unsqueeze.default, mask, 0)
    return mask


def _as_floats(graph: Any, mask: Any, dtype: Any) -> Any:
    """0 where a mask is true, and the least score elsewhere."""
    shape = tuple(mask.meta["val"].shape)
    zero = graph.call_function(aten.full.default, (shape, 0.0), {"dtype": dtype})
    least = graph.call_function(aten.full.default, (shape, _LEAST.get(dtype, -1e30)), {"dtype": dtype})
    chosen = graph.call_function(aten.where.self, (mask, zero, least))
    for new in (zero, least, chosen):
        new.meta["val"] = mask.meta["val"].new_empty(shape, dtype=dtype)
    return chosen


def _repeated(graph: Any, node: Any) -> list[Any]:
    """Keys and values as often as queries share them."""
    heads, found = node.args[0].meta["val"].shape[-3], []
    for operand in node.args[1:_MASK]:
        *outer, few, rows, width = operand.meta["val"].shape
        apart = _call(graph, aten.unsqueeze.default, operand, -3)
        copies = _call(graph, aten.expand.default, apart, [*outer, few, heads // few, rows, width])
        found.append(_call(graph, aten.reshape.default, copies, [*outer, heads, rows, width]))
    return found


def _add_heads(graph: Any, node: Any) -> None:
    """Attention without heads as that of one head."""
    wide = [_call(graph, aten.unsqueeze.default, one, 1) for one in node.args[:_MASK]]
    attended = graph.call_function(node.target, (*wide, *node.args[_MASK:]), dict(node.kwargs))
    attended.meta = {**node.meta, "val": node.meta["val"].unsqueeze(1)}
    node.replace_all_uses_with(_call(graph, aten.squeeze.dim, attended, 1))
    graph.erase_node(node)


def _call(graph: Any, operator: Any, *args: Any) -> Any:
    """A new node, with what it gives."""
    node = graph.call_function(operator, args)
    node.meta["val"] = operator(*map_arg(args, lambda one: one.meta["val"]))
    return node


def _constant(node: Any, program: Any) -> Any:
    """The value of a node that depends on no input of the user; ``None`` otherwise."""
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
    args, kwargs = map_arg((node.args, node.kwargs), lambda one: inputs[one])
    return node.target(*args, **kwargs)
