"""The edits of a reply: names of knobs with their values, as text or in JSON's types, checked for form.

    C.i=[1,64,1,8] unroll=16 pad.at=i_0

Prompts show schedules in this form, and models answer in it. Other forms are understood, too.
"""

from __future__ import annotations

import re

from colt.errors import IllegalEdit
from colt.knobs import CategoryKnob, Knob, LocationKnob, TileKnob, Value
from colt.proposers.language.salvage import printable

LONGEST_NAME = 80
_INTEGERS = re.compile(r"[+-]?\d{1,9}")
_TOKENS = re.compile(r"\[[^\[\]]*\]|[=:]|[^\s,;=:\[\]{}\"']+")
_SIGNS = ("=", ":")
_ANY = ("", "any", "anything", "anything legal", "null", "none")


def written_edits(text: str) -> tuple[list[tuple[str, object]], str]:
    """Names and values in a text, in time linear in its length, and the first word that belongs to neither (or "")."""
    tokens: list[str] = _TOKENS.findall(text)
    pairs: list[tuple[str, object]] = []
    stray, place = "", 0
    while place < len(tokens):
        name, sign, value, then = (*tokens[place : place + 4], "", "", "")[:4]
        if sign in _SIGNS and value not in ("", *_SIGNS) and then not in _SIGNS:
            pairs.append((name, value[1:-1].replace(",", " ").split() if value[0] == "[" else value))
            place += 3
        else:  # a remark, or a title such as ``tile:``
            stray = stray or name
            place += 1
    return pairs, stray


def checked(knob: Knob, raw: object) -> Value | None:
    """The value in the knob's own type: texts with numbers and whole floats are converted. ``None`` is any legal value.

    Only the form of a location is checked: whether it is legal depends on all other values.

    Raises
    ------
    IllegalEdit
        The value is not legal; the message says which are.
    """
    if raw is None or (isinstance(raw, str) and raw.strip().casefold() in _ANY):
        return None
    if isinstance(knob, TileKnob):
        parts = _INTEGERS.findall(raw) if isinstance(raw, str) and len(raw) <= LONGEST_NAME else raw
        return knob.check([_integer(part) for part in parts] if isinstance(parts, list) else parts)
    if isinstance(knob, CategoryKnob):
        only = raw[0] if isinstance(raw, list) and len(raw) == 1 else raw
        return knob.check(_integer(only))
    return _location(knob, raw)


def unchecked(raw: object) -> Value | None:
    """A tile for a knob that is not there yet: whether it is legal shows when it is."""
    parts = [_integer(one) for one in raw] if isinstance(raw, list) else []
    return tuple(part for part in parts if type(part) is int) or None


def _integer(raw: object) -> object:
    """``raw`` as an integer if it stands for one, else unchanged."""
    if isinstance(raw, float) and raw.is_integer() and abs(raw) < 1e15:
        return int(raw)
    if isinstance(raw, str) and len(raw) <= 20 and _INTEGERS.fullmatch(raw.strip()):
        return int(raw)
    return raw


def _location(knob: LocationKnob, raw: object) -> str:
    if not isinstance(raw, str) or len(raw) > LONGEST_NAME or printable(raw, LONGEST_NAME) != raw.strip():
        raise IllegalEdit(f"knob {knob.name} takes root, inline or the name of a loop, not {in_brief(raw)}")
    return raw.strip().removeprefix("inside ").removeprefix("loop ").strip()


def in_brief(value: object) -> str:
    """A value of a reply in a few words, with JSON's types."""
    if isinstance(value, str):
        return repr(printable(value, LONGEST_NAME))
    return {dict: "an object", list: "a list", type(None): "null"}.get(type(value), f"a {type(value).__name__}")
