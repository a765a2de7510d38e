"""Knobs from traces: every sampling decision of a sketch becomes a knob with a readable name.

A tile is named after its block and loop (``C.i``, even if it counts whole vectors of the loop), a compute location
after its block (``pad.at``); the choice of unrolling is ``unroll``. The same decision in a sibling sketch has the same
name. Names, extents and nests come from one replay of the sketch; ``colt.tvm.space.roles`` says in words what the
parts of a tile become.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from colt.knobs import CategoryKnob, Knob, LocationKnob, TileKnob, Value
from colt.tvm.space.locations import LoopNest, consumer_nest, distinct_names
from colt.tvm.space.provenance import loop_iters
from colt.tvm.space.replay import Replayer
from colt.tvm.space.roles import RoleFacts, has_rfactor, roles, tiled_loop
from colt.tvm.space.traces import Step, TraceView, Var, read_trace

_UNROLL = ("unroll_explicit", "unroll_implicit")
_REDUCE = 2
_KNOWN = ("SamplePerfectTile", "SampleCategorical", "SampleComputeLocation")


@dataclass(frozen=True, slots=True)
class KnobDecision:
    """A knob and the number of the instruction that it decides.

    A location knob lists no locations here: they depend on the schedule. ``structural`` is false for a decision that
    only annotates the program: no later decision depends on it.
    """

    position: int
    knob: Knob
    structural: bool


@dataclass(frozen=True, slots=True)
class Extraction:
    """The decisions that one trace leaves open, and the values that it holds now."""

    decisions: tuple[KnobDecision, ...]
    values: tuple[Value, ...]
    messages: tuple[str, ...]


def extract(replayer: Replayer, trace: Any) -> Extraction:
    """All decisions of ``trace``. Raises :class:`~colt.errors.Rejected` if it does not apply."""
    view = read_trace(trace)
    observer = _Observer(view)
    schedule = replayer.replay(trace, 1, observer.observe)
    facts = observer.facts()
    positions = [number for number, step in enumerate(view.steps) if observer.is_knob(number, step)]
    knobs = _name_apart([_knob(view, observer, facts, number) for number in positions])
    decisions = tuple(
        KnobDecision(number, knob, _is_structural(view, view.steps[number]))
        for number, knob in zip(positions, knobs, strict=True)
    )
    values = realised_values(decisions, schedule, observer.nests)
    return Extraction(decisions, values, tuple(_messages(view, observer)))


def realised_values(
    decisions: tuple[KnobDecision, ...], schedule: Any, nests: dict[int, LoopNest]
) -> tuple[Value, ...]:
    """The values that a replayed schedule holds; ``nests`` (by position) name its locations inside loops."""
    trace = schedule.trace
    instructions, found = trace.insts, trace.decisions
    return tuple(
        _value(decision, found[instructions[decision.position]], nests.get(decision.position)) for decision in decisions
    )


def _value(decision: KnobDecision, realised: Any, nest: LoopNest | None) -> Value:
    match decision.knob:
        case TileKnob():
            return tuple(int(part) for part in realised)
        case CategoryKnob(candidates=candidates):
            return candidates[int(realised)]
        case LocationKnob():
            return (nest or LoopNest("", ())).name(int(realised))


class _Observer:
    """Reads names, extents and nests off the program while a trace is replayed with its own decisions."""

    def __init__(self, view: TraceView) -> None:
        self._view = view
        self._names: dict[Var, str] = {}
        self._reduced: set[Var] = set()
        self.extents: dict[int, int | None] = {}
        self.nests: dict[int, LoopNest] = {}

    def observe(self, number: int, schedule: Any, live: Any, decision: Any) -> Any:
        step = self._view.steps[number]
        for var, value in zip(step.inputs, live, strict=True):
            if isinstance(var, Var) and var not in self._names:
                self._learn_name(schedule, var, value)
        if step.kind == "GetLoops":
            self._learn_kinds(schedule, step, live[0])
        elif step.kind == "SamplePerfectTile":
            extent = schedule.get_sref(live[0]).stmt.extent
            self.extents[number] = int(extent.value) if hasattr(extent, "value") else None
        elif step.kind == "SampleComputeLocation":
            self.nests[number] = consumer_nest(schedule, live[0], sound=False)
        return decision

    def _learn_name(self, schedule: Any, var: Var, value: Any) -> None:
        kind = type(value).__name__
        if kind == "SBlockRV":
            self._names[var] = str(schedule.get_sref(value).stmt.name_hint)
        elif kind == "LoopRV" and hasattr(stmt := schedule.get_sref(value).stmt, "loop_var"):
            self._names[var] = str(stmt.loop_var.name)

    def _learn_kinds(self, schedule: Any, step: Step, block: Any) -> None:
        """Note the loops that drive a reduced iter: they are part of the reduction."""
        _, drives = loop_iters(schedule, block)
        iters = {str(one.var.name): int(one.iter_type) for one in schedule.get_sref(block).stmt.iter_vars}
        self._reduced |= {
            loop for loop, name in zip(step.outputs, drives, strict=True) if name is not None and iters[name] == _REDUCE
        }

    def facts(self) -> RoleFacts:
        return RoleFacts(self._names, frozenset(self._reduced))

    def is_knob(self, number: int, step: Step) -> bool:
        return step.kind in _KNOWN and self.extents.get(number, 1) is not None

    def name(self, var: Var | None, default: str = "program") -> str:
        return default if var is None else self._names.get(var, default)


def _knob(view: TraceView, observer: _Observer, facts: RoleFacts, number: int) -> Knob:
    step = view.steps[number]
    if step.kind == "SamplePerfectTile":
        return _tile(view, observer, facts, number)
    if step.kind == "SampleCategorical":
        return _category(view, observer, step)
    block = observer.name(step.inputs[0])
    return LocationKnob(f"{block}.at", block, observer.nests[number].consumer, ())


def _tile(view: TraceView, observer: _Observer, facts: RoleFacts, number: int) -> TileKnob:
    step = view.steps[number]
    extent = observer.extents[number] or 1
    parts, limit = int(step.attrs[0]), int(step.attrs[1])
    block, loop = observer.name(view.block_of(step.inputs[0])), observer.name(tiled_loop(view, step), "loop")
    return TileKnob(
        name=f"{block}.{loop}" + (".rfactor" if has_rfactor(view, step) else ""),
        block=block,
        loop=loop,
        extent=extent,
        parts=parts,
        roles=roles(view, facts, step),
        max_innermost=extent if limit < 1 else min(limit, extent),
    )


def _category(view: TraceView, observer: _Observer, step: Step) -> CategoryKnob:
    candidates = tuple(int(candidate) for candidate in step.attrs[0])
    user, _ = next(iter(view.users(step.outputs[0])), (None, 0))
    if user is None:
        return CategoryKnob("choice", "", "a choice without effect", candidates)
    target = next((value for value in user.inputs if isinstance(value, Var)), None)
    if user.kind != "Annotate":
        return _number_for(view, observer, user.kind.lower(), target, candidates)
    key = str(user.attrs[0]).removeprefix("meta_schedule.")
    block = observer.name(target)
    if key in _UNROLL:
        what = "loops of up to this many steps in all are unrolled; 0: none"
        return CategoryKnob("unroll", block, what, candidates)
    return CategoryKnob(key if block == "root" else f"{block}.{key}", block, key, candidates)


def _number_for(
    view: TraceView, observer: _Observer, what: str, target: Var | None, candidates: tuple[int, ...]
) -> CategoryKnob:
    """The knob of a number that a primitive takes, such as the factor of a split."""
    around = None if target is None else view.block_of(target)
    if around is None:
        block = observer.name(target)
        return CategoryKnob(f"{block}.{what}", block, f"the number for {what} of {block}", candidates)
    block, loop = observer.name(around), observer.name(target, "loop")
    return CategoryKnob(f"{block}.{loop}.{what}", block, f"the number for {what} of its loop {loop}", candidates)


def _is_structural(view: TraceView, step: Step) -> bool:
    return any(user.kind != "Annotate" for output in step.outputs for user, _ in view.users(output))


def _name_apart(knobs: list[Knob]) -> list[Knob]:
    """Number repeated names ``#2``, ``#3`` ... in trace order."""
    names = distinct_names([knob.name for knob in knobs])
    return [knob if knob.name == name else replace(knob, name=name) for knob, name in zip(knobs, names, strict=True)]


def _messages(view: TraceView, observer: _Observer) -> Iterator[str]:
    unknown = Counter(
        step.kind
        for number, step in enumerate(view.steps)
        if step.kind.startswith("Sample") and not observer.is_knob(number, step)
    )
    for kind, count in unknown.items():
        yield f"{count} decisions of kind {kind} are no knobs: they stay as MetaSchedule sampled them"
