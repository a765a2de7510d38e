"""Structural moves: what changes the structure of a schedule rather than the value of a knob, as pure data.

A *move* is one schedule primitive over named blocks and loops. It is written as TVM's primitive of that name is called:

    split(C.k, [_, 32])            k becomes k_0 and k_1; _ is what is left, and ? a factor to be searched: a knob
    reorder(C, [k_0, i, j, k_1])   these loops in this order, outermost first
    fuse(C, [k_0, i])              k_0_i
    parallel(C.k_0_i)

A loop is named after its block (``C.k``). Names survive moves: a loop keeps its own, and the parts of a split and a
fusion are named after what they were. A structure is a sketch that moves were made on: its name is that of the sketch,
``" | "`` and the moves. Whatever this module reads may be a stranger's: it is checked for form here, and what it means
for a program where that is known (:mod:`colt.tvm.moves`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Literal, cast

from colt.errors import IllegalEdit

MOST_MOVES = 128
"""Moves of one structure."""
MOST_TEXT = 6000
"""Characters of one structure's moves."""
LARGEST = 2**31 - 1
REST = None
"""The factor of a split that is what the others leave."""
OPEN: Literal["?"] = "?"
"""A factor that is a knob."""

Factor = int | Literal["?"] | None

_AND = "; "
_ON = " | "
_NAME = re.compile(r"[A-Za-z_][\w#]*(?:\.[\w#]+)*")
_DIMENSION = re.compile(r"d(\d{1,2})(?:([/%])(\d{1,9}))?")
_CALL = re.compile(r"\s*([A-Za-z_]+)\s*\((.*)\)\s*", re.DOTALL)
_TOKEN = re.compile(r"\s*([\[\],]|[^\s\[\],]+)")
_REST_WORDS = ("_", "none", "null", "-1", "rest")
_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class LoopName:
    """A loop by its block and its name there."""

    block: str
    loop: str

    def __str__(self) -> str:
        return f"{self.block}.{self.loop}"


@dataclass(frozen=True, slots=True)
class Axis:
    """One dimension of a buffer's new layout: dimension ``of`` of the old one, whole, or divided by ``size`` (``/``),
    or what that division leaves (``%``)."""

    of: int
    part: Literal["", "/", "%"] = ""
    size: int = 1

    def __str__(self) -> str:
        return f"d{self.of}" + (f"{self.part}{self.size}" if self.part else "")


@dataclass(frozen=True, slots=True)
class Move:
    """Base of all moves: ``verb`` is what the move is called, ``usage`` says how it is written."""

    verb: ClassVar[str]
    usage: ClassVar[str]


@dataclass(frozen=True, slots=True)
class SplitLoop(Move):
    """The loop becomes several, outermost first. At most one factor is what is left. Open factors are one tile knob,
    and stand before the numbers."""

    verb = "split"
    usage = "split(B.i, [_, 4, 16]): i becomes i_0, i_1, i_2; _ is what is left, ? a knob: [?, ?, 16]"
    loop: LoopName
    factors: tuple[Factor, ...]

    def __post_init__(self) -> None:
        """Raise :class:`IllegalEdit` unless the factors are some that a loop can be split by."""
        factors = self.factors
        if not 2 <= len(factors) <= 8:
            raise IllegalEdit(f"split takes 2 to 8 factors, not {len(factors)}")
        if factors.count(REST) > 1:
            raise IllegalEdit("split takes one factor at most that is left open by _")
        if OPEN in factors:
            free = [number for number, factor in enumerate(factors) if not isinstance(factor, int)]
            if free != list(range(len(free))) or len(free) < 2:
                raise IllegalEdit("split takes its open factors, ? and _, before the numbers, and two of them at least")

    @property
    def is_open(self) -> bool:
        """Whether it makes a knob."""
        return OPEN in self.factors

    @property
    def free(self) -> int:
        """How many factors its knob has."""
        return sum(not isinstance(factor, int) for factor in self.factors) if self.is_open else 0


@dataclass(frozen=True, slots=True)
class FuseLoops(Move):
    """Loops directly inside each other become one."""

    verb = "fuse"
    usage = "fuse(B, [i, j]): i_j; each loop directly inside the one before"
    block: str
    loops: tuple[str, ...]

    def __post_init__(self) -> None:
        _require_different("fuse", self.loops)


