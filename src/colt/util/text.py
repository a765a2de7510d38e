"""Names that were misspelt, and errors of other libraries in one line."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

LONGEST_NAME = 80
"""Characters of a wrong name that are compared."""


def nearest(name: str, known: Sequence[str]) -> list[str]:
    """Up to three known names that resemble ``name``, the most similar first."""
    return difflib.get_close_matches(name[:LONGEST_NAME], known, cutoff=0.5)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all."""
    near = nearest(name, known)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}"


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
