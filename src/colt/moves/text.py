"""Moves as text and back, alone and in the names of structures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from colt.errors import IllegalEdit
from colt.moves.fields import READERS, Misread, in_brief, kind_of
from colt.moves.kinds import KINDS, REST, FuseLoops, LoopName, Move, ReorderLoops, SplitLoop

MOST_MOVES = 128
"""Moves of one structure."""
MOST_TEXT = 6000
"""Characters of one structure's moves."""
_AND = "; "
_ON = " | "
_CALL = re.compile(r"\s*([A-Za-z_]+)\s*\((.*)\)\s*", re.DOTALL)
_COMMENT = re.compile(r"(?m)\s#.*$")
"""A remark behind moves, as in prompts; a name such as ``i#2`` has no space before its number."""
_TOKEN = re.compile(r"\s*([\[\],]|[^\s\[\],]+)")
_EXAMPLE = SplitLoop(LoopName("C", "k"), (REST, 32))
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


def can_be_written(move: Move) -> bool:
    """Whether the text of the move says the same: names of programs may be any text."""
    try:
        return read_move(show_move(move)) == move
    except IllegalEdit:
        return False


# ---- read ----


def read_moves(raw: object) -> tuple[Move, ...]:
    """Moves from text, with semicolons or ends of lines between them, or from a list of what :func:`read_move` takes,
    or of such texts.

    Raises :class:`IllegalEdit`; there may be ``MOST_MOVES`` in ``MOST_TEXT`` characters.
    """
    given = [raw] if isinstance(raw, str) else raw
    if not isinstance(given, list | tuple):
        raise IllegalEdit(f"moves are a text such as {show_move(_EXAMPLE)!r}, not {kind_of(raw)}")
    texts = [one for one in given if isinstance(one, str)]
    if (length := sum(map(len, texts))) > MOST_TEXT:
        raise IllegalEdit(f"the moves take {length} characters; {MOST_TEXT} is the most")
    raw = [one for part in given for one in (_apart(part) if isinstance(part, str) else [part])]
    if len(raw) > MOST_MOVES:
        raise IllegalEdit(f"there are {len(raw)} moves; {MOST_MOVES} is the most")
    return tuple(map(read_move, raw))


def _apart(text: str) -> list[str]:
    """The moves of a text, each as text, without remarks."""
    return [part for part in re.split(r"[;\n]", _COMMENT.sub("", text)) if part.strip()]


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
        raise IllegalEdit(f"a move is a text such as {show_move(_EXAMPLE)!r}, not {kind_of(raw)}")
    if len(raw) > MOST_TEXT:
        raise IllegalEdit(f"a move of {len(raw)} characters is too long")
    found = _CALL.fullmatch(raw)
    if found is None:
        raise IllegalEdit(f"{in_brief(raw)} is no move; one is written like {show_move(_EXAMPLE)!r}")
    kind = _kind_of(found[1])
    return _of_arguments(kind, _arguments(found[2], kind))


def _kind_of(verb: object) -> type[Move]:
    name = verb.strip().lower() if isinstance(verb, str) else ""
    kind = _BY_VERB.get(_ALSO.get(name, name))
    if kind is None:
        shown = in_brief(verb) if isinstance(verb, str) else kind_of(verb)
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
            values[spec.name] = READERS[str(spec.type)](raw)
        except Misread as error:
            raise _misread(kind, f"{spec.name} is {error}") from None
    unknown = [name for name in given if name not in {spec.name for spec in fields(kind)}]
    if unknown:
        raise _misread(kind, f"it has no {in_brief(unknown[0])}")
    return kind(**values)


def _misread(kind: type[Move], problem: str) -> IllegalEdit:
    return IllegalEdit(f"{kind.verb} is written {kind.usage}; here {problem}")