@dataclass(frozen=True, slots=True)
class ReorderLoops(Move):
    """The loops take these turns, outermost first, in the places that they have together."""

    verb = "reorder"
    usage = "reorder(B, [k_0, i, j]): outermost first; loops left out keep their places"
    block: str
    loops: tuple[str, ...]

    def __post_init__(self) -> None:
        _require_different("reorder", self.loops)


@dataclass(frozen=True, slots=True)
class ParallelLoop(Move):
    """The loop's turns are dealt to the threads."""

    verb = "parallel"
    usage = "parallel(B.i)"
    loop: LoopName


@dataclass(frozen=True, slots=True)
class VectorizeLoop(Move):
    """The innermost loop becomes vectors."""

    verb = "vectorize"
    usage = "vectorize(B.j_1): innermost, of a constant number of turns"
    loop: LoopName


@dataclass(frozen=True, slots=True)
class UnrollLoop(Move):
    """The loop's turns are written out."""

    verb = "unroll"
    usage = "unroll(B.i_1)"
    loop: LoopName


Place = Literal["last", "first"]


@dataclass(frozen=True, slots=True)
class ComputeAt(Move):
    """A block is computed inside a loop of its consumer, as much of it as one turn needs: directly before its consumer,
    or ``first`` of all that it may stand before."""

    verb = "compute_at"
    usage = "compute_at(A, B.i): producer A inside B's loop i; A's loops keep their names"
    block: str
    loop: LoopName
    place: Place = "last"


@dataclass(frozen=True, slots=True)
class ReverseComputeAt(Move):
    """A block is computed inside a loop of its producer, as much of it as one turn gives."""

    verb = "reverse_compute_at"
    usage = "reverse_compute_at(C, B.i): consumer C inside B's loop i"
    block: str
    loop: LoopName
    place: Place = "last"


@dataclass(frozen=True, slots=True)
class ComputeInline(Move):
    """A block is computed where it is read."""

    verb = "compute_inline"
    usage = "compute_inline(A)"
    block: str


@dataclass(frozen=True, slots=True)
class ReverseComputeInline(Move):
    """A block is computed where its only producer writes."""

    verb = "reverse_compute_inline"
    usage = "reverse_compute_inline(C)"
    block: str


@dataclass(frozen=True, slots=True)
class CacheRead(Move):
    """A buffer is copied before the block reads it; the copy is a block called ``BUFFER_global``."""

    verb = "cache_read"
    usage = "cache_read(B, X): a copy of operand X by a block X_global"
    block: str
    buffer: str


@dataclass(frozen=True, slots=True)
class CacheWrite(Move):
    """The block writes to a buffer of its own, which is copied afterwards by a block called ``BUFFER_global``."""

    verb = "cache_write"
    usage = "cache_write(B, Y): B sums in a buffer Y_global, and a block Y_global copies it out"
    block: str
    buffer: str


@dataclass(frozen=True, slots=True)
class TransformLayout(Move):
    """A buffer between blocks, such as a copy, gets another layout: dimensions in another order, cut in blocks."""

    verb = "transform_layout"
    usage = "transform_layout(B, X_global, [d1/16, d0, d1%16]): of a buffer between blocks; d0 is its 1st dim"
    block: str
    buffer: str
    layout: tuple[Axis, ...]

    def __post_init__(self) -> None:
        """Raise :class:`IllegalEdit` unless each dimension is there once: whole, or divided with what that leaves."""
        if not 1 <= len(self.layout) <= 16:
            raise IllegalEdit("transform_layout takes 1 to 16 dimensions")
        parts: dict[int, list[tuple[str, int]]] = {}
        for axis in self.layout:
            parts.setdefault(axis.of, []).append((axis.part, axis.size))
        for number, found in parts.items():
            sizes = {size for _, size in found}
            kinds = sorted(part for part, _ in found)
            if kinds not in ([""], ["%", "/"]) or len(sizes) > 1:
                raise IllegalEdit(f"transform_layout takes d{number} once, or d{number}/16 and d{number}%16")


@dataclass(frozen=True, slots=True)
class PadEinsum(Move):
    """The block's loops are padded to multiples of these numbers, and operands and results with them."""

    verb = "pad_einsum"
    usage = "pad_einsum(B, [8, 32, 1]): each loop of B to a multiple; blocks X_pad copy the operands"
    block: str
    multiples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DecomposeReduction(Move):
    """The sum's first value is set by a block of its own, before the loop."""

    verb = "decompose_reduction"
    usage = "decompose_reduction(B.k): block B_init sets the sums before loop k (done at the end if left out)"
    loop: LoopName


