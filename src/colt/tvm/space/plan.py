"""A sketch ready to be replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from colt.knobs import Knob, Value
from colt.tvm.space.extract import KnobDecision


@dataclass(frozen=True, slots=True)
class SketchPlan:
    """A sketch ready to be replayed. ``first`` holds the values that its design sampled.

    ``number`` is the sketch's place in the space, for a structure that of the sketch that it was made of (-1: the
    untuned program). ``moved`` says of each move that made it what it did, ``loops`` what the loops around each block
    are called then. ``identity`` tells structures apart.
    """

    number: int
    variant: str
    name: str
    trace: Any
    decisions: tuple[KnobDecision, ...]
    first: tuple[Value, ...]
    explicit: bool = False
    moved: tuple[str, ...] = ()
    loops: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    identity: str = ""

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The knobs; location knobs list no locations."""
        return tuple(decision.knob for decision in self.decisions)

    @property
    def is_explicit(self) -> bool:
        """Whether the trace itself says what runs in parallel; otherwise post-processors decide."""
        return self.explicit or any(instruction.kind.name == "Parallel" for instruction in self.trace.insts)
