"""Structures of one program on another of the same form, whose blocks, loops and buffers have other names.

Moves name what they change. A record of a structure also has the names of its program, block by block: what stands in
the same place of the other program takes their part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import msgspec

from colt.errors import IllegalEdit
from colt.moves import LoopName, Move, read_structure, structure_name
from colt.records.record import BlockNames, Words


def translated(words: Words, program: Sequence[BlockNames]) -> Words:
    """The words with the names of ``program``; the same if they name no blocks, or these very ones.

    Raises :class:`IllegalEdit` if the programs differ in more than their names.
    """
    if not words.program or tuple(program) == words.program:
        return words
    names = _Names.of(words.program, program)
    sketch, moves = read_structure(words.sketch)
    told = structure_name(sketch, [names.move(move) for move in moves])
    knobs = {names.knob(name): value for name, value in words.knobs.items()}
    return msgspec.structs.replace(words, sketch=told, knobs=knobs, program=tuple(program))


class _Names:
    """What takes the place of what, by the names that moves derive theirs from."""

    def __init__(self, things: Mapping[str, str], loops: Mapping[str, str]) -> None:
        self._things = things
        self._loops = loops

    @classmethod
    def of(cls, theirs: Sequence[BlockNames], ours: Sequence[BlockNames]) -> _Names:
        forms = [[(len(one.loops), len(one.buffers)) for one in program] for program in (theirs, ours)]
        if forms[0] != forms[1]:
            raise IllegalEdit("its structure is of a program with other blocks")
        things: dict[str, str] = {}
        loops: dict[str, str] = {}
        for old, new in zip(theirs, ours, strict=True):
            things |= dict(zip((old.block, *old.buffers), (new.block, *new.buffers), strict=True))
            loops |= {f"{old.block}.{a}": b for a, b in zip(old.loops, new.loops, strict=True)}
        return cls(things, loops)

    def move(self, move: Move) -> Move:
        """The move with other names."""
        changed: dict[str, object] = {}
        for spec in fields(move):
            value = getattr(move, spec.name)
            if isinstance(value, LoopName):
                changed[spec.name] = LoopName(self._thing(value.block), self._loop(value.block, value.loop))
            elif spec.name in ("block", "buffer"):
                changed[spec.name] = self._thing(value)
            elif spec.name == "loops":
                changed[spec.name] = tuple(self._loop(getattr(move, "block", ""), one) for one in value)
        return replace(move, **changed)

    def knob(self, name: str) -> str:
        """A knob's name, which is that of a loop or a block."""
        block, dot, loop = name.partition(".")
        return f"{self._thing(block)}.{self._loop(block, loop)}" if dot else name

    def _thing(self, name: str) -> str:
        """A block or a buffer: ``C``, or what is derived from it, such as ``C_global`` or ``C.rf``."""
        for old in sorted(self._things, key=len, reverse=True):
            if name == old or name.startswith((f"{old}_", f"{old}.")):
                return self._things[old] + name[len(old) :]
        return name

    def _loop(self, block: str, name: str) -> str:
        """A loop: ``k``, a part of it such as ``k_0_1``, or what was fused of parts, such as ``i_0_j``.

        It may be around the block because the block was moved there: then it is another block's.
        """
        own = {key.partition(".")[2]: new for key, new in self._loops.items() if key.partition(".")[0] == block}
        others = {key.partition(".")[2]: new for key, new in self._loops.items()}
        known = {**others, **own}
        if not known:
            return name
        pattern = "|".join(re.escape(old) for old in sorted(known, key=len, reverse=True))
        return re.sub(rf"(?<![^_])({pattern})(?=_|#|$)", lambda found: known[found[1]], name)
