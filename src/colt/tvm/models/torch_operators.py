"""Operators of PyTorch that TVM's importer takes for something else.

It leaves out factors, resizes as other libraries do, reads a grid in another order, and reads what lies before a tensor
at indices that are counted from its end. What these operators compute is here, or why they are refused.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from tvm import relax
from tvm.tirx import IntImm

from colt.tvm.models.exponential_unit import exponential_unit

Conversion = Callable[..., Any]
_ATTENTION = "scaled_dot_product_attention.default"
_OF_FLOAT32 = (torch.float32, torch.float16, torch.bfloat16)
"""Types whose products are summed in float32."""
_NO_MULTIPLES = "its factors make no whole numbers of rows and columns"


def corrected(importer: Any, stock: Mapping[str, Conversion]) -> dict[str, Conversion]:
    """Conversions to take in place of those in ``stock``. They raise ``NotImplementedError`` for what they refuse."""
    ours = _Corrected(importer, stock)
    return {
        "add.Tensor": partial(ours.sum, "add.Tensor", relax.op.add),
        "sub.Tensor": partial(ours.sum, "sub.Tensor", relax.op.subtract),
        **dict.fromkeys(("rsub.Tensor", "rsub.Scalar"), ours.reversed_difference),
        "div.Tensor_mode": ours.quotient,
        **_each(ours.product, "mm.default", "bmm.default", "matmul.default"),
        "linear.default": ours.linear,
        "elu.default": ours.elu,
        "rrelu_with_noise_functional.default": ours.leaky,
        "native_group_norm.default": ours.group_norm,
        _ATTENTION: ours.attention,
        "upsample_nearest2d.vec": ours.nearest,
        **_each(ours.resized, "upsample_bilinear2d.vec", "upsample_bicubic2d.vec"),
        "_upsample_bilinear2d_aa.default": ours.antialiased,
        "grid_sampler_2d.default": ours.grid_sampled,
        **dict.fromkeys(("squeeze.default", "squeeze.dim", "squeeze.dims"), ours.squeezed),
        "select.int": ours.selected,
        "take.default": ours.taken,
        "index.Tensor": ours.indexed,
        **_each(ours.put, "index_put.default", "index_put_.default"),
        **_each(ours.averaged, "avg_pool2d.default", "avg_pool3d.default"),
        **_each(ours.largest, "max_pool2d_with_indices.default", "max_pool3d_with_indices.default"),
    }


def _each(convert: Conversion, *names: str) -> dict[str, Conversion]:
    return {name: partial(convert, name) for name in names}


class _Corrected:
    """The conversions; those of several operators take the name of one first."""

    def __init__(self, importer: Any, stock: Mapping[str, Conversion]) -> None:
        self._importer, self._stock = importer, stock

    def _emit(self, expr: Any) -> Any:
        return self._importer.block_builder.emit(expr)

    # Arithmetic

    def _operands(self, node: Any) -> tuple[Any, Any]:
        """Both operands as tensors of one type."""
        lhs, rhs = self._importer.retrieve_args(node)[:2]
        dtype = (lhs if isinstance(lhs, relax.Expr) else rhs).ty.dtype
        lhs, rhs = (one if isinstance(one, relax.Expr) else relax.const(one, dtype) for one in (lhs, rhs))
        return lhs, rhs

    def _times(self, tensor: Any, factor: float) -> Any:
        return tensor if factor == 1 else self._emit(relax.op.multiply(tensor, relax.const(factor, tensor.ty.dtype)))

    def sum(self, name: str, make: Conversion, node: Any) -> Any:
        """A sum or a difference whose second operand may have a factor."""
        alpha = _argument(node, 2, "alpha", 1)
        if alpha == 1:
            return self._stock[name](node)
        lhs, rhs = self._operands(node)
        return self._emit(make(lhs, self._times(rhs, alpha)))

    def reversed_difference(self, node: Any) -> Any:
        """The second operand less the first, which may have a factor."""
        lhs, rhs = self._operands(node)
        return self._emit(relax.op.subtract(rhs, self._times(lhs, _argument(node, 2, "alpha", 1))))

    def quotient(self, node: Any) -> Any:
        """A quotient that is rounded, or not; that of whole numbers by TVM is what is before the point."""
        lhs, rhs = self._operands(node)
        mode, whole = _argument(node, 2, "rounding_mode", None), "int" in str(lhs.ty.dtype)
        if mode == "floor":
            return self._emit(relax.op.floor_divide(lhs, rhs))
        found = self._emit(relax.op.divide(lhs, rhs))
        return found if mode is None or whole else self._emit(relax.op.trunc(found))

    def product(self, name: str, node: Any) -> Any:
        """A product of matrices, of any type; TVM's are of float32."""
        if node.meta["val"].dtype in _OF_FLOAT32:
            return self._stock[name](node)
        lhs, rhs = self._importer.retrieve_args(node)
        return self._emit(relax.op.matmul(lhs, rhs))

    def linear(self, node: Any) -> Any:
        """The same, with a matrix that is turned round, and something to add."""
        if node.meta["val"].dtype in _OF_FLOAT32:
            return self._stock["linear.default"](node)
        tensor, weight, *bias = self._importer.retrieve_args(node)
        found = self._emit(relax.op.matmul(tensor, self._emit(relax.op.permute_dims(weight))))
        return self._emit(relax.op.add(found, bias[0])) if bias and bias[0] is not None else found

    def elu(self, node: Any) -> Any:
        """An ELU with a factor, as in SELU. A NaN stays one, which TVM's makes 0."""
        if _argument(node, 3, "input_scale", 1) != 1:
            raise NotImplementedError("its input is multiplied by a number first")
        tensor, alpha = self._importer.env[node.args[0]], _argument(node, 1, "alpha", 1)
        return self._times(self._emit(exponential_unit(tensor, alpha)), _argument(node, 2, "scale", 1))

    def leaky(self, node: Any) -> Any:
        """A leaky ReLU whose slope is drawn while it is trained, and is the mean otherwise; and what was drawn."""
        tensor, noise = node.args[:2]
        low, high = _argument(node, 2, "lower", 1 / 8), _argument(node, 3, "upper", 1 / 3)
        if _argument(node, 4, "training", False):
            raise NotImplementedError("it draws its slope")
        found = self._emit(relax.op.nn.leakyrelu(self._importer.env[tensor], (low + high) / 2))
        return self._emit(relax.Tuple([found, self._importer.env[noise]]))

    def group_norm(self, node: Any) -> Any:
        """A norm of groups of channels, which may have no factors and nothing to add."""
        if any(one.target is operator.getitem and one.args[1] > 0 and one.users for one in node.users):
            raise NotImplementedError("it is asked for means and deviations")
        tensor, scale, shift, _, channels, _, groups, epsilon = node.args
        data = self._importer.env[tensor]
        scale, shift = (
            relax.const(np.full(channels, usual), data.ty.dtype) if one is None else self._importer.env[one]
            for one, usual in ((scale, 1), (shift, 0))
        )
        axes = list(range(2, data.ty.ndim))
        return self._emit(relax.op.nn.group_norm(data, scale, shift, groups, 1, axes, epsilon))

    def attention(self, node: Any) -> Any:
        """Attention whose scores have a factor of their own."""
        query = node.args[0].meta["val"]
        scale = node.kwargs.get("scale")
        if scale is None or math.isclose(scale, query.shape[-1] ** -0.5):
            return self._stock[_ATTENTION](node)
        if query.dim() != 4:
            raise NotImplementedError("it has a factor of its own, and neither images nor heads")
        tensors = (self._importer.env[one] for one in node.args[:3])
        query, key, value = (self._emit(relax.op.permute_dims(one, [0, 2, 1, 3])) for one in tensors)
        mask, causal = _argument(node, 3, "attn_mask", None), _argument(node, 5, "is_causal", False)
        how = {"bias": None if mask is None else self._importer.env[mask], "causal_mask": "TopLeft" if causal else None}
        found = self._emit(relax.op.nn.attention(query, key, value, scale=scale, **how))
        return self._emit(relax.op.permute_dims(found, [0, 2, 1, 3]))

    # Images

    def nearest(self, node: Any) -> Any:
        """The pixel before, in PyTorch; TVM's is the nearest one."""
        old, new = _sides(node)
        if all(after % before == 0 for before, after in zip(old, new, strict=True)):
            return self._stock["upsample_nearest2d.vec"](node)
        if _argument(node, 1, "output_size", None) is None:
            raise NotImplementedError(_NO_MULTIPLES)
        how = {"coordinate_transformation_mode": "asymmetric", "rounding_method": "floor"}
        image = self._importer.env[node.args[0]]
        return self._emit(relax.op.image.resize2d(image, tuple(new), method="nearest_neighbor", **how))

    def resized(self, name: str, node: Any) -> Any:
        """By factors as they are given, in PyTorch; TVM's are those of the sizes."""
        factors, old, new = _argument(node, 3, "scale_factors", None), *_sides(node)
        exact = factors is None or all(a * f == b for a, f, b in zip(old, factors, new, strict=True))
        if not exact and not _argument(node, 2, "align_corners", False):
            raise NotImplementedError(_NO_MULTIPLES)
        return self._stock[name](node)

    def antialiased(self, node: Any) -> Any:
        """TVM has it without, which is the same where an image becomes no smaller."""
        old, new = _sides(node)
        if any(after < before for before, after in zip(old, new, strict=True)):
            raise NotImplementedError("it makes an image smaller, of which several pixels become one")
        return self._stock["_upsample_bilinear2d_aa.default"](node)

    def grid_sampled(self, node: Any) -> Any:
        """Coordinates are the last axis of PyTorch's grids, and the second of TVM's."""
        data, grid, how, beyond, corners = self._importer.retrieve_args(node)
        method, ends = ("bilinear", "nearest", "bicubic")[how], ("zeros", "border", "reflection")[beyond]
        coordinates = self._emit(relax.op.permute_dims(grid, [0, 3, 1, 2]))
        given = {"method": method, "padding_mode": ends, "align_corners": corners}
        return self._emit(relax.op.image.grid_sample(data, coordinates, layout="NCHW", **given))

    def averaged(self, name: str, node: Any) -> Any:
        """An average over as many numbers as there are."""
        if _argument(node, 6, "divisor_override", None) is not None:
            raise NotImplementedError("its sums are divided by a number of its own")
        return self._stock[name](node)

    def largest(self, name: str, node: Any) -> Any:
        """The largest numbers, and not where they are."""
        if any(one.target is operator.getitem and one.args[1] == 1 and one.users for one in node.users):
            raise NotImplementedError("it is asked where the largest numbers are")
        if len(node.args) > 2 and not node.args[2]:
            node.args = (*node.args[:2], node.args[1], *node.args[3:])  # windows side by side, which TVM does not take
        return self._stock[name](node)

    def squeezed(self, node: Any) -> Any:
        """Without axes of one, of those that are named; TVM takes none but such."""
        tensor, shape = self._importer.env[node.args[0]], node.args[0].meta["val"].shape
        named = _argument(node, 1, "dim", list(range(len(shape))))
        axes = {axis % len(shape) for axis in ([named] if isinstance(named, int) else named)} if len(shape) else set()
        ones = [axis for axis in sorted(axes) if isinstance(shape[axis], int) and shape[axis] == 1]
        return self._emit(relax.op.squeeze(tensor, ones)) if ones else tensor

    # Indices

    def selected(self, node: Any) -> Any:
        """What lies at one index, which may be counted from the end."""
        tensor, index = self._importer.env[node.args[0]], node.args[2]
        axis = node.args[1] % tensor.ty.ndim
        place = index + tensor.ty.shape[axis] if isinstance(index, int) and index < 0 else index
        if isinstance(place, int | IntImm):
            return self._emit(relax.op.take(tensor, relax.const(int(place), "int64"), axis))
        if place is index:
            raise NotImplementedError("its index depends on values")
        part = self._emit(relax.op.strided_slice(tensor, [axis], [place], [place + 1]))
        return self._emit(relax.op.squeeze(part, [axis]))

    def taken(self, node: Any) -> Any:
        """What lies at indices into all elements, which may be counted from the end."""
        env, (tensor, index) = self._importer.env, node.args
        if not self._may_be_negative(index):
            return self._stock["take.default"](node)
        size = tensor.meta["val"].numel()
        if not isinstance(size, int):
            raise NotImplementedError("its indices may be negative, and several sizes may be meant")
        return self._emit(relax.op.take(env[tensor], self._from_front(env[index], size)))

    def _from_front(self, indices: Any, size: int) -> Any:
        """Indices that may be negative, counted from the front of so many."""
        zero, whole = (relax.const(number, indices.ty.dtype) for number in (0, size))
        return self._emit(relax.op.where(relax.op.less(indices, zero), relax.op.add(indices, whole), indices))

    def put(self, name: str, node: Any) -> Any:
        """Numbers put to places that may be counted from the end."""
        with self._from_the_front(node):
            return self._stock[name](node)

    def indexed(self, node: Any) -> Any:
        """Indices are spread along each other first, unless TVM does what is right without."""
        with self._from_the_front(node):
            given = node.args[1]
            places = [axis for axis, index in enumerate(given) if index is not None]
            shapes = [tuple(given[axis].meta["val"].shape) for axis in places]
            adjacent = places == list(range(places[0], places[0] + len(places)))
            right = len(set(shapes)) == 1 if len(places) == len(given) else adjacent and _is_grid(shapes)
            if len(places) == 1 or right or any(_is_mask(given[axis]) for axis in places):
                return self._stock["index.Tensor"](node)
            return self._spread(node, places, list(torch.broadcast_shapes(*shapes)), places[0] if adjacent else 0)

    def _spread(self, node: Any, places: Sequence[int], common: Sequence[int], first: int) -> Any:
        """What lies at indices along some axes, each of the shape ``common``, whose axes begin at ``first``."""
        data, indices = self._importer.retrieve_args(node)
        others = [axis for axis in range(int(data.ty.ndim)) if axis not in places]
        in_front = self._emit(relax.op.permute_dims(data, [*places, *others]))
        every = [self._emit(relax.op.broadcast_to(indices[axis], common)) for axis in places]
        found = self._emit(relax.op.index_tensor(in_front, every))
        made, rest = list(range(len(common))), list(range(len(common), len(common) + len(others)))
        return self._emit(relax.op.permute_dims(found, [*rest[:first], *made, *rest[first:]]))

    @contextmanager
    def _from_the_front(self, node: Any) -> Iterator[None]:
        """Inside, indices that may be negative are counted from the front."""
        env, before = self._importer.env, dict[Any, Any]()
        for axis, index in enumerate(node.args[1]):
            if index is None or not self._may_be_negative(index):
                continue
            size = node.args[0].meta["val"].shape[axis]
            if index in before or not isinstance(size, int):
                raise NotImplementedError("its indices may be negative, and several sizes may be meant")
            before[index] = env[index]
            env[index] = self._from_front(env[index], size)
        try:
            yield
        finally:
            env.update(before)

    def _may_be_negative(self, index: Any) -> bool:
        if _is_mask(index):
            return False
        value = self._importer.constants.value(index)
        return value is None or bool((value < 0).any())


def _argument(node: Any, number: int, name: str, default: Any) -> Any:
    """An argument by its place or by its name."""
    return node.args[number] if len(node.args) > number else node.kwargs.get(name, default)


def _sides(node: Any) -> tuple[Sequence[int], Sequence[int]]:
    """Rows and columns of an image, and those that it is resized to."""
    return node.args[0].meta["val"].shape[-2:], node.meta["val"].shape[-2:]


def _is_mask(index: Any) -> bool:
    return index.meta["val"].dtype in (torch.bool, torch.uint8)


def _is_grid(shapes: Sequence[Sequence[int]]) -> bool:
    """Whether each index goes along an axis of its own, in their order."""
    rank = max(map(len, shapes))
    padded = [[1] * (rank - len(shape)) + list(shape) for shape in shapes]
    return rank == len(shapes) and all(
        extent == 1 for number, shape in enumerate(padded) for axis, extent in enumerate(shape) if axis != number
    )
