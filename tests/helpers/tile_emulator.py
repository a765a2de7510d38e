"""AMX in Python: runs compiled kernels with the tile instructions replaced by calls of what they mean.

All but the tile instructions is the kernel's own code: packing, addresses, loops, threads, what follows the sums. The
meanings are those of Intel's manual (volume 1, chapter 18, and the instructions' own pages), faults included: tiles
without a shape, operands whose shapes do not fit, a tile used twice in one product. Each thread has tiles of its own.
"""

from __future__ import annotations

import ctypes
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from numpy.typing import NDArray
from tvm import tirx
from tvm.ir import Call
from tvm.target import codegen
from tvm.tirx import PrimFunc

from colt.tvm.dots.shims import TILE_ASK, TILE_BEGIN, TILE_END, TILE_SHAPES
from colt.tvm.dots.tiles import DOTS, LOAD, STORE, ZERO

ROWS, BYTES, TILES = 16, 64, 8
_PREFIX = "colt.tests.tile."
_TYPES = {name: types for types, name in DOTS.items()}


class Fault(Exception):
    """What a processor would raise an exception for."""


@dataclass(slots=True)
class Tiles:
    """A thread's tiles and their shapes; ``None`` while they have none."""

    content: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((TILES, ROWS, BYTES), np.uint8))
    shapes: list[tuple[int, int]] | None = None

    def configure(self, text: bytes) -> None:
        """``ldtilecfg``: shapes in rows and bytes of a row. All tiles become zero."""
        if len(text) != BYTES or text[0] != 1 or any(text[2:16]):
            raise Fault(f"{text!r} is no configuration of palette 1")
        widths = np.frombuffer(text, "<u2", TILES, 16)
        self.shapes = [(rows, int(width)) for rows, width in zip(text[48 : 48 + TILES], widths, strict=True)]
        if any(rows > ROWS or width > BYTES or width % 4 for rows, width in self.shapes):
            raise Fault(f"shapes {self.shapes} exceed the tiles")
        self.content[:] = 0

    def release(self) -> None:
        """``tilerelease``."""
        self.shapes = None
        self.content[:] = 0

    def shape(self, tile: int) -> tuple[int, int]:
        """Rows and bytes of a row."""
        if self.shapes is None:
            raise Fault("the thread's tiles have no shapes")
        return self.shapes[tile]

    def load(self, tile: int, address: int, stride: int) -> None:
        """``tileloadd``: rows lie ``stride`` bytes apart."""
        rows, width = self.shape(tile)
        self.content[tile] = 0
        for row in range(rows):
            self.content[tile, row, :width] = np.frombuffer(ctypes.string_at(address + row * stride, width), np.uint8)

    def store(self, tile: int, address: int, stride: int) -> None:
        """``tilestored``."""
        rows, width = self.shape(tile)
        for row in range(rows):
            ctypes.memmove(address + row * stride, self.content[tile, row, :width].tobytes(), width)

    def zero(self, tile: int) -> None:
        """``tilezero``."""
        self.shape(tile)
        self.content[tile] = 0

    def dot(self, types: tuple[str, str], sums: int, left: int, right: int) -> None:
        """``tdp...``: each of the sums adds up products of groups, a row of the left with a column of the right."""
        rows, width = self.shape(sums)
        terms, steps = self.shape(left), self.shape(right)
        if len({sums, left, right}) < 3 or terms[0] != rows or steps != (terms[1] // 4, width):
            raise Fault(f"tiles {sums}, {left}, {right} of shapes {self.shapes} cannot be multiplied")
        one = self.content[left, :rows, : terms[1]].reshape(rows, steps[0], 4)
        other = self.content[right, : steps[0], :width].reshape(steps[0], width // 4, 4)
        add = _add_bf16 if types[0] == "bfloat16" else _add_bytes
        result = self.content[sums, :rows, :width].view("<i4" if add is _add_bytes else "<f4")
        add(result, one, other, types)


def _add_bytes(result: Any, one: Any, other: Any, types: tuple[str, str]) -> None:
    a, b = (part.view(kind).astype(np.int64) for part, kind in zip((one, other), types, strict=True))
    result += np.einsum("mkg,kng->mn", a, b).astype(np.int32)


def _add_bf16(result: Any, one: Any, other: Any, types: tuple[str, str]) -> None:
    """Even and odd terms are summed apart; subnormal numbers count as zero."""
    a, b = (_flushed((part.view("<u2").astype(np.uint32) << 16).view(np.float32)) for part in (one, other))
    sums = np.zeros((*result.shape, 2), np.float32)
    for k in range(a.shape[1]):
        sums = _flushed(sums + a[:, None, k, :] * b[None, k, :, :])
    result += sums[..., 0] + sums[..., 1]


def _flushed(values: Any) -> Any:
    return np.where(np.abs(values) < np.finfo(np.float32).tiny, np.float32(0), values)


class TileEmulator:
    """Builds modules and runs them. ``refuse``: the operating system grants no tiles."""

    def __init__(self, refuse: bool = False) -> None:
        self.refuse = refuse
        self.configured = 0
        """How often any thread's tiles were given a shape."""
        self.dots: list[str] = []
        """The instructions that were carried out."""
        self.threads: defaultdict[int, Tiles] = defaultdict(Tiles)  # a thread of TVM's is new to Python in every call
        self._faults: list[Fault] = []

    def build(self, mod: Any, target: Any) -> Callable[..., None]:
        """The module's function, with tile instructions emulated."""
        mod = mod.clone()
        for variable, function in list(mod.functions.items()):
            if isinstance(function, PrimFunc):
                mod.update_func(variable, function.with_body(tvm_ffi.structural_map(function.body, (Call, _emulated))))
        function = tvm.tirx.build(mod, target=target)["main"]

        def run(*arguments: Any) -> None:
            self._register()
            try:
                function(*arguments)
            finally:
                if self._faults:
                    raise self._faults[0]
            assert all(tiles.shapes is None for tiles in self.threads.values()), "a thread has kept its tiles"

        return run

    def _register(self) -> None:
        calls: dict[str, Callable[..., Any]] = {
            TILE_ASK: lambda: self.refuse,
            TILE_BEGIN: self._begin,
            TILE_END: lambda: self._tiles.release(),
            LOAD: lambda *arguments: self._tiles.load(*_numbers(arguments)),
            STORE: lambda *arguments: self._tiles.store(*_numbers(arguments)),
            ZERO: lambda *arguments: self._tiles.zero(*_numbers(arguments)),
        }
        calls |= {name: self._dot(name) for name in _TYPES}
        for name, call in calls.items():
            tvm.register_global_func(_PREFIX + name, self._watched(call), override=True)

    def _watched(self, call: Callable[..., Any]) -> Callable[..., int]:
        def watched(*arguments: Any) -> int:
            try:
                return int(call(*arguments) or 0)
            except Fault as fault:
                self._faults.append(fault)
                raise

        return watched

    def _dot(self, name: str) -> Callable[..., None]:
        def dot(*arguments: Any) -> None:
            self.dots.append(name)
            self._tiles.dot(_TYPES[name], *_numbers(arguments))

        return dot

    @property
    def _tiles(self) -> Tiles:
        return self.threads[threading.get_native_id()]

    def _begin(self) -> int:
        if self.refuse:
            return 1
        self.configured += 1
        self._tiles.configure(TILE_SHAPES)
        return 0


def _numbers(arguments: tuple[Any, ...]) -> list[int]:
    return [int(one.value if isinstance(one, ctypes.c_void_p) else one) for one in arguments]


def _emulated(call: Call) -> Any:
    """A call of the instruction's meaning for one of the instruction."""
    op = str(getattr(call.op, "name", ""))
    if op.endswith("call_extern"):
        name = getattr(call.args[0], "value", None)
        return tirx.call_packed(_PREFIX + name) if name in (TILE_ASK, TILE_BEGIN, TILE_END) else call
    if not op.endswith("call_llvm_intrin"):
        return call
    name = _NAMES.get(int(call.args[0].value))
    if name is None:
        return call
    return tirx.call_packed(_PREFIX + name, *(_as_argument(one) for one in call.args[1:]))


def _as_argument(value: Any) -> Any:
    return tirx.const(int(value.value), "int32") if isinstance(value, tirx.IntImm) else value


_NAMES = {int(codegen.llvm_lookup_intrinsic_id(name)): name for name in (LOAD, STORE, ZERO, *_TYPES)}
