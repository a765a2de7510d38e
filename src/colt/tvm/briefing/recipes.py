"""What won on other programs, in words for language models: the structure, its knobs, and what it was worth there.

    - moe: plain/untuned | split(C.k, [_, 32]); ... C.j=[4,2], 1.26x over plain/fused; fits here as written

Records may be a stranger's. Of their texts only names are told, cut, and what cannot be seen is escaped; moves are read
and written anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from colt.errors import IllegalEdit, Rejected
from colt.moves import brief_structure, read_structure, structure_name
from colt.records.elsewhere import Won
from colt.records.record import Words
from colt.tvm.space.adopt import Adopter
from colt.tvm.space.space import TvmSpace
from colt.util.text import shown

MOST_MOVES = 480
"""Characters of a structure's moves; of more the last are told."""
_MOST_NAME = 40


def recipes(space: TvmSpace, won: Iterable[Won]) -> tuple[str, ...]:
    """A line for each. A structure of a program of the same form has the names and extents of this one."""
    adopter = Adopter(space)
    return tuple(line for one in won for line in _line(adopter, one))


def _line(adopter: Adopter, won: Won) -> Iterator[str]:
    words, where = won.words, _own_names(won.words)
    if words.program:
        with suppress(IllegalEdit, Rejected):  # then it is told with the names that it has there
            words, where = adopter.called_here(words, relative=True), "fits here as written"
    try:
        base, moves = read_structure(words.sketch)
    except IllegalEdit:
        return
    sketch = brief_structure(structure_name(_name(base), moves), MOST_MOVES)
    knobs = " ".join(f"{_name(name)}={_name(str(value).replace(' ', ''))}" for name, value in words.knobs.items())
    gain = "" if won.gain is None else f", {won.gain:.2f}x over {_name(won.over)}"
    told = f"{_name(words.variant)}/{sketch}" + (f" {knobs}" if knobs else "")
    yield f"- {_name(won.program)}: {told}{gain}" + (f"; {where}" if where else "")


def _own_names(words: Words) -> str:
    """The blocks of the program that a structure was made of, with their loops, outermost first."""
    told = (f"{_name(one.block)} has loops {', '.join(map(_name, one.loops))}" for one in words.program[:4])
    return f"there {'; '.join(told)}" if words.program else ""


def _name(text: str) -> str:
    seen = shown(text)
    return seen if len(seen) <= _MOST_NAME else f"{seen[: _MOST_NAME - 3]}..."
