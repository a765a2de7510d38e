"""Layouts that the convolutions of a model may have: which one is the fastest is measured, for each model.

Channels in blocks are a dimension of their own: ``NCHW16c`` is image, block, row, column, and channel in its block.
TVM converts to such a layout, moves constants into it element by element, and has no code for convolutions in it; the
latter two are here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
import tvm
from tvm import te, tirx

Layouts = Mapping[str, list[str]] | Callable[[Any], Mapping[str, list[str]]]
"""Layouts of data and weights by operator, for all calls, or for the one that is given."""
Array = np.ndarray[Any, Any]
BLOCK = 16
"""Channels in a block: those of a vector of float32 at its widest."""
_CONVOLUTION = "relax.nn.conv2d"
_NUMBERS = re.compile(r"\d+")


def _in_blocks(call: Any) -> Mapping[str, list[str]]:
    """Layouts of a call: with channels in blocks where they can be, and as it is imported otherwise."""
    if getattr(call.op, "name", "") != _CONVOLUTION:
        return {}
    imported = [str(call.attrs.data_layout), str(call.attrs.kernel_layout)]
    if imported != ["NCHW", "OIHW"]:
        return {_CONVOLUTION: imported}
    outputs, inputs, *_ = map(int, call.args[1].ty.shape)
    if call.attrs.groups == 1 and outputs % BLOCK == inputs % BLOCK == 0:
        return {_CONVOLUTION: [f"NCHW{BLOCK}c", f"OIHW{BLOCK}i{BLOCK}o"]}
    if call.attrs.groups == outputs and inputs == 1 and outputs % BLOCK == 0:
        return {_CONVOLUTION: [f"NCHW{BLOCK}c", f"OIHW{BLOCK}o"]}
    return {_CONVOLUTION: imported}


CHANNELS_LAST: Mapping[str, list[str]] = {
    _CONVOLUTION: ["NHWC", "HWIO"],
    "relax.nn.conv2d_transpose": ["NHWC", "IOHW"],
}
"""In these, sums over channels read what lies side by side."""
LAYOUTS: dict[str, Layouts | None] = {"channels-last": CHANNELS_LAST, "blocks": _in_blocks, "as-imported": None}
"""The layouts that a model may have, by name; that of models whose layouts are not compared comes first."""


def has_convolutions(graph: tvm.IRModule) -> bool:
    """Whether the graph has operators that there are several layouts for."""
    names = set[str]()
    tvm.relax.analysis.post_order_visit(graph["main"], lambda node: names.add(getattr(_operator(node), "name", "")))
    return not names.isdisjoint(CHANNELS_LAST)


def _operator(node: Any) -> Any:
    return node.op if isinstance(node, tvm.ir.Call) else None


def conversion(layouts: Layouts) -> Any:
    """TVM's pass that gives operators these layouts."""
    if callable(layouts):
        return tvm.relax.transform.ConvertLayout({}, layouts)
    return tvm.relax.transform.ConvertLayout(dict(layouts))


def summed_channels(filters: Any, layout: str) -> int:
    """How many channels each sum of a convolution takes: those of its weights, a tensor of that layout."""
    letters = _NUMBERS.sub("", layout).upper()
    return prod(int(extent) for extent, letter in zip(filters.ty.shape, letters, strict=True) if letter == "I")


def moved(index_map: Any, array: Array, shape: list[int]) -> Array:
    """The array with each element where ``index_map`` has it, in an array of that shape."""
    places = dict(zip(index_map.initial_indices, np.ogrid[*(slice(extent) for extent in array.shape)], strict=True))
    found = np.zeros(shape, array.dtype)
    found[tuple(_value(index, places) for index in index_map.final_indices)] = array
    return found


_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    tirx.Add: np.add,
    tirx.Sub: np.subtract,
    tirx.Mul: np.multiply,
    tirx.FloorDiv: np.floor_divide,
    tirx.FloorMod: np.mod,
}


def _value(index: Any, places: Mapping[Any, Any]) -> Any:
    """An index, for the indices of all elements at once."""
    if index in places:
        return places[index]
    if isinstance(index, tirx.IntImm):
        return int(index)
    return _ARITHMETIC[type(index)](_value(index.a, places), _value(index.b, places))


def in_blocks(builder: Any, call: Any) -> Any:
    """What to make of ``conv2d``, for TVM's ``LegalizeOps``: sums, if channels are in blocks; what TVM has, if not."""
    attributes = call.attrs
    layouts = str(attributes.data_layout), str(attributes.kernel_layout)
    if layouts[0] != f"NCHW{BLOCK}c" or layouts[0] != attributes.out_layout:
        return tvm.ir.Op.get(_CONVOLUTION).get_attr("FLegalize")(builder, call)
    steps, dilation = ([int(one) for one in numbers] for numbers in (attributes.strides, attributes.dilation))
    top, left, bottom, right = (int(one) for one in attributes.padding)
    dtype, deep = str(call.ty.dtype), layouts[1].endswith("o") and "i" in layouts[1]

    def computed(data: Any, filters: Any) -> Any:
        images, _, rows, columns, _ = data.shape
        blocks, inputs, height, width, *_ = filters.shape
        spread = [(rows + top + bottom, height, 0), (columns + left + right, width, 1)]
        sides = [(extent - (taps - 1) * dilation[axis] - 1) // steps[axis] + 1 for extent, taps, axis in spread]
        tall, wide = te.reduce_axis((0, height), name="kh"), te.reduce_axis((0, width), name="kw")
        block, channel = te.reduce_axis((0, inputs), name="block"), te.reduce_axis((0, BLOCK), name="channel")
        padded = _padded(data, (top, left, bottom, right)) if top or left or bottom or right else data

        def sums(image: Any, output: Any, row: Any, column: Any, lane: Any) -> Any:
            at = row * steps[0] + tall * dilation[0], column * steps[1] + wide * dilation[1]
            source = (block, channel) if deep else (output, lane)
            pixel = padded(image, source[0], *at, source[1])
            tap = filters(output, block, tall, wide, channel, lane) if deep else filters(output, 0, tall, wide, lane)
            axes = [block, tall, wide, channel] if deep else [tall, wide]
            return te.sum(pixel.astype(dtype) * tap.astype(dtype), axis=axes)

        return te.compute([images, blocks, *sides, BLOCK], sums, name="conv2d_in_blocks")

    return builder.call_te(computed, call.args[0], call.args[1], primfunc_name_hint="conv2d")


def _padded(data: Any, margins: tuple[int, int, int, int]) -> Any:
    images, blocks, rows, columns, lanes = data.shape
    top, left, bottom, right = margins

    def pixel(image: Any, block: Any, row: Any, column: Any, lane: Any) -> Any:
        inside = tirx.all(row >= top, row < rows + top, column >= left, column < columns + left)
        return tirx.if_then_else(inside, data(image, block, row - top, column - left, lane), tirx.const(0, data.dtype))

    return te.compute([images, blocks, rows + top + bottom, columns + left + right, lanes], pixel, name="pad_temp")
