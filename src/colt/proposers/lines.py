"""Where in a TOML file a key stands, for messages: the parser of the standard library does not tell."""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*["']?([A-Za-z0-9_-]+)["']?\s*[.=]""")


class Lines:
    """Lines of a file that is an array of tables (``[[table]]``), which may have tables of their own within."""

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
                    keys = {}  # keys of a table within are not told apart
                else:
                    self._before.setdefault(name, number)
                    keys = {}
            elif key := _KEY.match(line):
                keys.setdefault(key[1], number)

    def of(self, index: int, key: str | None = None) -> int | None:
        """The line of a key of the ``index``-th table, or of its header if it has no such line."""
        if index >= len(self._starts):
            return None
        return self._keys[index].get(key or "", self._starts[index])

    def outside(self, key: str) -> int | None:
        """The line of a key or table that belongs to no table of the array."""
        return self._before.get(key)
