"""What is changed about a program once it is scheduled, as each edition does it.

No trace holds any of it: stock TVM replays what is scheduled, and the changes are made of the module that is built.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from colt.tvm.devices.host import vector_bits
from colt.tvm.dots.once import tiles_once
from colt.tvm.moves.prefetch import prefetches
from colt.tvm.programs.program import Change, with_changed_bodies
from colt.tvm.space.ahead import next_jobs
from colt.tvm.space.next_parts import asks_on, next_parts
from colt.tvm.space.pairs import in_pairs
from colt.tvm.space.tails import whole_tails
from colt.tvm.vector_math import (
    QUOTIENT,
    count_calls,
    count_quotients,
    reciprocals,
    rewriting,
    scales_on,
    vectors_on,
)

_TWO_STEPS = 11
"""The last edition whose vector math multiplied by powers of two in two steps everywhere, and which left the ends of
loops to LLVM."""
_DIVIDES = 12
"""The last edition whose vector math divided by what stays the same throughout a loop."""
_BY_INTEGERS = 13
"""The last edition whose vector math multiplied by powers of integers everywhere, whose sums of a few terms were left
to LLVM, and that asked for nothing ahead of the next job."""
_IN_PLACE = 15
"""The last edition that computed the ends of loops twice where TVM may have results take their operands' memory."""


_WAITS = 16
"""The last edition that asked for no part of a large operand ahead, and whose vector math left values to libm that are
rounded to bfloat16."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What changes may use of a processor; by default what each has."""

    scales: bool = False
    """Whether it multiplies by powers of two in one instruction."""
    vectors: Collection[int] = ()
    """The lengths of vectors, in elements, that it multiplies by powers of two which are floats."""
    tails: int = 0
    """The bits of the vectors that loops end in; 0: their ends are left to LLVM."""
    asks: bool = False
    """Whether it has the instruction by which :mod:`~colt.tvm.space.next_parts` asks."""

    @classmethod
    def of(cls, target: Any, edition: int) -> Abilities:
        """Those of a target, as far as the edition knew them."""
        if edition <= _TWO_STEPS:
            return cls()
        vectors = vectors_on(target) if edition > _BY_INTEGERS else ()
        return cls(scales_on(target), vectors, vector_bits(target), edition > _WAITS and asks_on(target))


ANY_PROCESSOR = Abilities()


class Changes:
    """The changes of one space, in order. ``vector_math``: functions and quotients are replaced as well."""

    def __init__(self, edition: int, vector_math: bool, abilities: Abilities) -> None:
        self._vector_math = vector_math
        self._reciprocals = edition > _DIVIDES
        self._rounds = edition > _WAITS
        self._steps = _steps(edition, vector_math, abilities)

    def made(self, mod: Any) -> Any:
        """The scheduled module with all changes; ``mod`` itself if there is nothing to change."""
        return with_changed_bodies(mod, *self._steps)

    def replaced_math(self, mod: Any) -> Mapping[str, int]:
        """How many calls of each function :meth:`made` replaces in a scheduled module, and how many quotients."""
        quotients = count_quotients(mod) if self._reciprocals else 0
        return {**count_calls(mod, self._rounds), QUOTIENT: quotients} if self._vector_math else {}


def _steps(edition: int, vector_math: bool, able: Abilities) -> tuple[Change, ...]:
    found: list[Change] = [reciprocals] if vector_math and edition > _DIVIDES else []
    if edition <= _BY_INTEGERS:
        found += [rewriting(able.scales, rounds=False), tiles_once] if vector_math else [tiles_once]
        return (*found, *([whole_tails(able.tails, careful=False)] if able.tails else ()), prefetches)
    found += (
        [whole_tails(able.tails, vector_math, edition > _IN_PLACE), prefetches, next_jobs]
        if able.tails
        else [prefetches]
    )
    found += [next_parts] if able.asks else []
    rounds = edition > _WAITS
    found += [rewriting(able.scales, able.vectors, rounds), tiles_once] if vector_math else [tiles_once]
    return (*found, in_pairs(able.tails)) if able.tails else tuple(found)
