"""The prompt of a language model: a stable text first, then the node (:mod:`colt.proposers.language.node`).

:func:`stable_text` (role, machine, program, sketches and knobs, pool, form of the answer) is the same, byte for byte,
in every call of a run, so that providers serve it from their caches. :mod:`colt.proposers.language.reply` has the
schema and reads answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from colt.knobs import Schedule
from colt.proposers.language.moves import moves_text
from colt.proposers.language.reply import Catalogue
from colt.proposers.members import ExpertMember, Member
from colt.search.types import MemberSpec


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

    def label(self, variant: str, sketch: str) -> str:
        """How this sketch differs from the others of its family; empty for a sketch that is described on its own."""
        ...

    def nest(self, schedule: Schedule) -> Sequence[str]:
        """The loops of a schedule as they will run, a line for each block."""
        ...

    def unfolded(self, schedule: Schedule) -> str:
        """The knobs of a schedule's sketch, if ``sketches`` does not describe them; else empty."""
        ...

    def time(self, schedule: Schedule, measured_us: float | None) -> str:
        """Where the time of a schedule goes, by block, and what bounds each."""
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
You belong to a pool that tunes a tensor program for one machine, in a shared tree of schedules. Experts enumerate knobs
for nothing; you are asked where that no longer helps: see what bounds the program, and change its structure. What they
reach in yours is to your credit. Find the lowest latency."""

LEGEND = """\
A schedule is a sketch and a value for each of its knobs. Knob `B.i 512 in 4 <=16` splits loop i of block B into 4
integers, outermost first, of product 512, the last at most 16. A line is a block with its loops, outermost first: `i_1`
is part 1 (from 0) of its knob for i, `B.i_1` of block B's, `i:32` a fixed extent, `i` the rest of i, `[k]` a reduction,
`vec(j:16)` a vector (a knob for j then counts vectors). Sums over `{...}` stay in a buffer and are written out after.
Blocks under one `parallel` share its turns and pass data on in caches. `B.at` places block B: "root" (its own nest),
"inline" (recomputed at each use), or inside a loop of its consumer like "i_1". Knobs not shown are as in the node."""

ADVICE = """\
- The innermost spatial parts, rows x vectors, are the register tile: too small, and multiply-adds wait for each other;
too large, and it spills. Vectors need the innermost loop contiguous in every operand.
- Each thread gets one contiguous share of the parallel turns: make them equal."""

ANSWER = """\
JSON only: {"proposals": [{"why": "a dozen words", "sketch": null, "edits": [{"knob": "B.i", "value": [1, 64, 1, 8]}]}],
"next_model": "name"}
Proposals are alternatives from the node; make them differ. `sketch`: null for the node's, or the name of another; knobs
left out keep the node's value if it is legal, else get a random one. `edits`: only knobs that change. `value`: a list,
a number, a location, or null for any. `next_model`: the smallest that is likely to improve the result."""


EXPERTS = {
    "scout": "random edits",
    "tuner": "the best predicted neighbours",
    "architect": "the best predicted of hundreds",
}
"""What the built-in experts do, in a few words."""


def stable_text(briefing: Briefing, pool: Sequence[MemberInWords], moves: bool = False) -> str:
    """The text that begins every call of a run. ``moves``: whether proposals may hold moves."""
    parts = (
        ROLE,
        f"# Machine\n{briefing.machine}",
        f"# Program\n{briefing.program}",
        f"# Schedules\n{LEGEND}\n{briefing.sketches}",
        *([f"# Moves\n{moves_text()}"] if moves else []),
        f"# Advice\n{ADVICE}",
        "# Members\n" + "\n".join(_members(pool)),
        f"# Answer\n{ANSWER}",
    )
    return "\n\n".join(parts) + "\n"


def _member(member: MemberInWords) -> str:
    if member.builtin:
        does = EXPERTS.get(member.spec.name, "built-in expert")
        return f"{member.spec.name}: built-in expert, ranked as {member.spec.size_b:g}B parameters, free; {does}"
    price = "price unknown"
    if member.usd_in is not None and member.usd_out is not None:
        price = f"${member.usd_in:g} in, ${member.usd_out:g} out per million tokens" if member.usd_out else "free"
    return f"{member.spec.name}: {member.spec.size_b:g}B parameters, {price}"


def _members(pool: Sequence[MemberInWords]) -> Iterator[str]:
    """Who can be asked next, the smallest first, and who fills the time while models think."""
    yield from (_member(member) for member in sorted(pool, key=lambda one: one.spec.size_b))
    names = {member.spec.name for member in pool}
    others = [f"{name} ({does})" for name, does in EXPERTS.items() if name not in names]
    if others:
        yield f"Experts, free, not to be named as next: {', '.join(others)}"
