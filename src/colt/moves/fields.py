"""The fields of moves, read from texts or from JSON that may be anybody's."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, cast

from colt.moves.kinds import LARGEST, OPEN, REST, Axis, Factor, LoopName

_NAME = re.compile(r"[A-Za-z_][\w#]*(?:\.[\w#]+)*")
_SKETCH = re.compile(r"[\w-]+(?:/[\w-]+)?")
_DIMENSION = re.compile(r"d(\d{1,2})(?:([/%])(\d{1,9}))?")
_REST_WORDS = ("_", "none", "null", "-1", "rest")
_LONGEST_NAME = 120


class Misread(Exception):
    """An argument is not of its form; the text says what it is."""


def _name(raw: object) -> str:
    if not isinstance(raw, str) or len(raw) > _LONGEST_NAME or not _NAME.fullmatch(raw.strip()):
        raise Misread(f"{in_brief(raw) if isinstance(raw, str) else kind_of(raw)}, which is no name")
    return raw.strip()


def _sketch_name(raw: object) -> str:
    if not isinstance(raw, str) or len(raw) > _LONGEST_NAME or not _SKETCH.fullmatch(raw.strip()):
        raise Misread(f"{in_brief(raw) if isinstance(raw, str) else kind_of(raw)}, which is no name of a sketch")
    return raw.strip()


def _loop_name(raw: object) -> LoopName:
    block, dot, loop = _name(raw).rpartition(".")
    if not dot:
        raise Misread(f"{in_brief(str(raw))}, which is no loop of a block such as C.k")
    return LoopName(block, loop)


def _names(raw: object) -> tuple[str, ...]:
    return tuple(_name(one).rpartition(".")[2] for one in _list(raw))


def _integer(raw: object) -> int:
    if isinstance(raw, str) and re.fullmatch(r"\s*\d{1,10}\s*", raw):
        raw = int(raw)
    if type(raw) is not int or not 0 <= raw <= LARGEST:
        shown = in_brief(str(raw)) if isinstance(raw, int | float | str) else kind_of(raw)
        raise Misread(f"{shown}, which is no integer from 0 to {LARGEST}")
    return raw


def _positive(raw: object) -> int:
    found = _integer(raw)
    if found < 1:
        raise Misread("0")
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
        raise Misread(f"{in_brief(str(raw))}, which is no dimension such as d0, d1/16 or d1%16")
    part = cast(Literal["", "/", "%"], found[2] or "")
    return Axis(int(found[1]), part, _positive(found[3]) if part else 1)


def _layout(raw: object) -> tuple[Axis, ...]:
    return tuple(map(_axis, _list(raw)))


def _one_of(*words: str) -> Callable[[object], str]:
    def read(raw: object) -> str:
        if not isinstance(raw, str) or raw.strip().lower() not in words:
            raise Misread(f"{in_brief(str(raw))}, not {' or '.join(words)}")
        return raw.strip().lower()

    return read


def _list(raw: object) -> Sequence[object]:
    if not isinstance(raw, list | tuple):
        raise Misread(f"{kind_of(raw)} instead of a list")
    if len(raw) > 64:
        raise Misread(f"a list of {len(raw)}")
    return raw


READERS: dict[str, Callable[[object], object]] = {
    "str": _name,
    "int": _integer,
    "SketchName": _sketch_name,
    "LoopName": _loop_name,
    "tuple[str, ...]": _names,
    "tuple[int, ...]": _multiples,
    "tuple[Factor, ...]": _factors,
    "tuple[Axis, ...]": _layout,
    "Place": _one_of("last", "first"),
    "Scope": _one_of("local", "global"),
}
"""What reads a field of that type."""


def in_brief(text: object) -> str:
    """What was said, quoted and cut to 60 characters."""
    shown = str(text)
    return repr(shown if len(shown) <= 60 else shown[:57] + "...")


def kind_of(raw: object) -> str:
    """What kind of thing this is, in JSON's words."""
    return {dict: "an object", list: "a list", type(None): "null"}.get(type(raw), f"a {type(raw).__name__}")
