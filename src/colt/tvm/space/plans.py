"""The sketches of a space, each worked out when it is first used: a program may have hundreds.

Structures that moves make of them are found by their names, and made when they are first asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, overload

from colt.errors import IllegalEdit, InputError, Rejected
from colt.knobs import Schedule, Sketch
from colt.moves import ApplySketch, Move, read_structure, show_moves, structure_name
from colt.tvm.dots import NO_INTRINSICS, Intrinsics
from colt.tvm.moves.make import Making
from colt.tvm.sketches.design import PLAIN, Design
from colt.tvm.space.edits import brief
from colt.tvm.space.extract import extract
from colt.tvm.space.plan import SketchPlan
from colt.tvm.space.recent import Recent
from colt.tvm.space.replay import Replayer
from colt.tvm.space.structures import Structures
from colt.tvm.space.summaries import Features, features, summarise
from colt.tvm.space.traces import read_trace

UNTUNED_NAME = "untuned"
"""The name of the program as given, which moves may be made on although it is no sketch."""
UNTUNED = Schedule(PLAIN, UNTUNED_NAME, ())
_STRUCTURES = 1024
"""Structures that are kept; others are made again."""


class Plans:
    """All sketches by variant and name."""

    def __init__(
        self,
        replayer: Replayer,
        designs: Sequence[Design],
        messages: Sequence[str],
        intrinsics: Intrinsics = NO_INTRINSICS,
        derive: Callable[[Any], Mapping[str, Any]] | None = None,
    ) -> None:
        """``intrinsics`` and ``derive``: see :class:`Structures`."""
        self._replayer = replayer
        self._designs = tuple(designs)
        self.messages = list(messages)
        self.keys = _keys(self._designs)
        self._numbers = {key: number for number, key in enumerate(self.keys)}
        self._plans: dict[int, SketchPlan] = {}
        self._structures = Structures(replayer, intrinsics, derive)
        self._made: Recent[tuple[str, str], SketchPlan] = Recent(_STRUCTURES)
        self._summaries: list[str] | None = None
        self._shared = ""

    def find(self, variant: object, name: object) -> SketchPlan:
        """The plan of a sketch, or of a structure that moves made.

        Raises :class:`IllegalEdit` if there is no such sketch, and what :meth:`moved` raises.
        """
        if isinstance(variant, str) and isinstance(name, str) and (kept := self._made.get((variant, name))) is not None:
            return kept
        if isinstance(name, str) and (structure := read_structure(name))[1]:
            made = self._structures.made(self.origin(variant, structure[0]), structure[1])
            self._require_other(made, structure[1])
            self._made.put((made.variant, made.name), made)
            return made
        number = self._numbers.get((variant, name)) if isinstance(variant, str) and isinstance(name, str) else None
        if number is None:
            shown = f"{variant}/{name}" if isinstance(variant, str) and isinstance(name, str) else "of that form"
            names = [f"{known_variant}/{known_name}" for known_variant, known_name in self.keys[:10]]
            more = f" and {len(self.keys) - 10} more" if len(self.keys) > 10 else ""
            raise IllegalEdit(f"there is no sketch {brief(shown)}; there are {', '.join(names)}{more}")
        return self[number]

    def _require_other(self, made: SketchPlan, moves: Sequence[Move]) -> None:
        """Raise :class:`IllegalEdit` if a sketch that moves applied is one of the space, which does by itself what the
        moves before it do."""
        applied = [move.sketch.rpartition("/")[2] for move in moves if isinstance(move, ApplySketch)]
        for number, (variant, name) in enumerate(self.keys if applied else ()):
            if name in applied and self._structures.identity_of_base(self[number]) == made.identity:
                raise IllegalEdit(f"{show_moves(moves)} makes sketch {variant}/{name}, which is there: jump to it")

    def origin(self, variant: object, name: object) -> SketchPlan:
        """What moves are made on: a sketch, a structure, or the untuned program."""
        if (variant, name) != (PLAIN, UNTUNED_NAME):
            return self.find(variant, name)
        return SketchPlan(-1, PLAIN, UNTUNED_NAME, self._replayer.untuned().trace, (), (), explicit=True)

    def making(self, variant: str, name: str) -> Making:
        """What further moves on a sketch, a structure, or the untuned program can be tried on."""
        sketch, moves = read_structure(name)
        return self._structures.moved(self.origin(variant, sketch), moves, keep=True).making

    def loops(self, plan: SketchPlan) -> Mapping[str, tuple[str, ...]]:
        """The names of the loops around each block."""
        return plan.loops or self._structures.moved(plan, ()).making.names.loops()

    def moved(self, origin: SketchPlan, moves: Sequence[Move]) -> SketchPlan:
        """The structure that moves make of a sketch or a structure.

        It is made from the sketch on, as it is when it is found by its name. Raises as :meth:`Structures.made`.
        """
        made = self.find(origin.variant, structure_name(origin.name, moves))
        if made.identity == origin.identity:
            raise IllegalEdit(f"{show_moves(moves)} changes nothing")
        return made

    def __getitem__(self, number: int) -> SketchPlan:
        if number not in self._plans:
            self._plans[number] = self._work_out(number)
        return self._plans[number]

    def __len__(self) -> int:
        return len(self._designs)

    def summary(self, number: int) -> str:
        """One line on how the sketch differs from the others; cheap for all sketches together."""
        return self._summarise()[number]

    def choices(self) -> dict[int, Features]:
        """What each sketch without a summary of its own does to each block, by the sketch's number."""
        return {
            number: features(read_trace(design.trace))
            for number, design in enumerate(self._designs)
            if design.summary is None
        }

    @property
    def shared(self) -> str:
        """What all sketches have in common, in one line; empty if any sketch has a summary of its own."""
        self._summarise()
        return self._shared

    def _summarise(self) -> list[str]:
        if self._summaries is None:
            silent = list(self.choices().values())
            lines, shared = summarise(silent) if silent else ([], "")
            self._shared = shared if len(silent) == len(self._designs) else ""
            rest = iter(lines)
            self._summaries = [next(rest) if design.summary is None else design.summary for design in self._designs]
        return self._summaries

    def _work_out(self, number: int) -> SketchPlan:
        design, (variant, name) = self._designs[number], self.keys[number]
        label = name if variant == PLAIN else f"{variant}/{name}"
        complete = design.complete or (lambda trace: (trace, ()))
        trace, messages = complete(design.trace)
        try:
            extraction = extract(self._replayer, trace)
        except Rejected as error:
            raise InputError(f"sketch {label} does not apply to the workload: {error}") from error
        self.messages += [f"sketch {label}: {message}" for message in (*messages, *extraction.messages)]
        return SketchPlan(number, variant, name, trace, extraction.decisions, extraction.values)


def _keys(designs: Sequence[Design]) -> list[tuple[str, str]]:
    """Variant and name of each design; those without a name are ``ms0``, ``ms1`` ... within their variant."""
    counts: Counter[str] = Counter()
    keys = []
    for design in designs:
        keys.append((design.variant, design.name or f"ms{counts[design.variant]}"))
        counts[design.variant] += design.name is None
    if len(set(keys)) < len(keys):
        raise ValueError(f"two sketches have the same name: {keys}")
    return keys


class LazySketches(Sequence[Sketch]):
    """A sequence whose items are made when they are asked for."""

    def __init__(self, make: Callable[[int], Sketch], length: int) -> None:
        self._make = make
        self._length = length

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Sketch: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sketch]: ...
    def __getitem__(self, index: int | slice) -> Sketch | Sequence[Sketch]:
        if isinstance(index, slice):
            return [self._make(number) for number in range(*index.indices(self._length))]
        number = range(self._length)[index]  # resolves negative numbers, raises IndexError
        return self._make(number)

    def __iter__(self) -> Iterator[Sketch]:
        return (self._make(number) for number in range(self._length))
