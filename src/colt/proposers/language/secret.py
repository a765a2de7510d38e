"""Masks an API key in texts from its endpoint: the whole key, and the fragments that servers quote."""

from __future__ import annotations

import re
from collections.abc import Sequence

MASK = "***"
SHORTEST = 8
"""Shorter keys (``none``, ``EMPTY``) are no secrets."""
FRAGMENT = 6
"""Fragments of this many characters are masked wherever they occur. Shorter ones would hit ordinary words."""
EDGE = 4
"""How many characters of an end of the key :meth:`Secret.masked_error` masks."""

_IN_JSON = re.compile(r"\\u[0-9a-fA-F]{4}|\\.", re.DOTALL)
_IN_TEXT = re.compile(r"%(?:25)*[0-9a-fA-F]{2}|\\+u00[0-9a-fA-F]{2}|\\+/|&#(?:\d{1,3}|x[0-9a-fA-F]{1,2});")
_BEFORE_A_MASK = r"(?=\*|\.\.|[\u2026\u2022]|[xX]{3})"
_AFTER_A_MASK = r"(?:(?<=\*)|(?<=\.\.)|(?<=[\u2026\u2022])|(?<=[xX]{3}))"
_ALONE = r"(?<![A-Za-z0-9]){}(?![A-Za-z0-9])"
_WORD = re.compile(r"[A-Za-z]?[a-z]+")


class Secret:
    """An API key, or none. Masking is case-sensitive."""

    def __init__(self, key: str | None) -> None:
        self._key = key or ""
        secret = self._key if len(self._key) >= SHORTEST else ""
        self._fragments = {secret[at : at + FRAGMENT] for at in range(len(secret) - FRAGMENT + 1)}
        self._edges = _edges(secret) if secret else None

    def masked(self, text: str) -> str:
        """The text without fragments of the key; they may be URL-encoded, JSON-escaped or HTML entities."""
        return self._without(self._without(text, _IN_TEXT), None)

    def masked_error(self, text: str) -> str:
        """The same for an error text, where more is masked: a short key too, and the ends of a key.

        An end of :data:`EDGE` characters or more is masked beside the server's own mask (``sk-a****wxyz``), and where
        it stands alone unless it looks like an ordinary word.
        """
        if self._edges is None:
            return text.replace(self._key, MASK) if self._key else text
        return self._edges.sub(MASK, self.masked(text))

    def masked_json(self, body: bytes) -> bytes:
        """A JSON body without fragments of the key. It stays valid: an escape is replaced as a whole or not at all."""
        text = body.decode("utf-8", "surrogateescape")
        return self._without(text, _IN_JSON).encode("utf-8", "surrogateescape")

    def _without(self, text: str, escapes: re.Pattern[str] | None) -> str:
        """The text with each run of fragments masked; ``escapes`` are read as the characters they stand for."""
        if not self._fragments:
            return text
        plain, starts = (text, range(len(text) + 1)) if escapes is None else _unescaped(text, escapes)
        parts: list[str] = []
        done = end = 0  # how far ``text`` is copied; where the current run ends in ``plain``
        for at in range(len(plain) - FRAGMENT + 1):
            if plain[at : at + FRAGMENT] in self._fragments:
                if at >= end:
                    parts += [text[done : starts[at]], MASK]
                end = at + FRAGMENT
                done = starts[end]
        return "".join([*parts, text[done:]])


def _edges(secret: str) -> re.Pattern[str]:
    """Matches the edges of a key that error texts may not show."""
    lengths = range(FRAGMENT - 1, EDGE - 1, -1)
    first, last = [secret[:length] for length in lengths], [secret[-length:] for length in lengths]
    patterns = [re.escape(edge) + _BEFORE_A_MASK for edge in first]
    patterns += [_AFTER_A_MASK + re.escape(edge) for edge in last]
    patterns += [_ALONE.format(re.escape(edge)) for edge in (*first, *last) if not _WORD.fullmatch(edge)]
    return re.compile("|".join(patterns))


def _unescaped(text: str, escapes: re.Pattern[str]) -> tuple[str, Sequence[int]]:
    """The text with its escapes decoded, and the offset in ``text`` of each of its characters and of the end."""
    parts: list[str] = []
    starts: list[int] = []
    done = 0
    for match in escapes.finditer(text):
        parts += [text[done : match.start()], _character(match[0])]
        starts += range(done, match.start() + 1)
        done = match.end()
    starts += range(done, len(text) + 1)
    return "".join([*parts, text[done:]]), starts


def _character(escape: str) -> str:
    """The character that an escape stands for; NUL for characters that no key holds."""
    if escape[0] == "&":
        digits = escape[2:-1]
        return chr(int(digits[1:], 16) if digits[0] == "x" else int(digits))
    if escape[0] == "%":
        return chr(int(escape[-2:], 16))
    if "u" in escape:
        return chr(int(escape.rpartition("u")[2], 16)) if len(escape) > 2 else "\0"
    return escape[-1] if escape[-1] in '"\\/' else "\0"
