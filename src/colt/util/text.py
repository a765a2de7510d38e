"""Names that were misspelt, names for variables, texts from elsewhere and latencies as people read them."""

from __future__ import annotations

import difflib
import keyword
import re
import unicodedata
from collections.abc import Iterable, Sequence

LONGEST_NAME = 80
"""Characters of a wrong name that are compared."""
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Characters that show nothing, though Python calls them printable: fillers, and selectors of variants."""


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


def shown(text: str, lines: bool = False) -> str:
    """A text from elsewhere, as people are to see it: what cannot be seen is escaped as in Python.

    So names that look the same are the same, and none moves a cursor, hides what stands beside it or turns its
    direction. Escaped are control characters, marks of direction, characters without width or ink, spaces other than
    the usual one, and what is no character. ``lines``: line ends and tabs stay.
    """
    if text.isprintable() and not _UNSEEN.search(text):
        return text
    kept = "\n\t" if lines else ""
    return "".join(
        one if one in kept or (one.isprintable() and not _UNSEEN.match(one)) else _escape(one) for one in text
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def why(error: BaseException) -> str:
    """What an error of a library says, in words for people: without numbers of errors, names of types and paths of
    JSON, which say nothing to whoever has only the file."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = first_line(error)
    for pattern, words in _OF_JSON:
        if found := pattern.fullmatch(text):
            place = (found["place"] or "").lstrip(".") or "it"
            return words.format(place=place, **{name: found[name] for name in pattern.groupindex if name != "place"})
    return text


_AT = r"(?: - at `\$(?P<place>[^`]*)`)?"
_OF_JSON = tuple(
    (re.compile(pattern + _AT), words)
    for pattern, words in (
        (r"Object missing required field `(?P<name>[^`]*)`", "{place} has no {name}"),
        (r"Object contains unknown field `(?P<name>[^`]*)`", "{place} has a field {name}, which is not known"),
        (r"Expected `(?P<wanted>[^`]*)`, got `(?P<got>[^`]*)`", "{place} is of the kind {got}, not {wanted}"),
        (r"Invalid (?P<what>\w+) value '?(?P<value>[^`']*)'?", "{place} is {value}, which is no {what} that is known"),
        (r"JSON is malformed: (?P<problem>.*)", "it is not JSON: {problem}"),
        (r"Input data was truncated", "{place} ends too early"),
    )
)
"""How msgspec words its errors, and how they are told."""


def named_line(error: BaseException) -> str:
    """The error's type, and the first line of its text: for errors whose text says little by itself."""
    return f"{type(error).__name__}: {first_line(error)}"


def counted(number: int, noun: str) -> str:
    """So many of them, such as ``1 thread`` or ``2 threads``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def in_us(latency_us: float) -> str:
    """A latency in microseconds: with one decimal, or three digits if it is less than 10."""
    return f"{latency_us:,.1f} µs" if latency_us >= 10 else f"{latency_us:#.3g} µs"


def to_three_digits(value: float) -> str:
    """A positive number to three significant digits, without an exponent if it is large: ``0.0123``, ``12300``."""
    return f"{value:.3g}" if value < 1000 else f"{float(f'{value:.3g}'):.0f}"


def in_bytes(size: int) -> str:
    """A number of bytes: as it is, or from a thousand on in kB or MB with one decimal."""
    if size < 1000:
        return counted(size, "byte")
    return f"{size / 1e3:.1f} kB" if size < 1_000_000 else f"{size / 1e6:,.1f} MB"


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
