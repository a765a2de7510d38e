"""The schedules of one workload as TVM realises them: sketches, knobs, edits, jumps.

A transformation is checked in Python, replayed on the untuned program and post-processed; what TVM made of each
decision is read back and is the schedule's identity. ``sketches`` makes the structures, ``extract`` their knobs,
``edits`` and ``realise`` carry a transformation out.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from colt.analysis.skeleton import Skeleton
from colt.errors import IllegalEdit, Rejected
from colt.knobs import (
    EDITION,
    Edit,
    Jump,
    Knob,
    LocationKnob,
    Schedule,
    Sketch,
    Transformation,
    Value,
    neighbours,
    show_value,
)
from colt.moves import Move
from colt.options import SpaceKind
from colt.search.types import AppliedSchedule
from colt.tvm.dots import NO_INTRINSICS, Intrinsics, intrinsics_of
from colt.tvm.moves.bounds import require_bounded
from colt.tvm.moves.chance import random_moves
from colt.tvm.moves.names import nests_of_schedule
from colt.tvm.moves.soundness import require_sound
from colt.tvm.moves.suggest import suggested
from colt.tvm.programs.program import fingerprint
from colt.tvm.sketches import DesignSpace, derive, generate, given
from colt.tvm.sketches.design import PLAIN
from colt.tvm.space.changes import ANY_PROCESSOR, Abilities, Changes
from colt.tvm.space.edits import (
    Edits,
    Other,
    Take,
    Wish,
    brief,
    carried,
    checked,
    edited,
    other_value,
    read_transformation,
    require_known,
)
from colt.tvm.space.legality import Legality
from colt.tvm.space.plan import SketchPlan
from colt.tvm.space.plans import UNTUNED, LazySketches, Plans
from colt.tvm.space.realise import Realised, realise
from colt.tvm.space.recent import Recent
from colt.tvm.space.replay import Replayer
from colt.tvm.space.skeletons import Skeletons
from colt.util.streams import keeping_remarks

_UNSOUND = 2
"""The last edition with compute locations that TVM miscompiles."""
WITHOUT_MOVES = 12
"""The last edition without structural moves."""
_ONE_BY_ONE = 13
"""The last edition that suggested moves for one block at a time."""
_NO_SKETCH_APPLIED = 13
"""The last edition in which no move applied a sketch."""
_DERIVED = 64
"""Programs whose sketches are kept."""


class TvmSpace:
    """A :class:`~colt.search.types.Space` over real TVM schedules; deterministic for its arguments.

    ``jump_probability`` is how often a random transformation is a jump; ``cache_size`` (at least 1) is the number of
    realised programs and of modules kept, so that asking again for one is cheap. ``vector_math`` applies to the modules
    of schedules and to their predictions, and ``abilities`` to the modules alone; traces and the untuned program stay
    as they are.
    """

    def __init__(
        self,
        mod: Any,
        design_space: DesignSpace,
        *,
        vector_math: bool = False,
        abilities: Abilities = ANY_PROCESSOR,
        intrinsics: Intrinsics = NO_INTRINSICS,
        target: Any = None,
        jump_probability: float = 0.1,
        cache_size: int = 128,
        edition: int = EDITION,
    ) -> None:
        self._mod = mod
        self.edition = edition
        self._changes = Changes(edition, vector_math, abilities)
        self._replayer = Replayer(mod, design_space.postprocs, sound=edition > _UNSOUND)
        self._target = target
        self._derived: Recent[str, Mapping[str, Any]] = Recent(_DERIVED)
        self.applies_sketches = target is not None and edition > _NO_SKETCH_APPLIED
        """Whether moves may apply sketches to what earlier moves have made."""
        derive = self._sketches_of if self.applies_sketches else None
        self._plans = Plans(self._replayer, design_space.designs, design_space.messages, intrinsics, derive)
        self._jump_probability = jump_probability
        self._realised: Recent[Schedule, Any] = Recent(cache_size)
        self._modules: Recent[Schedule, Any] = Recent(cache_size)
        self._legality = Legality(self._replayer, 32 * cache_size)
        self._skeletons = Skeletons(mod, self._replayer, self._plans, edition, vector_math)
        self._suggested: dict[tuple[str, str], Sequence[tuple[Move, ...]]] = {}
        self._sketches = LazySketches(self._sketch, len(self._plans))

    @classmethod
    @keeping_remarks()
    def generated(
        cls,
        mod: Any,
        target: Any,
        kind: SpaceKind = SpaceKind.COLT,
        *,
        seed: int = 1,
        edition: int = EDITION,
        **options: Any,
    ) -> TvmSpace:
        """The space of structured sketches and MetaSchedule's own, or of the latter alone.

        Raises :class:`~colt.errors.InputError` if MetaSchedule has none.
        """
        space = design_space(mod, target, kind, seed, edition)
        own = target if kind is SpaceKind.COLT else None
        abilities, intrinsics = Abilities.of(target, edition), intrinsics_of(target, edition)
        return cls(mod, space, edition=edition, abilities=abilities, intrinsics=intrinsics, target=own, **options)

    @classmethod
    def given(
        cls, mod: Any, design_spaces: Sequence[Any], postprocs: Sequence[Any], target: Any = None, **options: Any
    ) -> TvmSpace:
        """The space of the sketches that MetaSchedule hands to a search strategy's ``pre_tuning``.

        With a ``target``, which must be a CPU, it has structured sketches too.
        """
        theirs = given(design_spaces, postprocs)
        return cls(mod, theirs if target is None else _with_structured(mod, target, theirs), **options)

    @property
    def sketches(self) -> Sequence[Sketch]:
        """All sketches; each is worked out when it is first asked for. See :meth:`summaries` for a cheap list."""
        return self._sketches

    @property
    def untuned(self) -> Schedule:
        """The program as given."""
        return UNTUNED

    @property
    def messages(self) -> tuple[str, ...]:
        """What was left out or kept fixed so far, for people and for the receipt."""
        return tuple(self._plans.messages)

    @property
    def structure(self) -> str:
        """What all sketches have in common, in one line."""
        return self._plans.shared

    @property
    def plans(self) -> Plans:
        """The sketches as they are replayed; working one out costs a replay."""
        return self._plans

    def summaries(self) -> list[tuple[str, str, str]]:
        """Variant, name and summary of every sketch, without working the sketches out."""
        return [(*key, self._plans.summary(number)) for number, key in enumerate(self._plans.keys)]

    def summary(self, schedule: Schedule) -> str:
        """One line on the schedule's sketch; of a structure that moves made, on what they were made on."""
        plan = self._plans.find(schedule.variant, schedule.sketch)
        origin = "the untuned program" if plan.number < 0 else self._plans.summary(plan.number)
        return f"{origin}, changed by {len(plan.moved)} moves" if plan.moved else origin

    def nests(self, schedule: Schedule) -> tuple[str, ...]:
        """Each block's loops in one line, outermost first, called as moves call them, before post-processing."""
        loops = {} if schedule == UNTUNED else self._plans.loops(self._read(schedule)[0])
        return tuple(nests_of_schedule(self.before_finish(schedule), loops))

    def before_finish(self, schedule: Schedule) -> Any:
        """TVM's own schedule before the post-processors. Raises what :meth:`apply` raises."""
        if schedule == UNTUNED:
            return self._replayer.untuned()
        plan, values = self._read(schedule)
        wishes = [Take(value) for value in values]
        return realise(self._replayer, plan.trace, plan.decisions, wishes, random.Random(0)).schedule

    def knobs(self, schedule: Schedule) -> tuple[Knob, ...]:
        """The knobs with the values legal in the schedule's state. Raises :class:`IllegalEdit`, see :meth:`apply`."""
        if schedule == UNTUNED:
            return ()
        plan, values = self._read(schedule)
        return self._legality.knobs(plan, values)

    def sample(self, rng: random.Random, sketch: Sketch | None = None) -> Schedule:
        """A random schedule: tiles by prime factors, locations uniformly among the legal ones at that point."""
        plan = (
            self._plans[rng.randrange(len(self._plans))]
            if sketch is None
            else self._plans.find(sketch.variant, sketch.name)
        )
        wishes: list[Wish] = [
            Other() if isinstance(knob, LocationKnob) else Take(knob.sample(rng)) for knob in plan.knobs
        ]
        return self.carry_out(plan, wishes, rng).schedule

    def apply(self, schedule: Schedule, transformation: Transformation, rng: random.Random) -> AppliedSchedule:
        """See :meth:`colt.search.types.Space.apply`. A jump is carried out first, wherever it stands, then moves.

        An edit of a location is legal if the location is legal in ``schedule`` or after the other edits. If it is legal
        in ``schedule`` only, it is realised differently, with a note.
        """
        jump, moves, edits = read_transformation(transformation)
        if jump is not None or moves:
            return self._go(schedule, jump, moves, edits, rng)
        if schedule != UNTUNED:
            plan, values = self._read(schedule)
            require_known(edits, plan.knobs)
            return self.carry_out(plan, edited(plan.knobs, values, edits, rng), rng, before=values)
        if edits:
            raise IllegalEdit("the untuned program has no knobs; jump to a sketch first")
        return AppliedSchedule(UNTUNED)

    def realise(self, schedule: Schedule) -> AppliedSchedule:
        """See :meth:`colt.search.types.Space.realise`. A location that is not legal here is realised with a note."""
        if schedule == UNTUNED:
            return AppliedSchedule(UNTUNED)
        plan, values = self._read(schedule)
        return self.carry_out(plan, [Take(value) for value in values], random.Random(0))

    def perturb(self, schedule: Schedule, rng: random.Random) -> Schedule:
        """See :meth:`colt.search.types.Space.perturb`. Locations, whose legality costs a replay, are left alone."""
        if schedule == UNTUNED:
            return UNTUNED
        plan, values = self._read(schedule)
        quick = [number for number, knob in enumerate(plan.knobs) if not isinstance(knob, LocationKnob)]
        changed = self._random_change(plan, values, quick, rng)
        if changed is None:
            return Schedule(plan.variant, plan.name, values)
        number, value = changed
        return Schedule(plan.variant, plan.name, (*values[:number], value, *values[number + 1 :]))

    def skeleton(self, schedule: Schedule) -> Skeleton:
        """The structure of the schedule's sketch for the analytical model; worked out once for each sketch."""
        return self._skeletons.of(schedule)

    def random_transformation(self, schedule: Schedule, rng: random.Random) -> Transformation:
        """One edit of one knob, half of the time to a neighbour; now and then a jump, if there are several sketches.

        If no knob has another value, it is a jump, to the present sketch if there is no other.
        """
        if schedule == UNTUNED:
            return (Jump(*rng.choice(self._plans.keys)),)
        plan, values = self._read(schedule)
        changed = None
        if len(self._plans) == 1 or rng.random() >= self._jump_probability:
            changed = self._random_change(plan, values, range(len(values)), rng)
        if changed is None:
            return (Jump(*self._plans.keys[self._random_other(plan.number, rng)]),)
        number, value = changed
        return (Edit(plan.knobs[number].name, value),)

    def random_moves(self, schedule: Schedule, rng: random.Random, count: int) -> tuple[Move, ...]:
        """See :class:`colt.search.types.MovingSpace`."""
        with suppress(Rejected):  # then there are none
            return random_moves(self._plans.making(schedule.variant, schedule.sketch), rng, count)
        return ()

    def suggested_moves(self, schedule: Schedule) -> Sequence[tuple[Move, ...]]:
        """See :class:`colt.search.types.MovingSpace`."""
        key = (schedule.variant, schedule.sketch)
        if key not in self._suggested:
            self._suggested[key] = ()
            with suppress(Rejected):  # then there are none
                self._suggested[key] = suggested(self._plans.making(*key), self.edition > _ONE_BY_ONE)
        return self._suggested[key]

    def scheduled(self, schedule: Schedule) -> Any:
        """TVM's own schedule with its trace, post-processed: for measure candidates and database records.

        Raises what :meth:`apply` raises, and :class:`IllegalEdit` if the values of ``schedule`` would come out
        differently: then it is not a realised schedule.
        """
        return self._replayer.untuned() if schedule == UNTUNED else self._finished(schedule).copy()

    def _finished(self, schedule: Schedule) -> Any:
        """What :meth:`scheduled` returns a copy of."""
        applied = self.realise(schedule)
        if applied.schedule != schedule:
            raise IllegalEdit(f"this is not a realised schedule: {'; '.join(applied.notes)}")
        found = self._realised.get(schedule)
        assert found is not None, "a schedule is kept when it is realised"
        return found

    def module(self, schedule: Schedule) -> Any:
        """The IRModule of the schedule, ready for ``tvm.tirx.build``; the program as given for ``untuned``."""
        if schedule == UNTUNED:
            return self._mod
        self._read(schedule)  # one from outside may be anything
        found = self._modules.get(schedule)
        if found is None:
            found = self._changes.made(self._finished(schedule).mod)
            self._modules.put(schedule, found)
        return found

    def replaced_math(self, schedule: Schedule) -> Mapping[str, int]:
        """How many calls of each function :meth:`module` replaces, and how many quotients."""
        return self._changes.replaced_math(self.scheduled(schedule).mod)

    def python_trace(self, schedule: Schedule) -> str:
        """The schedule as a Python function of stock TVM schedule primitives, post-processing included."""
        return str(self.scheduled(schedule).trace)

    def _sketches_of(self, mod: Any) -> Mapping[str, Any]:
        """The traces of COLT's own sketches of a program, by name."""
        of = fingerprint(mod)
        found = self._derived.get(of)
        if found is None:
            designs, _ = derive(mod, self._target, edition=self.edition)
            found = {f"{one.variant}/{one.name}".removeprefix(f"{PLAIN}/"): one.trace for one in designs}
            self._derived.put(of, found)
        return found

    def _sketch(self, number: int) -> Sketch:
        plan = self._plans[number]
        first = Schedule(plan.variant, plan.name, plan.first)
        return Sketch(plan.variant, plan.name, self._plans.summary(number), self.knobs(first))

    def _read(self, schedule: Schedule) -> tuple[SketchPlan, tuple[Value, ...]]:
        plan = self._plans.find(schedule.variant, schedule.sketch)
        return plan, checked(plan.knobs, schedule.values)

    def _go(
        self, schedule: Schedule, jump: Jump | None, moves: Sequence[Move], edits: Edits, rng: random.Random
    ) -> AppliedSchedule:
        """Go to another sketch, or to what moves make of it, with the values of knobs of the same name; edit there."""
        if moves and self.edition <= WITHOUT_MOVES:
            raise IllegalEdit("runs of this edition have no moves")
        old: dict[str, Value] = {}
        if schedule != UNTUNED:
            origin, values = self._read(schedule)
            old = {knob.name: value for knob, value in zip(origin.knobs, values, strict=True)}
        goal = (schedule.variant, schedule.sketch) if jump is None else (jump.variant, jump.sketch)
        target = self._plans.moved(self._plans.origin(*goal), moves) if moves else self._plans.find(*goal)
        require_known(edits, target.knobs)
        return self.carry_out(target, carried(target.knobs, old, edits, rng), rng)

    def carry_out(
        self, plan: SketchPlan, wishes: Sequence[Wish], rng: random.Random, before: tuple[Value, ...] | None = None
    ) -> AppliedSchedule:
        """Replay, check, post-process: one wish for each knob. ``before`` holds the values before an edit.

        Raises :class:`IllegalEdit` or :class:`Rejected`, as :meth:`apply`.
        """
        wanted = Schedule(plan.variant, plan.name, tuple(w.value if isinstance(w, Take) else "" for w in wishes))
        if self._realised.get(wanted) is not None:
            return AppliedSchedule(wanted, structure=plan.identity)
        realised = realise(self._replayer, plan.trace, plan.decisions, wishes, rng)
        self._require_legal(plan, wishes, realised, before)
        schedule = Schedule(plan.variant, plan.name, realised.values)
        if self._realised.get(schedule) is None:
            if plan.moved:
                require_sound(realised.schedule.mod)
            self._replayer.finish(realised.schedule)
            if plan.moved:
                require_bounded(realised.schedule.mod)
            self._realised.put(schedule, realised.schedule)
        return AppliedSchedule(schedule, tuple(_notes(plan, wishes, realised)), plan.identity)

    def _require_legal(
        self, plan: SketchPlan, wishes: Sequence[Wish], realised: Realised, before: tuple[Value, ...] | None
    ) -> None:
        for number in realised.stuck:
            raise IllegalEdit(f"knob {plan.knobs[number].name} has no other legal value than the present one")
        refused = {**realised.unknown, **realised.illegal} if before is None else realised.illegal
        for number, legal in refused.items():
            wish, name = wishes[number], plan.knobs[number].name
            assert isinstance(wish, Take)
            if before is None or wish.value not in self._legality.locations(plan, before, [number])[number]:
                raise IllegalEdit(f"knob {name} takes one of {list(legal)} here, not {brief(str(wish.value))}")

    def _random_change(
        self, plan: SketchPlan, values: tuple[Value, ...], numbers: Sequence[int], rng: random.Random
    ) -> tuple[int, Value] | None:
        """The number of a knob and another legal value for it; ``None`` if none of these knobs has one."""
        for number in rng.sample(numbers, len(numbers)):
            knob, present = self._legality.knob(plan, values, number), values[number]
            if near := neighbours(knob, present):
                return number, rng.choice(near) if rng.random() < 0.5 else other_value(knob, present, rng)
        return None

    def _random_other(self, number: int, rng: random.Random) -> int:
        """The number of another sketch; the same one if there is no other. Any for the untuned program."""
        if number < 0:
            return rng.randrange(len(self._plans))
        return (number + rng.randrange(1, max(2, len(self._plans)))) % len(self._plans)


def design_space(mod: Any, target: Any, kind: SpaceKind, seed: int = 1, edition: int = EDITION) -> DesignSpace:
    """The designs of a space of that kind. Raises :class:`~colt.errors.InputError` if MetaSchedule has none."""
    theirs = generate(mod, target, seed, edition)
    return theirs if kind is SpaceKind.METASCHEDULE else _with_structured(mod, target, theirs, seed, edition)


def _with_structured(mod: Any, target: Any, theirs: DesignSpace, seed: int = 1, edition: int = EDITION) -> DesignSpace:
    """Put structured sketches first: the front of a list of hundreds is always looked at."""
    designs, messages = derive(mod, target, seed, edition)
    return DesignSpace((*designs, *theirs.designs), theirs.postprocs, (*messages, *theirs.messages))


def _notes(plan: SketchPlan, wishes: Sequence[Wish], realised: Realised) -> Iterator[str]:
    for knob, wish, value in zip(plan.knobs, wishes, realised.values, strict=True):
        if isinstance(wish, Take) and wish.value != value:
            yield (
                f"{knob.name} = {show_value(wish.value)} is not legal with the other values:"
                f" it became {show_value(value)}"
            )
