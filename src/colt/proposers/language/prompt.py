"""The prompt of a language model: a stable text first, then the node (:mod:`colt.proposers.language.node`).

:func:`stable_text` (role, machine, program, sketches and knobs, pool, form of the answer) is the same, byte for byte,
in every call of a run, so that providers serve it from their caches. :mod:`colt.proposers.language.reply` has the
schema and reads answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from colt.analysis.bounds import PartTime
from colt.knobs import Schedule
from colt.proposers.language.moves import moves_text
from colt.proposers.language.reply import Catalogue
from colt.proposers.members import ExpertMember, Member
from colt.search.types import MemberSpec


@dataclass(frozen=True, slots=True)
class Profile:
    """How the time of a schedule is shared among its parts, as measured."""

    schedule: Schedule
    parts: tuple[PartTime, ...]


class Briefing(Catalogue, Protocol):
    """The job in words. :mod:`colt.tvm.briefing` implements it."""

    @property
    def machine(self) -> str:
        """The hardware, on one line."""
        ...

    @property
    def program(self) -> str:
        """The computation."""
        ...

    @property
    def sketches(self) -> str:
        """All sketches with their loop nests and knobs."""
        ...

    @property
    def flops(self) -> int | None:
        """Floating-point operations of the program, if known."""
        ...

    @property
    def applies_sketches(self) -> bool:
        """Whether moves may apply sketches to what earlier moves have made."""
        ...

    def label(self, variant: str, sketch: str) -> str:
        """How this sketch differs from the others of its family; empty for a sketch that is described on its own."""
        ...

    def nest(self, schedule: Schedule) -> Sequence[str]:
        """The loops of a schedule as they will run, a line for each block."""
        ...

    def unfolded(self, schedule: Schedule) -> str:
        """The knobs of a schedule's sketch, if ``sketches`` does not describe them; else empty."""
        ...

    def time(self, schedule: Schedule, measured_us: float | None, profile: Profile | None = None) -> str:
        """Where the time of a schedule goes, by block, and what bounds each; with what the ``profile`` of a schedule
        tells, if that has the same structure."""
        ...


@dataclass(frozen=True, slots=True)
class MemberInWords:
    """A member of the pool as prompts describe it; prices in dollars per million tokens, ``None`` if unknown."""

    spec: MemberSpec
    usd_in: float | None = None
    usd_out: float | None = None
    builtin: bool = False
    """Whether it is a built-in expert, whose size is nominal and which costs nothing."""


def member_in_words(member: Member) -> MemberInWords:
    """A member as prompts tell of it; built-in experts are free."""
    if isinstance(member, ExpertMember):
        return MemberInWords(member.spec, 0.0, 0.0, builtin=True)
    if member.prices is None:
        return MemberInWords(member.spec)
    return MemberInWords(member.spec, float(member.prices.input), float(member.prices.output))


ROLE = """\
You are one of a pool that tunes a tensor program for one machine in a shared tree of schedules. Experts enumerate knobs
for nothing; you are asked where that stalls: see what bounds the program, and change its structure. What others reach
there is to your credit."""

LEGEND = """\
A schedule is a sketch and a value for each of its knobs; those not shown are as in the node. Knob `B.i 512 in 4 <=16`:
loop i of block B in 4 parts, outermost first, product 512, the last at most 16. A line is a block with its loops:
`i_1`, `B.i_1`: part 1 (from 0) of its own knob for i, of B's; `i:32` fixed; `i` the rest of i; `[k]` a reduction
`vec(j:16)`: a vector, fast if contiguous in every operand (j's knob counts vectors: v)
`{...}`: sums stay in a buffer, in registers if they fit, and are written out after
`parallel`: each thread gets one contiguous share of the turns; the blocks below share them and pass data on in caches
"""
PLACES = "`B.at`: B is computed at root, inline (at each use), or in a loop of its consumer such as i_1\n"
PLACED = ".at"
"""How the knobs end that this is said of; not all programs' sketches have any."""

ANSWER = """\
JSON only: {"proposals": [{"why": "a dozen words", "sketch": null, %s"edits": "B.i=[1,64,1,8] unroll=16"}],
"next_model": "name"}
Proposals are alternatives from the node. `sketch`: null for the node's, or another's name. `edits`: knobs that change
(`B.i=any`: any value); the others keep the node's values if legal, else get any. `next_model`: the smallest that is
likely to improve the result."""


EXPERTS = {
    "scout": "random edits",
    "tuner": "best predicted neighbours",
    "architect": "best predicted of hundreds",
}
"""What the built-in experts do, in a few words."""


def stable_text(briefing: Briefing, pool: Sequence[MemberInWords], moves: bool = False) -> str:
    """The text that begins every call of a run. ``moves``: whether proposals may hold moves."""
    places = PLACES if PLACED in briefing.sketches else ""
    parts = (
        ROLE,
        f"# Machine\n{briefing.machine}",
        f"# Program\n{briefing.program}",
        f"# Schedules\n{LEGEND}{places}{briefing.sketches}",
        *([f"# Moves\n{moves_text(briefing.applies_sketches)}"] if moves else []),
        "# Members (parameters; price per million tokens)\n" + "\n".join(_members(pool)),
        "# Answer\n" + ANSWER % ('"moves": "", ' if moves else ""),
    )
    return "\n\n".join(parts) + "\n"


def _member(member: MemberInWords) -> str:
    if member.builtin:
        does = EXPERTS.get(member.spec.name, "built-in expert")
        return f"{member.spec.name}: built-in expert, ranked as {member.spec.size_b:g}B, free; {does}"
    price = "price unknown"
    if member.usd_in is not None and member.usd_out is not None:
        price = f"${member.usd_in:g} in, ${member.usd_out:g} out" if member.usd_out else "free"
    return f"{member.spec.name}: {member.spec.size_b:g}B, {price}"


def _members(pool: Sequence[MemberInWords]) -> Iterator[str]:
    """Who can be asked next, the smallest first, and who fills the time while models think."""
    yield from (_member(member) for member in sorted(pool, key=lambda one: one.spec.size_b))
    names = {member.spec.name for member in pool}
    others = [f"{name} ({does})" for name, does in EXPERTS.items() if name not in names]
    if others:
        yield f"Experts, free, never next: {', '.join(others)}"