@dataclass(frozen=True, slots=True)
class RFactor(Move):
    """The turns of a loop over terms become partial results, along dimension ``axis`` of a new buffer; the block then
    adds these up."""

    verb = "rfactor"
    usage = "rfactor(B.k_1, 1): partial sums for each turn of k_1 by block B_rf, as dimension 1; B adds them up"
    loop: LoopName
    axis: int = 0


@dataclass(frozen=True, slots=True)
class Tensorize(Move):
    """What the loop does becomes one of COLT's tensor intrinsics."""

    verb = "tensorize"
    usage = "tensorize(B.j_1, colt.dot.NAME)"
    loop: LoopName
    intrinsic: str


@dataclass(frozen=True, slots=True)
class Prefetch(Move):
    """What the loop's body reads of a buffer is asked for so many turns ahead."""

    verb = "prefetch"
    usage = "prefetch(B.k_1, X, 16): asks for what X is read for 16 turns of k_1 later"
    loop: LoopName
    buffer: str
    ahead: int


Scope = Literal["local", "global"]


@dataclass(frozen=True, slots=True)
class SetScope(Move):
    """A buffer between blocks is kept in another place: ``local`` is the stack."""

    verb = "set_scope"
    usage = "set_scope(B, X, local): X, which B writes, on the stack; or global"
    block: str
    buffer: str
    scope: Scope


KINDS: tuple[type[Move], ...] = (
    SplitLoop,
    FuseLoops,
    ReorderLoops,
    ParallelLoop,
    VectorizeLoop,
    UnrollLoop,
    ComputeAt,
    ReverseComputeAt,
    ComputeInline,
    ReverseComputeInline,
    CacheRead,
    CacheWrite,
    TransformLayout,
    PadEinsum,
    DecomposeReduction,
    RFactor,
    Tensorize,
    Prefetch,
    SetScope,
)
_BY_VERB: dict[str, type[Move]] = {kind.verb: kind for kind in KINDS}
_ALSO = {
    "vectorise": "vectorize",
    "tensorise": "tensorize",
    "inline": "compute_inline",
    "reverse_inline": "reverse_compute_inline",
    "pad": "pad_einsum",
    "layout": "transform_layout",
}
"""What moves are called as well."""


# ---- written ----


def show_move(move: Move) -> str:
    """The move as text, which :func:`read_move` reads."""
    given = [(spec, getattr(move, spec.name)) for spec in fields(move)]
    shown = [_shown(value) for spec, value in given if spec.default is MISSING or value != spec.default]
    return f"{move.verb}({', '.join(shown)})"


def show_moves(moves: Sequence[Move]) -> str:
    """Several moves on one line."""
    return _AND.join(map(show_move, moves))


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return "_" if value is REST else str(value)


def structure_name(base: str, moves: Sequence[Move]) -> str:
    """The name of the sketch that these moves make of another, which moves may have been made on before."""
    return f"{base}{_AND if _ON in base else _ON}{show_moves(moves)}" if moves else base


def is_moved(name: str) -> bool:
    """Whether that is the name of a structure that moves made."""
    return _ON in name


def brief_structure(name: str, most: int) -> str:
    """The name of a structure in about so many characters: what it was made of, and the last of its moves."""
    base, on, written = name.partition(_ON)
    if len(written) <= most:
        return name
    kept = written[-most:].partition(_AND)[2] or written[-most:]
    return f"{base}{on}...{_AND}{kept}"


def read_structure(name: str) -> tuple[str, tuple[Move, ...]]:
    """The sketch that moves were made on, and the moves. Raises :class:`IllegalEdit`."""
    base, on, written = name.partition(_ON)
    return base, read_moves(written) if on else ()


# ---- read ----


