"""Files that grow by whole lines."""

from __future__ import annotations

from pathlib import Path


class LineFile:
    """Appends lines to a new file, each one whole or not at all.

    The first write that fails (a full disk, a folder that has gone) ends the writing: what it left of a line is cut
    off, ``failure`` holds the error with the file's name, and later lines are dropped. Nothing is raised, since a line
    is written in the middle of other work; the owner of the file looks at ``failure``.
    """

    def __init__(self, path: Path) -> None:
        """Raises :class:`OSError` if the file exists or cannot be made."""
        self.failure: OSError | None = None
        self._path = path
        self._file = path.open("xb", buffering=0)
        self._size = 0

    def write(self, text: str) -> None:
        """Append whole lines; ``text`` ends with a newline."""
        if self.failure is not None or not text:
            return
        data = text.encode()
        try:
            written = 0
            while written < len(data):
                written += self._file.write(data[written:]) or 0
            self._size += len(data)
        except OSError as error:
            self.failure = OSError(error.errno, error.strerror, str(self._path))
            self._file.truncate(self._size)

    def close(self) -> None:
        """May be repeated."""
        self._file.close()
