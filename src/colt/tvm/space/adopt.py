"""Schedules from elsewhere, as schedules of this space: from records in words, or from traces.

Nothing of them reaches TVM but checked values of knobs of our own sketches. A trace, which may be a stranger's, is read
as JSON: it stands for the sketch that has the same instructions. Values that are not legal here become the nearest that
are (:mod:`colt.records.adapt`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from colt.errors import IllegalEdit
from colt.knobs import INLINE_LOCATION, ROOT_LOCATION, CategoryKnob, LocationKnob, Schedule, Value
from colt.moves import is_moved, read_structure, structure_name
from colt.records.adapt import adapted
from colt.records.recipes import translated
from colt.records.record import MOST_TRACE, BlockNames, Words
from colt.tvm.moves.fit import fitted
from colt.tvm.moves.names import Names
from colt.tvm.space.edits import At, Keep, Take, Wish
from colt.tvm.space.extract import KnobDecision
from colt.tvm.space.plan import SketchPlan
from colt.tvm.space.space import TvmSpace

_POSTPROC = "EnterPostproc"
_SAME_KNOBS = 12
"""The last edition that adopted no schedule in words whose sketch has another knob here."""
Outline = tuple[object, ...]


def block_names(space: TvmSpace) -> tuple[BlockNames, ...]:
    """The names in a space's program."""
    names = Names(space.before_finish(space.untuned))
    found = []
    for block in names.blocks():
        stmt = names.stmt(block)
        buffers = dict.fromkeys(str(region.source.name) for region in (*stmt.reads, *stmt.writes))
        found.append(BlockNames(block=block, loops=names.loops()[block], buffers=tuple(buffers)))
    return tuple(found)


class Adopter:
    """Adopts schedules into one space."""

    def __init__(self, space: TvmSpace) -> None:
        self._space = space
        self._outlines: dict[Outline, int] | None = None

    def adopt(self, words: Words | None, trace: str | None, relative: bool = False) -> Schedule:
        """The schedule of this space that is nearest to one in words, or else to its trace. ``relative``: it is of a
        program that may have other extents, which the numbers of its moves are adapted to.

        Raises
        ------
        IllegalEdit
            No sketch of this space is like it.
        Rejected
            It gives no usable program here.
        """
        refusal = IllegalEdit("it is a schedule neither in words nor as a trace")
        if words is not None:
            try:
                return self._of_words(self.called_here(words, relative))
            except IllegalEdit as error:  # its sketch or knobs may only be called otherwise here
                refusal = error
        if trace is not None:
            try:
                return self._of_trace(trace)
            except IllegalEdit as error:
                refusal = error
        if words is not None and self._space.edition > _SAME_KNOBS:
            return self._in_part(self.called_here(words, relative))
        raise refusal

    def called_here(self, words: Words, relative: bool) -> Words:
        """The words with the names of this program, for structures of programs that have others; of a ``relative`` with
        numbers that are legal here. Raises as :meth:`adopt`."""
        told = translated(words, block_names(self._space)) if words.program else words
        if not relative or not is_moved(told.sketch):
            return told
        base, moves = read_structure(told.sketch)
        fits = fitted(self._space.plans.making(told.variant, base), moves)
        return msgspec.structs.replace(told, sketch=structure_name(base, fits))

    def _of_words(self, words: Words) -> Schedule:
        plan = self._space.plans.find(words.variant, words.sketch)
        if {knob.name for knob in plan.knobs} != set(words.knobs):
            raise IllegalEdit(f"sketch {plan.name} has other knobs here")
        return self._named(plan, words)

    def _in_part(self, words: Words) -> Schedule:
        """A loop that is one vector here has no knob, although it may have one in a relative, or the other way round:
        most of the knobs must be known in both."""
        plan = self._space.plans.find(words.variant, words.sketch)
        here, there = {knob.name for knob in plan.knobs}, set(words.knobs)
        if 2 * len(here & there) <= len(here | there):
            raise IllegalEdit(f"sketch {plan.name} has mostly other knobs here")
        return self._named(plan, words)

    def _named(self, plan: SketchPlan, words: Words) -> Schedule:
        """With the words' value for each knob that they name."""
        wishes = [
            _wish(decision, words.knobs[decision.knob.name]) if decision.knob.name in words.knobs else None
            for decision in plan.decisions
        ]
        return self._carried_out(plan, wishes)

    def _of_trace(self, trace: str) -> Schedule:
        instructions, decisions = read_trace_json(trace)
        number = self._known().get(outline(instructions))
        if number is None:
            raise IllegalEdit("no sketch here has the instructions of its trace")
        plan = self._space.plans[number]
        return self._carried_out(plan, [_wish_at(one, decisions.get(one.position)) for one in plan.decisions])

    def _carried_out(self, plan: SketchPlan, wishes: Sequence[Wish | None]) -> Schedule:
        """A knob that nothing legal is wished for keeps the value that its sketch came with."""
        filled = [_first(v) if wish is None else wish for wish, v in zip(wishes, plan.first, strict=True)]
        return self._space.carry_out(plan, filled, random.Random(0)).schedule

    def _known(self) -> dict[Outline, int]:
        if self._outlines is None:
            plans = self._space.plans
            found = [outline(plain(plans[number].trace.as_json())[0]) for number in range(len(plans))]
            self._outlines = {each: number for number, each in reversed(list(enumerate(found)))}
        return self._outlines