def read_moves(raw: object) -> tuple[Move, ...]:
    """Moves from one line of text, or from a list of what :func:`read_move` takes.

    Raises :class:`IllegalEdit`; there may be ``MOST_MOVES`` in ``MOST_TEXT`` characters.
    """
    if isinstance(raw, str):
        if len(raw) > MOST_TEXT:
            raise IllegalEdit(f"the moves take {len(raw)} characters; {MOST_TEXT} is the most")
        raw = [part for part in re.split(r"[;\n]", raw) if part.strip()]
    if not isinstance(raw, list | tuple):
        raise IllegalEdit(f"moves are a list such as [{show_move(_EXAMPLE)!r}], not {_kind(raw)}")
    if len(raw) > MOST_MOVES:
        raise IllegalEdit(f"there are {len(raw)} moves; {MOST_MOVES} is the most")
    return tuple(map(read_move, raw))


def read_move(raw: object) -> Move:
    """One move from its text, or from an object of JSON with ``move`` and the fields of that move, by name.

    Raises :class:`IllegalEdit`, whose message says how that move is written.
    """
    if isinstance(raw, Move):
        return raw
    if isinstance(raw, Mapping):
        given = {str(name): value for name, value in raw.items() if name != "move"}
        named = raw.get("move")
        if isinstance(named, str) and "(" in named:
            return read_move(named)
        return _of_fields(_kind_of(named), given)
    if not isinstance(raw, str):
        raise IllegalEdit(f"a move is a text such as {show_move(_EXAMPLE)!r}, not {_kind(raw)}")
    if len(raw) > MOST_TEXT:
        raise IllegalEdit(f"a move of {len(raw)} characters is too long")
    found = _CALL.fullmatch(raw)
    if found is None:
        raise IllegalEdit(f"{_brief(raw)} is no move; one is written like {show_move(_EXAMPLE)!r}")
    kind = _kind_of(found[1])
    return _of_arguments(kind, _arguments(found[2], kind))


def _kind_of(verb: object) -> type[Move]:
    name = verb.strip().lower() if isinstance(verb, str) else ""
    kind = _BY_VERB.get(_ALSO.get(name, name))
    if kind is None:
        shown = _brief(verb) if isinstance(verb, str) else _kind(verb)
        raise IllegalEdit(f"there is no move {shown}; there are {', '.join(_BY_VERB)}")
    return kind


def _arguments(text: str, kind: type[Move]) -> list[object]:
    """The arguments in parentheses: words, and lists of words."""
    found: list[object] = []
    inner: list[object] | None = None
    for token in _tokens(text.replace('"', "").replace("'", "")):
        if token == "[" and inner is None:
            inner = []
        elif token == "]" and inner is not None:
            found.append(inner)
            inner = None
        elif token in "[]":
            raise _misread(kind, "its brackets do not match")
        elif inner is not None:
            inner.append(token)
        else:
            found.append(token)
    if inner is not None:
        raise _misread(kind, "its brackets do not match")
    return found


def _tokens(text: str) -> Iterator[str]:
    return (token for token in _TOKEN.findall(text) if token != ",")


def _of_arguments(kind: type[Move], given: list[object]) -> Move:
    """Make the move of its arguments in order; ``name=value`` is taken by name."""
    names = [spec.name for spec in fields(kind)]
    given = _gathered(kind, given)
    taken: dict[str, object] = {}
    for place, value in enumerate(given):
        name, is_named, rest = value.partition("=") if isinstance(value, str) else ("", "", "")
        if is_named and name in names:
            taken[name] = rest
        elif place < len(names):
            taken[names[place]] = value
        else:
            raise _misread(kind, f"it has {len(given)} arguments")
    return _of_fields(kind, taken)


def _gathered(kind: type[Move], given: list[object]) -> list[object]:
    """``reorder(C.k, C.i)`` and ``fuse(C.i, C.j)`` as ``(C, [k, i])``."""
    flat = [one for item in given for one in (item if isinstance(item, list) else [item])]
    words = [one.rpartition(".") for one in flat if isinstance(one, str)]
    is_flat = len({block for block, _, _ in words}) == 1 and bool(words[0][0])
    if kind not in (FuseLoops, ReorderLoops) or not is_flat:
        return given
    return [words[0][0], [loop for _, _, loop in words]]


def _of_fields(kind: type[Move], given: Mapping[str, object]) -> Move:
    values: dict[str, Any] = {}
    for spec in fields(kind):
        raw = given.get(spec.name)
        if raw is None:
            if spec.default is MISSING:
                raise _misread(kind, f"it has no {spec.name}")
            continue
        try:
            values[spec.name] = _READERS[str(spec.type)](raw)
        except _Misread as error:
            raise _misread(kind, f"{spec.name} is {error}") from None
    unknown = [name for name in given if name not in {spec.name for spec in fields(kind)}]
    if unknown:
        raise _misread(kind, f"it has no {_brief(unknown[0])}")
    return kind(**values)


