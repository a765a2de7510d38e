"""A convolution of three by three taps in Winograd's form: transforms of tiles around one batch of matrix products.

filters    each pair of channels, transformed: depends on weights alone, so it is computed ahead of all calls
data       each tile of each channel, transformed
products   for each of the ``(m + 2)^2`` places in a tile, tiles by channels of the data times filters
results    each tile transformed back, and finished as the program finishes its sums

The transforms are straight lines of vector operations along the channels. There is nothing to choose in them but which
thread has which tiles, so they are blocks that schedules do not look into; the products are scheduled as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import gcd, prod
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import Bind, BufferLoad, BufferStore, For, ForKind, IfThenElse, IntImm, IterVar, PrimFunc, decl_buffer

from colt.tvm.forms.convolution import Convolution
from colt.tvm.forms.transforms import TAPS, Transform, data_transform, filter_transform, result_transform
from colt.tvm.programs.nests import ARRANGED, element, sequence, whole
from colt.tvm.programs.program import module_of_function
from colt.tvm.programs.source import Program
from colt.tvm.programs.walks import every
from colt.util.text import distinct_names

TILES = (2, 4)
"""The sides of the tiles of results that there are forms for."""
LANES = 16
"""The most channels that a transform takes together."""
FEWEST_LANES = 4
"""With fewer a transform has no vectors worth the name."""
_SPATIAL, _REDUCED = 0, 2


def winograd_forms(program: Program) -> list[Program]:
    """The program with tiles of each of :data:`TILES`; none if it is no convolution of float32 with 3 by 3 taps, stride
    1, constant filters, and channels last, whose numbers are multiples of :data:`FEWEST_LANES`.

    Results of the larger tile are less exact: off by about 1e-5 of the largest, where the smaller tile's are by 1e-6.
    """
    found = Convolution.of(program.module)
    if found is None or min(gcd(found.depth, LANES), gcd(found.channels, LANES)) < FEWEST_LANES:
        return []
    return [_as_program(_Form(found, tile), program) for tile in TILES]


def _as_program(form: _Form, program: Program) -> Program:
    """Its work is that of the products. Filters are read transformed."""
    filters = prod(map(int, form.of.filters.shape))
    return replace(
        program,
        name=f"{program.name}_winograd{form.tile}",
        module=module_of_function(form.function()),
        given=program.given or program.module,
        form=f"F({form.tile}x{form.tile}, {TAPS}x{TAPS})",
        flops=2 * form.places * prod(form.grid) * form.of.depth * form.of.channels,
        min_bytes=program.min_bytes + 4 * (form.places * form.of.depth * form.of.channels - filters),
    )


@dataclass(frozen=True, slots=True)
class _Form:
    of: Convolution
    tile: int

    @property
    def side(self) -> int:
        """The data along each axis of a tile."""
        return self.tile + TAPS - 1

    @property
    def places(self) -> int:
        """The places in a transformed tile."""
        return self.side * self.side

    @property
    def grid(self) -> tuple[int, int, int]:
        """Images, and rows and columns of tiles in each."""
        return self.of.images, -(-self.of.height // self.tile), -(-self.of.width // self.tile)

    def function(self) -> PrimFunc:
        """The program. Its arguments and attributes are those that it had."""
        places, tiles, depth, channels = self.places, prod(self.grid), self.of.depth, self.of.channels
        taken = [str(buffer.name) for buffer in self.of.function.params]
        names = distinct_names([*taken, "filters", "data", "products"])[len(taken) :]
        shapes = (places, depth, channels), (places, tiles, depth), (places, tiles, channels)
        local = [
            decl_buffer(list(map(self._index, shape)), "float32", name)
            for shape, name in zip(shapes, names, strict=True)
        ]
        filters, data, products = local
        nests = [
            self._transform_filters(filters),
            self._transform_data(data),
            self._multiply(data, filters, products),
            self._transform_results(products),
        ]
        root = SBlock([], [], [], "root", sequence(nests), alloc_buffers=local)
        return self.of.function.with_body(SBlockRealize([], True, root))

    def _transform_filters(self, filters: Any) -> Any:
        """Every pair of channels, in numbers of 64 bits: it is done once."""
        lanes = gcd(self.of.channels, LANES)

        def line(axes: Sequence[Any], lane: Any, lines: _Lines) -> None:
            depth, channel = axes[0], axes[1] * lanes + lane
            taps = [
                [BufferLoad(self.of.filters, [self._index(r), self._index(s), depth, channel]) for s in range(TAPS)]
                for r in range(TAPS)
            ]
            wide = [[lines.keep(tap.astype("float64")) for tap in row] for row in taps]
            for place, value in enumerate(_in_two_axes(filter_transform(self.tile), wide, lines)):
                lines.store(filters, value.astype("float32"), [self._index(place), depth, channel])

        axes = {"depth": self.of.depth, "channels": self.of.channels // lanes}
        return self._straight("transform_filters", axes, lanes, line, filters)

    def _transform_data(self, data: Any) -> Any:
        lanes = gcd(self.of.depth, LANES)

        def line(axes: Sequence[Any], lane: Any, lines: _Lines) -> None:
            image, row, column, channel = *axes[:3], axes[3] * lanes + lane
            values = [
                [
                    lines.keep(self._datum(image, row * self.tile + i, column * self.tile + j, channel, (i, j)))
                    for j in range(self.side)
                ]
                for i in range(self.side)
            ]
            for place, value in enumerate(_in_two_axes(data_transform(self.tile), values, lines)):
                lines.store(data, value, [self._index(place), self._tile_number(axes), channel])

        return self._straight("transform_data", self._tiles(self.of.depth // lanes), lanes, line, data)

    def _datum(self, image: Any, row: Any, column: Any, channel: Any, place: tuple[int, int]) -> Any:
        """One of the data of a tile; 0 where the tile is over the edge."""
        value = self.of.datum([image, row, column, channel])
        inside = self._inside(row, column, place, TAPS - 1)
        return tirx.if_then_else(inside, value, tirx.const(0.0, "float32")) if inside is not None else value

    def _inside(self, row: Any, column: Any, place: tuple[int, int], more: int) -> Any:
        """Whether a place of a tile is inside of ``more`` rows and columns than there are results; ``None`` if that is
        so in all tiles."""
        conditions = []
        for index, extent, offset in zip((row, column), (self.of.height, self.of.width), place, strict=True):
            last = (-(-extent // self.tile) - 1) * self.tile + offset
            if last >= extent + more:
                conditions.append(index < extent + more)
        return tirx.all(*conditions) if conditions else None

    def _multiply(self, data: Any, filters: Any, products: Any) -> Any:
        places, tiles, channels = (int(extent) for extent in products.shape)
        axes = {"place": places, "tile": tiles, "channel": channels, "depth": self.of.depth}
        place, tile, channel, depth = variables = [self._variable(f"v_{name}") for name in axes]
        at = [place, tile, channel]
        product = BufferLoad(data, [place, tile, depth]) * BufferLoad(filters, [place, depth, channel])
        block = SBlock(
            [_axis(var, extent, var.same_as(depth)) for var, extent in zip(variables, axes.values(), strict=True)],
            [element(data, [place, tile, depth]), element(filters, [place, depth, channel])],
            [element(products, at)],
            "multiply",
            BufferStore(products, BufferLoad(products, at) + product, at),
            BufferStore(products, tirx.const(0.0, "float32"), at),
        )
        return self._around(axes, block)

    def _transform_results(self, products: Any) -> Any:
        lanes = gcd(self.of.channels, LANES)

        def line(axes: Sequence[Any], lane: Any, lines: _Lines) -> None:
            image, channel = axes[0], axes[3] * lanes + lane
            sums = [
                [
                    lines.keep(BufferLoad(products, [self._index(i * self.side + j), self._tile_number(axes), channel]))
                    for j in range(self.side)
                ]
                for i in range(self.side)
            ]
            for place, total in enumerate(_in_two_axes(result_transform(self.tile), sums, lines)):
                i, j = divmod(place, self.tile)
                row, column = axes[1] * self.tile + i, axes[2] * self.tile + j
                indices = [image, row, column, channel]
                finished = self.of.finished(lines.keep(total), indices)
                lines.store(self.of.result, finished, indices, self._inside(row, column, (i, j), 0))

        tiles = self._tiles(self.of.channels // lanes)
        return self._straight("transform_results", tiles, lanes, line, self.of.result)

    def _tiles(self, channels: int) -> dict[str, int]:
        return dict(zip(("image", "row", "column", "channels"), (*self.grid, channels), strict=True))

    def _tile_number(self, axes: Sequence[Any]) -> Any:
        _, rows, columns = self.grid
        return (axes[0] * rows + axes[1]) * columns + axes[2]

    def _straight(self, name: str, axes: dict[str, int], lanes: int, line: Line, written: Any) -> Any:
        """A block that does one straight line of operations on ``lanes`` channels at each point of its axes."""
        variables = [self._variable(f"v_{axis}") for axis in axes]
        lane, lines = self._variable("lane"), _Lines()
        line(variables, lane, lines)
        body = For(lane, self._index(0), self._index(lanes), ForKind.VECTORIZED, sequence(lines.found))
        block = SBlock(
            [_axis(var, extent) for var, extent in zip(variables, axes.values(), strict=True)],
            [whole(buffer) for buffer in _loaded(body)],
            [whole(written)],
            name,
            body,
            annotations={ARRANGED: 1},
        )
        return self._around(axes, block)

    def _around(self, axes: dict[str, int], block: Any) -> Any:
        loops = [self._variable(name) for name in axes]
        found: Any = SBlockRealize(loops, True, block)
        for loop, extent in reversed(list(zip(loops, axes.values(), strict=True))):
            found = For(loop, self._index(0), self._index(extent), ForKind.SERIAL, found)
        return found

    def _index(self, value: int) -> Any:
        return IntImm(self.of.index_type, value)

    def _variable(self, name: str) -> Any:
        return tvm.ir.Var(name, tvm.ir.PrimType(self.of.index_type))


@dataclass(slots=True)
class _Lines:
    """Statements one after the other."""

    found: list[Any] = field(default_factory=list)

    def keep(self, value: Any) -> Any:
        """Give the value a name, so that it is computed once."""
        variable = tvm.ir.Var(f"t{len(self.found)}", value.ty)
        self.found.append(Bind(variable, value))
        return variable

    def store(self, buffer: Any, value: Any, indices: Sequence[Any], where: Any = None) -> None:
        """Store the value, under a condition if there is one."""
        stored = BufferStore(buffer, value, list(indices))
        self.found.append(stored if where is None else IfThenElse(where, stored, None))


Line = Callable[[Sequence[Any], Any, _Lines], None]


def _in_two_axes(transform: Transform, values: Sequence[Sequence[Any]], lines: _Lines) -> list[Any]:
    """A tile with its columns transformed, and then its rows: row by row."""
    columns = [[lines.keep(value) for value in transform(column)] for column in zip(*values, strict=True)]
    return [value for row in zip(*columns, strict=True) for value in transform(row)]


def _axis(variable: Any, extent: int, reduced: bool = False) -> Any:
    first, count = IntImm(str(variable.ty), 0), IntImm(str(variable.ty), extent)
    return IterVar(tvm.ir.Range.from_min_extent(first, count), variable, _REDUCED if reduced else _SPATIAL)


def _loaded(body: Any) -> list[Any]:
    """The buffers that are read, in order."""
    return list(dict.fromkeys(load.source for load in every(body, tvm.ir.TensorLoad)))
