"""Many sketches that differ in what is done to a few blocks, told as choices rather than one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from colt.tvm.summaries import Features

UNTOUCHED = "untiled"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Family:
    """``names[n]`` chooses ``options[block][codes[n][block]]`` for each of the blocks that the sketches differ in."""

    names: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]
    codes: tuple[tuple[int, ...], ...]
    shared: str
    """What all have in common."""

    @classmethod
    def of(cls, names: Sequence[str], members: Sequence[Features]) -> Family:
        """The family of sketches of these names and features; at least one."""
        blocks = list(dict.fromkeys(block for member in members for block in member))
        options = {b: tuple(dict.fromkeys(member.get(b, UNTOUCHED) for member in members)) for b in blocks}
        open_ = {block: found for block, found in options.items() if len(found) > 1}
        codes = tuple(
            tuple(found.index(member.get(block, UNTOUCHED)) for block, found in open_.items()) for member in members
        )
        shared = "; ".join(f"{block} {found[0]}" for block, found in options.items() if len(found) == 1)
        return cls(tuple(names), open_, codes, shared)

    def label(self, number: int) -> str:
        """What sets one of them apart, in letters: ``QK b, O a``."""
        return ", ".join(
            f"{block} {LETTERS[choice]}" for block, choice in zip(self.options, self.codes[number], strict=True)
        )

    def examples(self) -> list[int]:
        """Sketches that together show every choice."""
        seen: set[tuple[int, int]] = set()
        found: list[int] = []
        for number, code in enumerate(self.codes):
            if not set(enumerate(code)) <= seen or not found:
                seen |= set(enumerate(code))
                found.append(number)
        return found

    def lines(self) -> list[str]:
        """The choices of each block, and how the sketches are numbered by them."""
        lines = [f"In all: {self.shared}."] if self.shared else []
        for block, found in self.options.items():
            lines.append(f"{block}: " + "; ".join(f"({LETTERS[n]}) {one}" for n, one in enumerate(found)))
        if self.options:
            lines.append(self._numbering())
        return lines

    def _numbering(self) -> str:
        sizes = [len(found) for found in self.options.values()]
        weights = [math.prod(sizes[place + 1 :]) for place in range(len(sizes))]
        order = " ".join(self.options)
        if len(self.codes) == math.prod(sizes) > max(sizes) and self._is_regular(weights):
            terms = " + ".join(f"{weight}*{block}" for weight, block in zip(weights, self.options, strict=True))
            example = len(self.names) // 2 + 1
            stem = self.names[0].rstrip("0123456789")
            return f"{stem}N has N = {terms}, a = 0, b = 1 ...; {self.names[example]} is {self.label(example)}."
        listed = ", ".join(
            f"{name} {''.join(LETTERS[choice] for choice in code)}"
            for name, code in zip(self.names, self.codes, strict=True)
        )
        return f"Choices for {order}: {listed}."

    def _is_regular(self, weights: Sequence[int]) -> bool:
        """Whether the sketches are numbered by their choices as numbers are by digits."""
        stem = self.names[0].rstrip("0123456789")
        expected = [
            tuple(number // weight % len(found) for weight, found in zip(weights, self.options.values(), strict=True))
            for number in range(len(self.codes))
        ]
        numbered = tuple(f"{stem}{number}" for number in range(len(self.names)))
        return list(self.codes) == expected and self.names == numbered