def read_trace_json(text: str) -> tuple[list[Any], Mapping[int, object]]:
    """Instructions and decisions by instruction of a trace in TVM's JSON. Raises :class:`IllegalEdit`."""
    try:
        if len(text) > MOST_TRACE:
            raise ValueError("it is too long")
        instructions, decisions = msgspec.json.decode(text, type=tuple[list[list[Any]], list[tuple[int, Any]]])
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise IllegalEdit(f"this is not a trace in TVM's JSON: {error}") from None
    return instructions, dict(decisions)


def outline(instructions: Sequence[Any]) -> Outline:
    """What two traces have in common that differ in numbers and names alone, post-processing left out.

    TVM names variables by their place, so that they are alike in traces that are alike.
    """
    told: list[object] = []
    for instruction in instructions:
        if not isinstance(instruction, list) or len(instruction) != 4 or not isinstance(instruction[0], str):
            return ("not an instruction",)
        kind, inputs, attributes, outputs = instruction
        if kind == _POSTPROC:
            break
        named = () if kind == "GetSBlock" else _without_numbers(attributes)
        told.append((kind, _without_numbers(inputs), named, _without_numbers(outputs)))
    return tuple(told)


def plain(found: Any) -> Any:
    """TVM's containers and numbers as Python's."""
    if found is None or isinstance(found, bool | int | float):
        return found
    if isinstance(found, str):
        return str(found)  # TVM's texts are of a type of their own
    if hasattr(found, "items"):
        return {str(name): plain(value) for name, value in found.items()}
    if hasattr(found, "__len__"):
        return [plain(item) for item in found]
    return getattr(found, "value", str(found))


def _without_numbers(found: Any) -> object:
    if isinstance(found, list):
        return tuple(_without_numbers(item) for item in found)
    if not isinstance(found, str):
        return "#"
    return _compact(found) if found.startswith("{") else found


def _compact(graph: str) -> str:
    """An object of TVM's as JSON, such as the map of a layout, which is written now with and now without spaces."""
    try:
        return msgspec.json.encode(msgspec.json.decode(graph)).decode()
    except (msgspec.MsgspecError, RecursionError):
        return graph


def _wish(decision: KnobDecision, value: object) -> Wish | None:
    knob = decision.knob
    found = adapted(knob, value)
    if isinstance(knob, LocationKnob):
        return Keep(found) if isinstance(found, str) else None
    return None if found is None else Take(found)


def _wish_at(decision: KnobDecision, taken: object) -> Wish | None:
    """What the decision of a trace wishes for: it counts candidates and locations."""
    knob = decision.knob
    if isinstance(knob, LocationKnob):
        return At(taken) if type(taken) is int else None
    if isinstance(knob, CategoryKnob):
        places = dict(enumerate(knob.candidates))
        return Take(places[taken]) if isinstance(taken, int) and taken in places else None
    return _wish(decision, taken)


def _first(value: Value) -> Wish:
    return Keep(value) if isinstance(value, str) and value not in (ROOT_LOCATION, INLINE_LOCATION) else Take(value)