class _Misread(Exception):
    """An argument is not of its form; the text says what it is."""


def _misread(kind: type[Move], problem: str) -> IllegalEdit:
    return IllegalEdit(f"{kind.verb} is written {kind.usage}; here {problem}")


def _name(raw: object) -> str:
    if not isinstance(raw, str) or len(raw) > _LONGEST_NAME or not _NAME.fullmatch(raw.strip()):
        raise _Misread(f"{_brief(raw) if isinstance(raw, str) else _kind(raw)}, which is no name")
    return raw.strip()


def _loop_name(raw: object) -> LoopName:
    block, dot, loop = _name(raw).rpartition(".")
    if not dot:
        raise _Misread(f"{_brief(str(raw))}, which is no loop of a block such as C.k")
    return LoopName(block, loop)


def _names(raw: object) -> tuple[str, ...]:
    return tuple(_name(one).rpartition(".")[2] for one in _list(raw))


def _integer(raw: object) -> int:
    if isinstance(raw, str) and re.fullmatch(r"\s*\d{1,10}\s*", raw):
        raw = int(raw)
    if type(raw) is not int or not 0 <= raw <= LARGEST:
        shown = _brief(str(raw)) if isinstance(raw, int | float | str) else _kind(raw)
        raise _Misread(f"{shown}, which is no integer from 0 to {LARGEST}")
    return raw


def _positive(raw: object) -> int:
    found = _integer(raw)
    if found < 1:
        raise _Misread("0")
    return found


def _factor(raw: object) -> Factor:
    if raw is None or raw == -1 or (isinstance(raw, str) and raw.strip().lower() in _REST_WORDS):
        return REST
    return OPEN if isinstance(raw, str) and raw.strip() == OPEN else _positive(raw)


def _factors(raw: object) -> tuple[Factor, ...]:
    return tuple(map(_factor, _list(raw)))


def _multiples(raw: object) -> tuple[int, ...]:
    return tuple(map(_positive, _list(raw)))


def _axis(raw: object) -> Axis:
    found = _DIMENSION.fullmatch(raw.replace("//", "/").replace(" ", "")) if isinstance(raw, str) else None
    if found is None:
        raise _Misread(f"{_brief(str(raw))}, which is no dimension such as d0, d1/16 or d1%16")
    part = cast(Literal["", "/", "%"], found[2] or "")
    return Axis(int(found[1]), part, _positive(found[3]) if part else 1)


def _layout(raw: object) -> tuple[Axis, ...]:
    return tuple(map(_axis, _list(raw)))


def _one_of(*words: str) -> Callable[[object], str]:
    def read(raw: object) -> str:
        if not isinstance(raw, str) or raw.strip().lower() not in words:
            raise _Misread(f"{_brief(str(raw))}, not {' or '.join(words)}")
        return raw.strip().lower()

    return read


def _list(raw: object) -> Sequence[object]:
    if not isinstance(raw, list | tuple):
        raise _Misread(f"{_kind(raw)} instead of a list")
    if len(raw) > 64:
        raise _Misread(f"a list of {len(raw)}")
    return raw


_READERS: dict[str, Callable[[object], object]] = {
    "str": _name,
    "int": _integer,
    "LoopName": _loop_name,
    "tuple[str, ...]": _names,
    "tuple[int, ...]": _multiples,
    "tuple[Factor, ...]": _factors,
    "tuple[Axis, ...]": _layout,
    "Place": _one_of("last", "first"),
    "Scope": _one_of("local", "global"),
}
"""What reads a field of that type."""


def _require_different(verb: str, loops: tuple[str, ...]) -> None:
    if len(loops) < 2 or len(set(loops)) < len(loops):
        raise IllegalEdit(f"{verb} takes two or more different loops of one block")


def _brief(text: object) -> str:
    shown = str(text)
    return repr(shown if len(shown) <= 60 else shown[:57] + "...")


def _kind(raw: object) -> str:
    return {dict: "an object", list: "a list", type(None): "null"}.get(type(raw), f"a {type(raw).__name__}")


_EXAMPLE = SplitLoop(LoopName("C", "k"), (REST, 32))
