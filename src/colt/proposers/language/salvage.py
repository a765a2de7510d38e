"""JSON out of whatever a model wrote: prose around it, fences, reasoning tags, trailing commas, line breaks in texts, a
torn end.

Every step is linear in the text, of which the last :data:`MAX_CHARACTERS` are looked at, with an effort that is
bounded: what is nothing but brackets is given up. Nothing is evaluated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_CHARACTERS = 32_768
"""An answer of ours takes a tenth of it; one that rambles on ends with what it comes to."""
MAX_DEPTH = 16
"""Deeper nesting is no reply of ours."""
MIN_CHARACTERS = 8
"""Shorter pieces hold no proposal."""
MAX_EFFORT = 16_000
"""Marks (brackets, quotes, backslashes) that are looked at, over all attempts."""
_EFFORT_OF_LOADING = 20
_DIGITS = 20
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
    search = _Search()
    for part in _without_reasoning(text):
        if found := list(search.pieces(part[-MAX_CHARACTERS:])):
            return found
    return []


def printable(text: str, limit: int) -> str:
    """The text on one line, without control characters and lone surrogates, at most ``limit`` characters of it."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."


def _without_reasoning(text: str) -> Iterator[str]:
    """What comes after the last closing tag, then all of it."""
    end = max(text.rfind(f"</{tag}>") for tag in _REASONING)
    if end >= 0:
        yield text[end:]
    yield text


@dataclass(slots=True)
class _Search:
    """Looks for pieces as long as its effort lasts: a reply of ours takes a tenth of it, brackets without end all."""

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
        """Where brackets open and close again, and at the end what stays open; with how deeply they are nested."""
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
    """The value, or ``None`` for what is no JSON even with the usual slips mended. Texts may hold control characters:
    models write them, and grammars that enforce a schema let them through."""
    for candidate in (text, _mended(text)):
        try:
            value: object = json.loads(candidate, parse_int=_integer, strict=False)
        except (ValueError, RecursionError):
            continue
        return value
    return None


def _integer(digits: str) -> int:
    """Of thousands of digits, which Python refuses to read, as many as are too large for everything of ours."""
    return int(digits[:_DIGITS])


def _mended(text: str) -> str:
    """Without trailing commas; a Python literal as JSON."""
    if '"' not in text:
        text = _PYTHON.sub(lambda match: _JSON[match.group()], text.replace("'", '"'))
    return _TRAILING_COMMA.sub("", text)
