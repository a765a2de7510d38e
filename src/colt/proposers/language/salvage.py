"""Finds the JSON in a model's text despite prose, fences, reasoning tags, trailing commas, line breaks in strings or a
torn end.

Only the last :data:`MAX_CHARACTERS` are read. Every step is linear in them, and the total effort is bounded, so a text
of nothing but brackets is given up. Nothing is evaluated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_CHARACTERS = 32_768
"""A usual reply takes a tenth of it; a long-winded one ends with its result."""
MAX_DEPTH = 16
"""Replies in the schema are nested less deeply."""
MIN_CHARACTERS = 8
"""Shorter pieces can't hold a proposal."""
MAX_EFFORT = 16_000
"""How many marks (brackets, quotes, backslashes) are looked at in all attempts together."""
_EFFORT_OF_LOADING = 20
_DIGITS = 20
_DESCENTS = 3
"""How many levels deep a broken piece is searched for whole ones."""

_MARKS = re.compile(r'["\\{}\[\]]')
_TRAILING_COMMA = re.compile(r",(?=\s*[}\]])")
_PYTHON = re.compile(r"\b(?:None|True|False)\b")
_JSON = {"None": "null", "True": "true", "False": "false"}
_REASONING = ("think", "thinking", "reasoning", "thought")


def json_pieces(text: str) -> list[object]:
    """All JSON objects and lists in the text, in order. A broken one is replaced by the whole ones inside it.

    Brackets in prose do no harm. Reasoning in tags counts only if there is no JSON after it.
    """
    search = _Search()
    for part in _without_reasoning(text):
        if found := list(search.pieces(part[-MAX_CHARACTERS:])):
            return found
    return []


def printable(text: str, limit: int) -> str:
    """The text on one line of at most ``limit`` characters, without control characters and lone surrogates."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."


def _without_reasoning(text: str) -> Iterator[str]:
    """The text after the last closing tag, then the whole text."""
    end = max(text.rfind(f"</{tag}>") for tag in _REASONING)
    if end >= 0:
        yield text[end:]
    yield text


@dataclass(slots=True)
class _Search:
    """Searches for pieces until its effort is used up; a usual reply takes a tenth of it."""

    effort: int = MAX_EFFORT

    def pieces(self, text: str, descents: int = 0) -> Iterator[object]:
        for start, end, depth in self._regions(text):
            if end - start < MIN_CHARACTERS:
                continue
            value = _load(text[start:end]) if depth <= MAX_DEPTH else None
            self.effort -= _EFFORT_OF_LOADING
            if isinstance(value, dict | list):
                yield value
            elif descents < _DESCENTS:
                yield from self.pieces(text[start + 1 : end], descents + 1)

    def _regions(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Start, end and depth of each bracketed region; the last may be unclosed."""
        open_ = deepest = start = skip = 0
        in_string = False
        for match in _MARKS.finditer(text):
            if self.effort <= 0:
                return
            self.effort -= 1
            place, mark = match.start(), match.group()
            if place < skip:
                continue
            if mark == "\\":
                skip = place + 2 if in_string else 0
            elif mark == '"':
                in_string = open_ > 0 and not in_string
            elif in_string:
                continue
            elif mark in "{[":
                start = start if open_ else place
                open_ += 1
                deepest = max(deepest, open_)
            elif open_:
                open_ -= 1
                if not open_:
                    yield start, place + 1, deepest
                    deepest = 0
        if open_:
            yield start, len(text), deepest


def _load(text: str) -> object:
    """The value, or ``None`` if the text isn't JSON even after mending the usual slips. Strings may hold control
    characters: models write them, and grammars that enforce a schema let them through."""
    for candidate in (text, _mended(text)):
        try:
            value: object = json.loads(candidate, parse_int=_integer, strict=False)
        except (ValueError, RecursionError):
            continue
        return value
    return None


def _integer(digits: str) -> int:
    """An integer from its first digits: Python refuses to read thousands, and these already exceed every bound."""
    return int(digits[:_DIGITS])


def _mended(text: str) -> str:
    """The text without trailing commas, and with a Python literal turned into JSON."""
    if '"' not in text:
        text = _PYTHON.sub(lambda match: _JSON[match.group()], text.replace("'", '"'))
    return _TRAILING_COMMA.sub("", text)
