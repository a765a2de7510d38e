"""The dot instructions of processors, one row for each instruction set and pair of types, the fastest first.

The *left* operand of a contraction is broadcast: one group of neighbours for all lanes. The *right* one is packed so
that a vector holds one group for each lane. A row applies where the target has all of its features; what the machine
at hand has does not matter.

An instruction that multiplies unsigned by signed bytes serves equal signs as well. With ``flipped`` meaning the top
bit inverted, which adds 128 and changes the sign's meaning, the sum of ``a * b`` is that of ``flipped(a) * b`` less
that of ``128 * b``. The second depends on the packed operand only, so one more instruction serves all rows of a
register tile. It is subtracted once in ``fold`` steps. All of this is exact: a group's products are added in 32 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tvm.target import Target, codegen

from colt.knobs import EDITION
from colt.tvm.dots.shims import BF16_IR, KEEP_IR, TILE_IR

_ALONE = 14
"""The last edition whose moves named only instructions that call nothing, and that told them by the alphabet."""
_TOLD = 8
"""Names that are told of where a move names none."""


class Method(StrEnum):
    """How a row adds a group's products. ``VNNI`` multiplies unsigned by signed bytes; ``SAME`` bytes of equal signs;
    ``MADD`` adds products of two 16-bit integers, which bytes are widened to; ``BF16`` adds two products of bfloat16.
    ``TILE`` multiplies matrices of 16 rows of 64 bytes; ``HALVES`` multiplies both halves of unsigned bytes by signed
    bytes, with the instruction of ``VNNI``.
    """

    VNNI = "vnni"
    SAME = "same"
    MADD = "madd"
    BF16 = "bf16"
    TILE = "tile"
    HALVES = "halves"


@dataclass(frozen=True, slots=True)
class Dot:
    """A row. ``left``, ``right`` and ``result`` are the types of the operands and of the sum.

    ``fold``: groups in one step of the tensor intrinsic. ``tiles``: the rows and the columns of tiles of sums in one
    step, for instructions on tiles (:mod:`colt.tvm.dots.tiles`). What a vector takes is measured
    (:attr:`colt.machine.Rates.dots`).
    """

    instruction_set: str
    features: tuple[str, ...]
    """LLVM's names."""
    method: Method
    bits: int
    left: str
    right: str
    result: str
    group: int
    fold: int = 1
    interleaved: bool = False
    """Whether rows of a group are interleaved in registers, instead of packing the right operand beforehand."""
    tiles: tuple[int, int] | None = None

    @property
    def lanes(self) -> int:
        """Sums in a vector; all are of 32 bits."""
        return self.bits // 32

    @property
    def terms(self) -> int:
        """The terms along the sum that one step of the tensor intrinsic adds up."""
        return self.group * self.fold

    @property
    def rows(self) -> int:
        """Rows of sums in one step."""
        return 1 if self.tiles is None else TILE_ROWS * self.tiles[0]

    @property
    def columns(self) -> int:
        """Sums in each of these rows."""
        return self.lanes if self.tiles is None else self.lanes * self.tiles[1]

    @property
    def stored(self) -> str:
        """The type of the right operand's buffer: halves are kept in bytes."""
        return "uint8" if self.right == HALF else self.right

    @property
    def left_shape(self) -> tuple[int, ...]:
        """The extents of a step's left operand."""
        if self.method is Method.HALVES:
            return 2, self.group
        return (self.terms,) if self.tiles is None else (self.rows, self.terms)

    @property
    def right_shape(self) -> tuple[int, ...]:
        """The extents of a step's right operand."""
        if self.tiles is not None:
            return (self.tiles[1], self.fold, self.lanes, self.group)
        return (self.group, self.lanes) if self.interleaved else (self.fold, self.lanes, self.group)

    @property
    def keeps(self) -> bool:
        """Whether its operands' buffers have to be kept from becoming float32: :data:`colt.tvm.dots.shims.KEEP`."""
        return self.left == "bfloat16" and not self.interleaved

    @property
    def shims(self) -> tuple[str, ...]:
        """The LLVM IR of what it calls, which has to be imported where it is used."""
        called = {BF16_IR: self.method is Method.BF16, KEEP_IR: self.keeps, TILE_IR: self.tiles is not None}
        return tuple(text for text, needed in called.items() if needed)

    @property
    def corrected(self) -> bool:
        """Whether signs are flipped and the sum corrected."""
        return self.method is Method.VNNI and self.left == self.right

    def intrinsic(self, swapped: bool) -> str:
        """The name of the tensor intrinsic; ``swapped``: of the one for programs that multiply right by left."""
        types = f"{_SHORT[self.left]}{_SHORT[self.right]}"
        form = ".packed" if self.keeps else ""
        form = form if self.tiles is None else f".{self.rows}x{self.columns}"
        return f"colt.dot.{self.instruction_set}.{types}.x{self.terms}{form}" + (".swapped" if swapped else "")

    @property
    def packing(self) -> str:
        """The name of the intrinsic that packs rows of a right operand that are contiguous along its lanes."""
        return packing_name(self.stored, self.group, self.lanes)


def packing_name(dtype: str, group: int, lanes: int, flipped: bool = False) -> str:
    """The intrinsic that brings ``group`` rows of ``lanes`` contiguous elements into the layout of a packed operand.

    ``flipped``: from bytes of the other sign, whose top bits it inverts."""
    return f"colt.pack.{'flipped.' if flipped else ''}{dtype}.{group}x{lanes}"


