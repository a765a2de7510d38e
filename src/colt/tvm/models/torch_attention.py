"""Attention in exported programs, as Relax takes it: masks of floats, four axes, equally many heads everywhere."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.fx.node import map_arg

from colt.tvm.models.torch_constants import Constants

_OPERATOR = "scaled_dot_product_attention"
_MASK = 3
"""The mask's place among the arguments."""
_AXES = 4
_LEAST = {torch.float16: -6e4}
"""What a masked score becomes, where -1e30 is none of the type's numbers."""
aten = torch.ops.aten


def simplify_attention(program: Any) -> None:
    """Rewrite every attention of a decomposed program."""
    graph, masks = program.graph_module.graph, _Masks(program)
    for node in [n for n in graph.nodes if _OPERATOR in str(n.target)]:
        with graph.inserting_before(node):
            mask, seeing = masks.of(node)
            node.args = (*node.args[:_MASK], mask, *node.args[_MASK + 1 :])
            named = dict(node.kwargs)
            named.pop("attn_mask", None)
            if named.pop("enable_gqa", False):
                node.args = (node.args[0], *_repeated(graph, node), *node.args[_MASK:])
            node.kwargs = named
            node.args = (*_spread(graph, node), *node.args[_MASK:])
            if seeing is not None or len(node.meta["val"].shape) == _AXES - 1:
                _replace(graph, node, seeing)
    graph.eliminate_dead_code()
    program.graph_module.recompile()


class _Masks:
    """What attentions are masked with, and which of their rows see anything."""

    def __init__(self, program: Any) -> None:
        self._graph = program.graph_module.graph
        self._constants = Constants(program)
        self._seeing: dict[Any, Any] = {}

    def of(self, node: Any) -> tuple[Any, Any]:
        """The mask as floats of four axes, ``None`` if it is constant and all true; and for each row whether it sees
        anything, ``None`` if all are known to."""
        mask = node.args[_MASK] if len(node.args) > _MASK else node.kwargs.get("attn_mask")
        if mask is None:
            return None, None
        value, is_bool = self._constants.value(mask), mask.meta["val"].dtype is torch.bool
        if is_bool and value is not None and bool(value.all()):
            return None, None
        heads = len(node.meta["val"].shape) == _AXES
        floats = _as_floats(self._graph, mask, node.meta["val"].dtype) if is_bool else mask
        all_see = value is not None and bool((value if is_bool else value != -math.inf).any(-1).all())
        return _of_four_axes(self._graph, floats, heads), None if all_see else self._rows(mask, is_bool, heads)

    def _rows(self, mask: Any, is_bool: bool, heads: bool) -> Any:
        """For each row whether the mask is true anywhere, or above minus infinity; once for all layers."""
        if (mask, heads) not in self._seeing:
            places = mask if is_bool else _call(self._graph, aten.ne.Scalar, mask, -math.inf)
            found = _call(self._graph, aten.any.dim, _of_four_axes(self._graph, places, heads), -1, True)
            self._seeing[mask, heads] = found
        return self._seeing[mask, heads]


def _of_four_axes(graph: Any, mask: Any, heads: bool) -> Any:
    """A mask with axes for images and heads; it may have one for images alone if the attention has no ``heads``."""
    if not heads and len(mask.meta["val"].shape) == _AXES - 1:
        mask = _call(graph, aten.unsqueeze.default, mask, 1)
    while len(mask.meta["val"].shape) < _AXES:
        mask = _call(graph, aten.unsqueeze.default, mask, 0)
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


def _spread(graph: Any, node: Any) -> list[Any]:
    """Queries, keys and values for equally many images and heads: one may be for all of the others."""
    *outer, _, _ = node.meta["val"].shape
    found = []
    for operand in node.args[:_MASK]:
        *own, rows, width = operand.meta["val"].shape
        found.append(operand if own == outer else _call(graph, aten.expand.default, operand, [*outer, rows, width]))
    return found


def _replace(graph: Any, node: Any, seeing: Any) -> None:
    """Attention without heads as that of one head; and 0 for rows that see nothing, as in PyTorch: of scores that are
    all the least, a softmax makes equal shares."""
    alone = len(node.meta["val"].shape) == _AXES - 1
    wide = [_call(graph, aten.unsqueeze.default, one, 1) if alone else one for one in node.args[:_MASK]]
    found = graph.call_function(node.target, (*wide, *node.args[_MASK:]), dict(node.kwargs))
    found.meta = {**node.meta, "val": node.meta["val"].unsqueeze(1) if alone else node.meta["val"]}
    if seeing is not None:
        zero = graph.call_function(aten.full.default, ([], 0.0), {"dtype": node.meta["val"].dtype})
        zero.meta["val"] = node.meta["val"].new_empty([])
        found = _call(graph, aten.where.self, seeing, found, zero)
    node.replace_all_uses_with(_call(graph, aten.squeeze.dim, found, 1) if alone else found)
    graph.erase_node(node)


def _call(graph: Any, operator: Any, *args: Any) -> Any:
    """A new node, with what it gives."""
    node = graph.call_function(operator, args)
    node.meta["val"] = operator(*map_arg(args, lambda one: one.meta["val"]))
    return node
