"""Names that were misspelt, names for variables, errors of other libraries in one line, and latencies."""

from __future__ import annotations

import difflib
import keyword
import re
import unicodedata
from collections.abc import Iterable, Sequence

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


def counted(number: int, noun: str) -> str:
    """So many of them, such as ``1 thread`` or ``2 threads``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def in_us(latency_us: float) -> str:
    """A latency in microseconds without its unit: with one decimal, or three digits if it is less than 10."""
    return f"{latency_us:,.1f}" if latency_us >= 10 else f"{latency_us:#.3g}"


def distinct_names(wanted: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """The names, in order; one that is taken or came before gets the first number that makes it new."""
    used = set(taken)
    kept = used.union(wanted)
    found: list[str] = []
    for name in wanted:
        chosen, number = name, 0
        while chosen in used or (number and chosen in kept):
            number += 1
            chosen = f"{name}_{number}"
        used.add(chosen)
        found.append(chosen)
    return found


def variable_names(wanted: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """Different Python variables that look like the names, in order; none is a keyword or ``taken``."""
    return distinct_names(list(map(_variable, wanted)), taken)


def _variable(name: str) -> str:
    plain = re.sub(r"\W", "_", unicodedata.normalize("NFKC", name))  # as Python reads identifiers
    if not plain.isidentifier():
        plain = f"_{plain}"
    if not plain.isidentifier():
        plain = re.sub(r"[^A-Za-z0-9_]", "_", plain)
    return f"{plain}_" if keyword.iskeyword(plain) else plain
