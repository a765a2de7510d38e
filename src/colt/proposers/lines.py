"""Finds the line of a key in a TOML file, for messages; the standard library's parser doesn't keep it."""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*["']?([A-Za-z0-9_-]+)["']?\s*[.=]""")


class Lines:
    """The lines of a file with an array of tables (``[[table]]``), which may contain tables themselves."""

    def __init__(self, text: str, table: str) -> None:
        self._starts: list[int] = []
        self._keys: list[dict[str, int]] = []
        self._before: dict[str, int] = {}
        keys = self._before
        for number, line in enumerate(text.splitlines(), start=1):
            if header := _HEADER.match(line):
                name, _, inner = header[1].replace(" ", "").partition(".")
                if name == table and not inner:
                    self._starts.append(number)
                    keys = {}
                    self._keys.append(keys)
                elif name == table:
                    keys.setdefault(inner, number)
                    keys = {}  # keys of an inner table are not looked up
                else:
                    self._before.setdefault(name, number)
                    keys = {}
            elif key := _KEY.match(line):
                keys.setdefault(key[1], number)

    def of(self, index: int, key: str | None = None) -> int | None:
        """The line of a key of the ``index``-th table, or else of the table's header."""
        if index >= len(self._starts):
            return None
        return self._keys[index].get(key or "", self._starts[index])

    def outside(self, key: str) -> int | None:
        """The line of a key or table outside the array."""
        return self._before.get(key)
