"""Operators of PyTorch that TVM's importer takes for something else.

It leaves out factors, resizes as other libraries do, and reads a grid in another order. What these operators compute is
here, or why they are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tvm import relax

Conversion = Callable[..., Any]


def corrected(importer: Any, stock: Mapping[str, Conversion]) -> dict[str, Conversion]:
    """Conversions to take in place of those in ``stock``. They raise ``NotImplementedError`` for what they refuse."""

    def emit(expr: Any) -> Any:
        return importer.block_builder.emit(expr)

    def operands(node: Any) -> tuple[Any, Any]:
        """Both operands as tensors of one type."""
        lhs, rhs = importer.retrieve_args(node)[:2]
        tensor = lhs if isinstance(lhs, relax.Expr) else rhs
        lhs, rhs = (one if isinstance(one, relax.Expr) else relax.const(one, tensor.ty.dtype) for one in (lhs, rhs))
        return lhs, rhs

    def times(tensor: Any, factor: float) -> Any:
        return tensor if factor == 1 else emit(relax.op.multiply(tensor, relax.const(factor, tensor.ty.dtype)))

    def with_alpha(name: str, make: Conversion) -> Conversion:
        def converted(node: Any) -> Any:
            alpha = _argument(node, 2, "alpha", 1)
            if alpha == 1:
                return stock[name](node)
            lhs, rhs = operands(node)
            return emit(make(lhs, times(rhs, alpha)))

        return converted

    def reversed_difference(node: Any) -> Any:
        lhs, rhs = operands(node)
        return emit(relax.op.subtract(rhs, times(lhs, _argument(node, 2, "alpha", 1))))

    def elu(node: Any) -> Any:
        scale, of_input = _argument(node, 2, "scale", 1), _argument(node, 3, "input_scale", 1)
        if of_input != 1:
            raise NotImplementedError("its input is multiplied by a number first")
        return times(stock["elu.default"](node), scale)

    def divided(node: Any) -> Any:
        lhs, rhs = operands(node)
        mode, whole = _argument(node, 2, "rounding_mode", None), "int" in str(lhs.ty.dtype)
        if mode == "floor":
            return emit(relax.op.floor_divide(lhs, rhs))
        found = emit(relax.op.divide(lhs, rhs))  # of whole numbers, what is left of the point
        return found if mode is None or whole else emit(relax.op.trunc(found))

    def nearest(node: Any) -> Any:
        x, (*_, rows, columns) = importer.env[node.args[0]], node.meta["val"].shape
        *_, before, across = (int(extent) for extent in x.ty.shape)
        if rows % before == columns % across == 0:
            return stock["upsample_nearest2d.vec"](node)
        if _argument(node, 1, "output_size", None) is None:
            raise NotImplementedError("its factors make no whole multiples of rows and columns")
        how = {"coordinate_transformation_mode": "asymmetric", "rounding_method": "floor"}
        return emit(relax.op.image.resize2d(x, (rows, columns), method="nearest_neighbor", **how))

    def antialiased(node: Any) -> Any:
        old, new = node.args[0].meta["val"].shape[-2:], node.meta["val"].shape[-2:]
        if any(after < before for before, after in zip(old, new, strict=True)):
            raise NotImplementedError("it makes an image smaller, of which several pixels become one")
        return stock["_upsample_bilinear2d_aa.default"](node)

    def grid_sampled(node: Any) -> Any:
        data, grid, how, beyond, corners = importer.retrieve_args(node)
        method, ends = ("bilinear", "nearest", "bicubic")[how], ("zeros", "border", "reflection")[beyond]
        coordinates = emit(relax.op.permute_dims(grid, [0, 3, 1, 2]))
        given = {"method": method, "padding_mode": ends, "align_corners": corners}
        return emit(relax.op.image.grid_sample(data, coordinates, layout="NCHW", **given))

    return {
        "add.Tensor": with_alpha("add.Tensor", relax.op.add),
        "sub.Tensor": with_alpha("sub.Tensor", relax.op.subtract),
        "rsub.Tensor": reversed_difference,
        "rsub.Scalar": reversed_difference,
        "elu.default": elu,
        "div.Tensor_mode": divided,
        "upsample_nearest2d.vec": nearest,
        "_upsample_bilinear2d_aa.default": antialiased,
        "grid_sampler_2d.default": grid_sampled,
    }


def _argument(node: Any, number: int, name: str, default: Any) -> Any:
    """An argument by its place or by its name."""
    return node.args[number] if len(node.args) > number else node.kwargs.get(name, default)
