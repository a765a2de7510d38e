"""Pages as files: looked at before the work, written completely or not at all."""

from __future__ import annotations

from pathlib import Path

from colt.errors import InputError
from colt.util.files import write_atomically


def require_writable(path: Path) -> Path:
    """The path, if a file can be written there. Raises :class:`InputError`."""
    if not path.parent.is_dir() or (path.exists() and not path.is_file()):
        raise InputError(f"{path} cannot be written: its folder must exist, and only a file is replaced")
    return path


def write_page(path: Path, text: str) -> str:
    """Write a page, and say so. Raises :class:`InputError`."""
    return write_file(path, text.encode("utf-8", "replace"))


def write_file(path: Path, content: bytes) -> str:
    """Write a file completely or not at all, and say so. Raises :class:`InputError`."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    return f"wrote {path} ({len(content) / 1e6:.1f} MB)"
