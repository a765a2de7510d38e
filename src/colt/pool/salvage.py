"""JSON out of whatever a model wrote: prose around it, fences, reasoning tags, trailing commas, a torn end.

Every step is linear in the text, of which the last :data:`MAX_CHARACTERS` are looked at; nothing is evaluated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

MAX_CHARACTERS = 32_768
"""An answer of ours takes a tenth of it; one that rambles on ends with what it comes to."""
MAX_DEPTH = 16
"""Deeper nesting is no reply of ours."""
MIN_CHARACTERS = 8
"""Shorter pieces hold no proposal."""
_DESCENTS = 3
"""How often a broken or unfinished piece is looked into for whole pieces inside it."""

_MARKS = re.compile(r'["\\{}\[\]]')
_TRAILING_COMMA = re.compile(r",(?=\s*[}\]])")
_PYTHON = re.compile(r"\b(?:None|True|False)\b")
_JSON = {"None": "null", "True": "true", "False": "false"}
_REASONING = ("think", "thinking", "reasoning", "thought")


def json_pieces(text: str) -> list[object]:
    """All JSON objects and lists that stand in the text, in their order; of a broken one the whole ones inside it.

    Brackets in prose do no harm. What a model thought aloud, in tags, counts only if there is nothing else.
    """
    for part in _without_reasoning(text):
        if found := list(_pieces(part[-MAX_CHARACTERS:], 0)):
            return found
    return []


def printable(text: str, limit: int) -> str:
    """The text on one line, without control characters and lone surrogates, at most ``limit`` characters of it."""
    clean = text[: 4 * limit].encode("utf-8", "replace").decode("utf-8")
    clean = " ".join("".join(c if c.isprintable() else " " for c in clean).split())
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."


def _without_reasoning(text: str) -> Iterator[str]:
    """What comes after the last closing tag, then all of it."""
    end = max(text.rfind(f"</{tag}>") for tag in _REASONING)
    if end >= 0:
        yield text[end:]
    yield text


def _pieces(text: str, descents: int) -> Iterator[object]:
    for start, end in _regions(text):
        if end - start < MIN_CHARACTERS:
            continue
        value = _load(text[start:end])
        if isinstance(value, dict | list):
            yield value
        elif descents < _DESCENTS:
            yield from _pieces(text[start + 1 : end], descents + 1)


def _regions(text: str) -> Iterator[tuple[int, int]]:
    """Where brackets open and close again, and at the end what stays open."""
    open_: list[str] = []
    start = skip = 0
    in_string = False
    for match in _MARKS.finditer(text):
        place, mark = match.start(), match.group()
        if place < skip:
            continue
        if mark == "\\":
            skip = place + 2 if in_string else 0
        elif mark == '"':
            in_string = bool(open_) and not in_string
        elif in_string:
            continue
        elif mark in "{[":
            if not open_:
                start = place
            open_.append(mark)
        elif open_:
            open_.pop()
            if not open_:
                yield start, place + 1
    if open_:
        yield start, len(text)


def _load(text: str) -> object:
    """The value, or ``None`` for what is no JSON even with the usual slips mended."""
    if _depth(text) > MAX_DEPTH:
        return None
    for candidate in (text, _mended(text)):
        try:
            value: object = json.loads(candidate)
        except (ValueError, RecursionError):  # also an integer of thousands of digits
            continue
        return value
    return None


def _depth(text: str) -> int:
    """At most how deeply brackets are nested; those in strings count too."""
    depth = deepest = 0
    for mark in _MARKS.findall(text):
        if mark in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in "}]":
            depth -= 1
    return deepest


def _mended(text: str) -> str:
    """Without trailing commas; a Python literal as JSON."""
    if '"' not in text:
        text = _PYTHON.sub(lambda match: _JSON[match.group()], text.replace("'", '"'))
    return _TRAILING_COMMA.sub("", text)
