"""Many sketches that differ only in a few blocks, described by their choices instead of one by one."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from colt.tvm.space.summaries import Features

UNTOUCHED = "untiled"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SHORTER = (
    ("sums in its output", "no {}"),
    ("in partial results over the inner part of its reduction", "partial results, one per rfactor_1"),
    ("in partial results over the outer part of its reduction", "partial results, one per rfactor_0"),
)
_LEVELS = {"sums in a buffer written back": "{}", "consumer computed": "consumer computed"}
_LEVEL = re.compile(rf"({'|'.join(_LEVELS)}) inside tile level (\d+)")


@dataclass(frozen=True, slots=True)
class SketchFamily:
    """Sketches that differ in some blocks. ``codes[n]`` has the choice of ``names[n]`` for each of ``options``."""

    names: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]
    codes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, names: Sequence[str], members: Sequence[Features]) -> SketchFamily:
        """The family of the sketches with these names and features; at least one."""
        blocks = list(dict.fromkeys(block for member in members for block in member))
        options = {b: tuple(dict.fromkeys(member.get(b, UNTOUCHED) for member in members)) for b in blocks}
        open_ = {block: found for block, found in options.items() if len(found) > 1}
        codes = tuple(
            tuple(found.index(member.get(block, UNTOUCHED)) for block, found in open_.items()) for member in members
        )
        return cls(tuple(names), open_, codes)

    def label(self, number: int) -> str:
        """The choices of one sketch, in letters: ``QK b, O a``. Empty if the sketch's name says it."""
        if self._named:
            return ""
        return ", ".join(
            f"{block} {LETTERS[choice]}" for block, choice in zip(self.options, self.codes[number], strict=True)
        )

    def examples(self) -> list[int]:
        """Numbers of sketches that together have every choice."""
        seen: set[tuple[int, int]] = set()
        found: list[int] = []
        for number, code in enumerate(self.codes):
            if not set(enumerate(code)) <= seen or not found:
                seen |= set(enumerate(code))
                found.append(number)
        return found

    def choice_of(self, numbers: Collection[int], among: Sequence[int]) -> str:
        """The choice for a block that the sketches ``numbers`` make and no other of ``among``; else their names."""
        for place, block in enumerate(self.options):
            chosen = {self.codes[number][place] for number in numbers}
            if chosen.isdisjoint(self.codes[number][place] for number in among if number not in numbers):
                letters = "/".join(self._letter(choice) for choice in sorted(chosen))
                return letters if self._named else f"{block} {letters}"
        return "/".join(self.names[number] for number in sorted(numbers))

    def lines(self) -> Iterator[str]:
        """The choices of each block, and how a sketch's number follows from its choices."""
        for found, group in groupby(self.options.items(), key=lambda item: item[1]):
            blocks = [block for block, _ in group]
            told = "; ".join(f"({self._letter(n)}) {_short(one)}" for n, one in enumerate(found))
            yield f"{', '.join(blocks)}: {told}"
        if self.options and not self._named:
            yield self._numbering()

    @property
    def _named(self) -> bool:
        """Whether the sketches differ in one block only, so that each choice has a sketch's name."""
        return len(self.options) == 1 and len(set(self.codes)) == len(self.codes)

    def _letter(self, choice: int) -> str:
        return self.names[self.codes.index((choice,))] if self._named else LETTERS[choice]

    def _numbering(self) -> str:
        weights = self._weights()
        if weights is None:
            listed = ", ".join(
                f"{name} {''.join(LETTERS[choice] for choice in code)}"
                for name, code in zip(self.names, self.codes, strict=True)
            )
            return f"Choices for {' '.join(self.options)}: {listed}."
        terms = sorted(zip(weights, self.options, strict=True), reverse=True)
        example = len(self.names) // 2 + 1
        stem = self.names[0].rstrip("0123456789")
        shown = " + ".join(block if weight == 1 else f"{weight}*{block}" for weight, block in terms)
        return f"{stem}N: N = {shown} with a=0, b=1, c=2; so {self.names[example]} is {self.label(example)}."

    def _weights(self) -> list[int] | None:
        """How much one step of each block's choice adds to a sketch's number, if the choices are its digits."""
        stem = self.names[0].rstrip("0123456789")
        if self.names != tuple(f"{stem}{number}" for number in range(len(self.names))):
            return None
        sizes = [len(found) for found in self.options.values()]
        if math.prod(sizes) != len(self.names):
            return None
        weights = [next(n for n, code in enumerate(self.codes) if code[place]) for place in range(len(sizes))]
        regular = all(
            code[place] == number // weights[place] % size
            for number, code in enumerate(self.codes)
            for place, size in enumerate(sizes)
        )
        return weights if regular else None


def _short(feature: str) -> str:
    """A feature in the notation of nests: braces for sums in a buffer, parts of loops (from 0) for tile levels."""
    feature = feature.removeprefix("tiled, ")
    for long, words in _SHORTER:
        feature = feature.replace(long, words)
    return _LEVEL.sub(lambda match: f"{_LEVELS[match[1]]} after the _{int(match[2]) - 1} loops", feature)