OTHER_SIGN = {"int8": "uint8", "uint8": "int8"}
HALF = "uint4"
"""The type of half a byte."""
_SHORT = {"uint8": "u8", "int8": "s8", "bfloat16": "bf16", HALF: "u4"}
_BYTES = ("uint8", "int8")
_CORRECTED_STEPS = 4
"""Steps between two corrections."""


def _byte_rows(name: str, features: tuple[str, ...], bits: int) -> Iterator[Dot]:
    """Rows of an instruction set that multiplies unsigned by signed bytes, by fours."""
    for left in _BYTES:
        for right in _BYTES:
            row = Dot(name, features, Method.VNNI, bits, left, right, "int32", 4)
            if row.corrected:
                yield Dot(name, features, Method.VNNI, bits, left, right, "int32", 4, fold=_CORRECTED_STEPS)
            yield row


def _halves(name: str, bits: int) -> Dot:
    """The row of an instruction set of :func:`_byte_rows` for halves of bytes: the lower ones are even terms."""
    return Dot(name, (name,), Method.HALVES, bits, "int8", HALF, "int32", 4)


def _pair_rows(name: str, features: tuple[str, ...], bits: int) -> Iterator[Dot]:
    """Rows of an instruction set that multiplies 16-bit integers, by twos; the sum is an addition of its own."""
    for left in _BYTES:
        for right in _BYTES:
            yield Dot(name, features, Method.MADD, bits, left, right, "int32", 2)


TILE_ROWS = 16
"""The rows of a tile."""
TILE_FORMS = ((2, 2), (1, 4), (4, 1), (1, 2), (2, 1), (1, 1))
"""The rows and columns of tiles of sums that a step may have. Four tiles of sums leave four for operands."""


def _tile_rows() -> Iterator[Dot]:
    """Rows of AMX, whose tiles hold 64 bytes of terms in each row: its instructions know all four pairs of signs."""
    for form in TILE_FORMS:
        for left in _BYTES:
            for right in _BYTES:
                features = ("amx-tile", "amx-int8")
                yield Dot("amx-int8", features, Method.TILE, 512, left, right, "int32", 4, TILE_ROWS, tiles=form)
        both = ("bfloat16", "bfloat16", "float32")
        yield Dot("amx-bf16", ("amx-tile", "amx-bf16"), Method.TILE, 512, *both, 2, TILE_ROWS, tiles=form)


_VNNI_INT8 = [Dot("avxvnniint8", ("avxvnniint8",), Method.SAME, 256, one, one, "int32", 4) for one in _BYTES]

TABLE: tuple[Dot, ...] = (
    *_tile_rows(),
    *_byte_rows("avx512vnni", ("avx512vnni",), 512),
    _halves("avx512vnni", 512),
    *_VNNI_INT8,
    *_byte_rows("avxvnni", ("avxvnni",), 256),
    _halves("avxvnni", 256),
    *_pair_rows("avx512bw", ("avx512bw",), 512),
    *_pair_rows("avx2", ("avx2",), 256),
    Dot("avx512bf16", ("avx512bf16",), Method.BF16, 512, "bfloat16", "bfloat16", "float32", 2),
    Dot("avx512bf16", ("avx512bf16",), Method.BF16, 512, "bfloat16", "bfloat16", "float32", 2, interleaved=True),
)
"""All rows; for the same types, those further up are better."""


def find(
    target: Target, left: str, right: str, result: str, terms: int, suits: Callable[[Dot], bool] | None = None
) -> Dot | None:
    """The best row for these types that the target has, for a sum of ``terms`` terms; ``None`` if there is none.

    ``suits`` says of a row whether it is one to use; all are, if it is left out. A sum is padded to whole steps, so of
    rows that differ only in their steps a short sum takes the one with fewer. A tile is at least half full of terms.
    """
    rows = [row for row in TABLE if (row.left, row.right, row.result) == (left, right, result)]
    for row in rows if suits is None else filter(suits, rows):
        least = _CORRECTED_STEPS * row.terms if row.tiles is None else row.terms // 2
        long_enough = terms % row.terms == 0 or terms >= least
        if has(target, row) and (row.fold == 1 or long_enough):
            return row
    return None


def has(target: Target, row: Dot) -> bool:
    """Whether the target's processor has the instruction."""
    if target.kind.name != "llvm":
        return False
    return all(bool(codegen.target_has_features(feature, target)) for feature in row.features)


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """Tensor intrinsics that moves can name, the fastest first, each with the LLVM IR of what it calls.

    ``by_type``: a block is told those that it can use.
    """

    calls: Mapping[str, str] = field(default_factory=dict)
    by_type: bool = True

    def told(self, read: Collection[str]) -> list[str]:
        """A few names, for a block that reads these types: of those for them, unless there are none."""
        rows = {
            name: row for row in TABLE for name in (row.intrinsic(False), row.intrinsic(True)) if name in self.calls
        }
        fitting = [name for name, row in rows.items() if self.by_type and {row.left, row.stored} == set(read)]
        return (fitting or sorted(self.calls))[:_TOLD]


NO_INTRINSICS = Intrinsics()


def intrinsics_of(target: Target, edition: int = EDITION) -> Intrinsics:
    """The tensor intrinsics that the target has and moves can name.

    A step on tiles is none of them: it is right only between one that sets its tiles to zero and one that stores them,
    with no other tiles between, which no primitive of TVM sees to. A sketch does.
    """
    methods = [Method.VNNI, Method.SAME, Method.MADD, Method.HALVES]
    if edition > _ALONE:
        methods.append(Method.BF16)
    rows = [row for row in TABLE if row.method in methods and has(target, row)]
    calls = {row.intrinsic(swapped): "".join(row.shims) for row in rows for swapped in (False, True)}
    return Intrinsics(calls, by_type=edition > _ALONE)
