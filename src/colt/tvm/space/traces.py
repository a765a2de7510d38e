"""A trace of schedule primitives as plain data: who makes a random variable, and who uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class Var(NamedTuple):
    """A random variable of a trace: a block, a loop or a sampled number. Equal within one reading of one trace."""

    key: int


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction. ``inputs`` holds :class:`Var` and constants; ``attrs`` is TVM's own array, slow to read."""

    kind: str
    inputs: tuple[Any, ...]
    attrs: Any
    outputs: tuple[Var, ...]


@dataclass(frozen=True, slots=True)
class VariableUse:
    """Input ``slot`` of step number ``step``."""

    step: int
    slot: int


@dataclass(frozen=True, slots=True)
class TraceView:
    """``steps`` up to the post-processors; ``makers`` gives step and output slot, ``uses`` are in trace order."""

    steps: tuple[Step, ...]
    makers: dict[Var, VariableUse]
    uses: dict[Var, tuple[VariableUse, ...]]

    def maker(self, var: Any) -> Step | None:
        """The step that makes ``var``; ``None`` for a constant."""
        made = self.makers.get(var) if isinstance(var, Var) else None
        return None if made is None else self.steps[made.step]

    def users(self, var: Var) -> list[tuple[Step, int]]:
        """The steps that use ``var``, each with the input slot."""
        return [(self.steps[use.step], use.slot) for use in self.uses.get(var, ())]

    def block_of(self, loop: Var) -> Var | None:
        """The block whose ``GetLoops`` returned ``loop`` or the loop that it was made from."""
        maker = self.maker(loop)
        while maker is not None and maker.kind != "GetLoops":
            maker = self.maker(maker.inputs[0]) if maker.inputs else None
        return None if maker is None else maker.inputs[0]


def read_trace(trace: Any) -> TraceView:
    """Read a TVM trace."""
    steps: list[Step] = []
    makers: dict[Var, VariableUse] = {}
    uses: dict[Var, list[VariableUse]] = {}
    for number, instruction in enumerate(trace.insts):
        kind = str(instruction.kind.name)
        if kind == "EnterPostproc":
            break
        outputs = tuple(Var(hash(output)) for output in instruction.outputs)
        inputs = tuple(_input(value, makers) for value in instruction.inputs)
        for slot, output in enumerate(outputs):
            makers[output] = VariableUse(number, slot)
        for slot, value in enumerate(inputs):
            if isinstance(value, Var):
                uses.setdefault(value, []).append(VariableUse(number, slot))
        steps.append(Step(kind, inputs, instruction.attrs, outputs))
    return TraceView(tuple(steps), makers, {var: tuple(found) for var, found in uses.items()})


def _input(value: Any, makers: dict[Var, VariableUse]) -> Any:
    """A :class:`Var` if an earlier step made ``value``; otherwise a number or a text."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    var = Var(hash(value))
    if var in makers:
        return var
    return value.value if hasattr(value, "value") else str(value)
