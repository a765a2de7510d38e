"""The blocks and loops of a schedule by name, as moves and prompts call them.

TVM calls the parts of a loop ``k_0`` and ``k_1``, but a fusion ``i_j_fused``, and the loops of a block that is computed
elsewhere ``ax0`` and ``ax1``. Here a fusion is ``i_j``, and the loops of a moved block are called as before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from tvm import s_tir
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import For, IntImm

from colt.errors import IllegalEdit, Rejected
from colt.tvm.programs.walks import every
from colt.tvm.refusals import TVM_ERRORS, reason, refused
from colt.tvm.space.variables import variables
from colt.util.text import nearest

ROOT_BLOCK = "root"
_REDUCE = 2
"""The type of an axis over terms, as TVM numbers them."""
_GONE = "it is no longer in the program"
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NamedLoop:
    """A loop around a block: its name there, TVM's loop, and the number of its turns (-1 if that is not constant)."""

    name: str
    stmt: Any
    extent: int


class LookupRefused(Rejected):
    """TVM does not find what its own program has around a block; ``reason`` is why, in its words."""

    def __init__(self, block: str, reason: str) -> None:
        super().__init__(f"TVM cannot look up {block[:80]!r}: {reason}")
        self.reason = reason


def _looking_up(look: Callable[Concatenate[Names, str, P], T]) -> Callable[Concatenate[Names, str, P], T]:
    """The same, raising :class:`LookupRefused` for what TVM throws: once a primitive has left a schedule that is not
    as TVM takes it to be, it may throw wherever it is asked."""

    @wraps(look)
    def guarded(names: Names, block: str, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return look(names, block, *args, **kwargs)
        except TVM_ERRORS as error:
            raise LookupRefused(block, reason(error)) from error

    return guarded


@dataclass(slots=True)
class Names:
    """The names in one schedule, which moves change.

    What looks up a block or a loop raises :class:`IllegalEdit` if none has the name, and :class:`LookupRefused` if TVM
    does not find it.
    """

    schedule: Any
    _called: dict[Any, str] = field(default_factory=dict)
    """Names by loop variable, where they are not TVM's."""
    _blocks: dict[str, Any] = field(default_factory=dict)
    _loops: dict[Any, Any] = field(default_factory=dict)
    """TVM's handles of loops by loop variable: one that a split made knows what it is a part of."""

    @refused("the schedule cannot be copied")
    def copy(self) -> Names:
        """The same names on a copy of the schedule. Raises :class:`Rejected`."""
        return Names(self.schedule.copy(), {**self._called}, {**self._blocks}, {**self._loops})

    def blocks(self) -> list[str]:
        """All blocks but the outermost, in the order of the program."""
        return [str(block.name_hint) for block in blocks_of(self.schedule.mod)]

    @_looking_up
    def block(self, name: str) -> Any:
        """TVM's handle of a block. Raises :class:`IllegalEdit` if none has the name, or several have."""
        names = self.blocks()
        if names.count(name) != 1:
            if name in names:
                raise IllegalEdit(f"there are {names.count(name)} blocks {name}: none can be told apart")
            near = nearest(name, names) or names
            raise IllegalEdit(f"there is no block {name[:80]!r}; there are {', '.join(near[:12])}")
        if name not in self._blocks or not self._is_there(self._blocks[name]):
            self._blocks[name] = self.schedule.get_sblock(name)
        return self._blocks[name]

    @_looking_up
    def stmt(self, name: str) -> Any:
        """The block itself."""
        stmt = self.schedule.get(self.block(name))
        if stmt is None:
            raise LookupRefused(name, _GONE)
        return stmt

    @_looking_up
    def realize(self, name: str) -> Any:
        """The block with what its axes are bound to."""
        block = self.stmt(name)
        found = (one for one in every(self.schedule.mod["main"].body, SBlockRealize) if one.block.same_as(block))
        realize = next(found, None)
        if realize is None:
            raise LookupRefused(name, _GONE)
        return realize

    @_looking_up
    def nest(self, name: str) -> list[NamedLoop]:
        """The loops around a block, outermost first. Names that occur again are numbered from the inside (``i#2``)."""
        stmts = loops_around(self.schedule, self.block(name))
        names = [self._called.get(stmt.loop_var) or str(stmt.loop_var.name).removesuffix("_fused") for stmt in stmts]
        seen: dict[str, int] = {}
        told = []
        for one in reversed(names):
            seen[one] = seen.get(one, 0) + 1
            told.append(one if seen[one] == 1 else f"{one}#{seen[one]}")
        return [NamedLoop(one, stmt, constant(stmt.extent)) for one, stmt in zip(reversed(told), stmts, strict=True)]

    def loop(self, block: str, name: str) -> NamedLoop:
        """A loop around a block. Raises :class:`IllegalEdit` if it has none of that name."""
        nest = self.nest(block)
        names = (name, name.removesuffix("_fused"))
        found = next((one for one in nest if one.name in names), None)
        if found is None:
            told = ", ".join(one.name for one in nest)
            raise IllegalEdit(f"block {block} has no loop {name[:80]!r} around it; it has {told or 'none'}")
        return found

    @_looking_up
    def handle(self, block: str, loop: NamedLoop) -> Any:
        """TVM's handle of a loop around the block."""
        known = self._loops.get(loop.stmt.loop_var)
        if known is None or not self._is_there(known):
            for rv in self.schedule.get_loops(self.block(block)):
                variable = self.schedule.get(rv).loop_var
                if variable not in self._loops or not self._is_there(self._loops[variable]):
                    self._loops[variable] = rv
        return self._loops[loop.stmt.loop_var]

    def _is_there(self, rv: Any) -> bool:
        """Whether a block or loop that was there before still is: another may have its name."""
        try:
            return self.schedule.get(rv) is not None
        except TVM_ERRORS:
            return False

    def loops(self) -> dict[str, tuple[str, ...]]:
        """The names of the loops around each block."""
        return {block: tuple(loop.name for loop in self.nest(block)) for block in self.blocks()}

    def call(self, rv: Any, name: str) -> None:
        """Call a new loop so from now on."""
        variable = self.schedule.get(rv).loop_var
        self._called[variable] = name
        self._loops[variable] = rv

    def call_own(self, block: str, names: Sequence[str]) -> None:
        """Call the innermost loops around a block so."""
        for loop, name in zip(reversed(self.nest(block)), reversed(names), strict=False):
            self._called[loop.stmt.loop_var] = name

    def axes(self, name: str) -> list[str]:
        """What the loops over the block's axes are called, in the order of the axes."""
        realize, nest = self.realize(name), self.nest(name)
        found = []
        for axis, value in zip(realize.block.iter_vars, realize.iter_values, strict=True):
            used = variables(value)
            driving = [loop.name for loop in nest if any(loop.stmt.loop_var.same_as(one) for one in used)]
            found.append(_whole(driving) if driving else axis_name(str(axis.var.name)))
        return found

    def show(self, name: str) -> str:
        """The block's nest in one line, with numbers of turns: ``C: parallel(i_0:8) [k:512] unroll(i_1:8) vec(j:16)``.
        Brackets mark reductions."""
        sums = self._reductions(name)
        marks = {0: "{}", 1: "parallel({})", 2: "vec({})", 3: "unroll({})"}
        shown = [
            marks.get(int(loop.stmt.kind), "{}").format(_turns(loop, any(loop.stmt.loop_var.same_as(v) for v in sums)))
            for loop in self.nest(name)
        ]
        return f"{name}: {' '.join(shown) or 'one point'}"

    def _reductions(self, name: str) -> list[Any]:
        """The variables of the loops over the block's terms."""
        realize = self.realize(name)
        pairs = zip(realize.block.iter_vars, realize.iter_values, strict=True)
        return [used for axis, value in pairs if int(axis.iter_type) == _REDUCE for used in variables(value)]


def _turns(loop: NamedLoop, is_reduction: bool) -> str:
    shown = f"{loop.name}:{loop.extent if loop.extent >= 0 else '?'}"
    return f"[{shown}]" if is_reduction else shown


def _whole(names: Sequence[str]) -> str:
    """What the loop over an axis is called that these drive now: parts of one that was split have its name."""
    origin, _, part = names[-1].rpartition("_")
    others = [name.rpartition("_")[0] for name in names[:-1]]
    return origin if part.isdecimal() and origin in others else names[-1]


def axis_name(name: str) -> str:
    """What a loop over an axis of a block is called: programs call the axis of loop ``i`` ``v_i`` or ``vi``."""
    short = name.removeprefix("v_") if name.startswith("v_") else name.removeprefix("v")
    return short if short[:1].isalpha() else name


def blocks_of(mod: Any) -> list[Any]:
    """All blocks of the program but the outermost one, in its order."""
    found = every(mod["main"].body, SBlock, pre=True)
    return [block for block in found if str(block.name_hint) != ROOT_BLOCK]


def loops_around(schedule: Any, block: Any) -> list[Any]:
    """TVM's loops around a block, outermost first. Raises what TVM throws."""
    loops: list[Any] = []
    place = schedule.get_sref(block)
    if place is None:
        raise LookupError(_GONE)
    sref = place.parent
    while sref is not None and isinstance(sref.stmt, For):
        loops.insert(0, sref.stmt)
        sref = sref.parent
    return loops


def constant(value: Any) -> int:
    """The value if it is constant, else -1."""
    return int(value) if isinstance(value, IntImm) else -1


def nests_of_schedule(schedule: s_tir.Schedule, called: Mapping[str, Sequence[str]] | None = None) -> Iterator[str]:
    """Every block's nest in one line, in the order of the program. ``called`` has the names of the loops around blocks,
    where they are not TVM's."""
    names = Names(schedule.copy())
    for block, loops in (called or {}).items():
        names.call_own(block, loops)
    blocks = names.blocks()
    yield from (names.show(block) for block in blocks if blocks.count(block) == 1)
