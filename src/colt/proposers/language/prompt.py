"""The prompt of a language model: a stable text first, then the node.

:func:`stable_text` (role, machine, program, sketches and knobs, pool, form of the answer) is the same, byte for byte,
in every call of a run, so that providers serve it from their caches. :func:`node_text` changes with each call. It is
short: knobs and numbers, and the history as differences from the node. :mod:`colt.proposers.language.reply` has the
schema and reads answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from colt.knobs import Knob, LocationKnob, Schedule, Value
from colt.proposers.language.moves import moves_text
from colt.proposers.language.reply import Catalogue
from colt.proposers.members import ExpertMember, Member
from colt.search.types import MemberSpec, MemberView, NodeView, Observation

TRIED = 6
"""How many children of the node are shown, the best first."""
TOLD = 4
"""How many complaints about the model's last answer are shown."""


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
You belong to a pool that tunes a tensor program for one machine. Its members share a search tree; each node is a
schedule. In its turn, a member proposes changes to a node. Promising schedules are compiled and timed (repeated runs,
warm caches). Find the lowest latency. Predictions are rough; trust measurements."""

LEGEND = """\
A schedule is a sketch and a value for each of its knobs. Knob `B.i 512 in 4 <=16` splits loop i of block B into 4
integers, outermost first; their product is exactly 512, the last is at most 16. Each line of a sketch is a block with
its loops, outermost first: `i_1` is part 1 (from 0) of its own knob for i, `B.i_1` of block B's knob, `i:32` a fixed
extent, `i` the rest of loop i, `[k]` a reduction, `vec(j:16)` a vector (a knob for j then counts whole vectors). Sums
over `{...}` stay in a buffer and are written out after it. Blocks under one `parallel` share its iterations and pass
data on in caches. `B.at` places block B: "root" (its own nest), "inline" (recomputed at each use), or a loop of its
consumer like "i_1" (computed there, as much as is needed). Knobs not shown are as in the node."""

ADVICE = """\
- The innermost spatial parts, rows x vectors, form the register tile: one register for each vector of each row, plus
a few for operands. If it is too small, multiply-adds wait for each other; if too large, it spills.
- Vectors need the innermost loop contiguous in every operand; otherwise elements are loaded one by one.
- Split parallel iterations evenly over all threads; use the parts in between to block for L1 and L2.
- Knobs interact: change related knobs together."""

ANSWER = """\
JSON only: {"proposals": [{"why": "a dozen words", "sketch": null, "edits": [{"knob": "B.i", "value": [1, 64, 1, 8]}]}],
"next_model": "name"}
Proposals are alternatives: each starts from the node; make them differ. `sketch`: null for the node's own, or the name
of another; knobs left out then keep the node's value if it is legal there, else get a random one. `edits`: only knobs
that change. `value`: a list, a number, a location, or null for any legal value. `next_model`: the member to go on from
the result: the smallest that is likely to improve it, or a larger one if small ones keep failing or the structure has
to change. No member is owed a turn."""


def stable_text(briefing: Briefing, pool: Sequence[MemberInWords], moves: bool = False) -> str:
    """The text that begins every call of a run. ``moves``: whether proposals may hold moves."""
    parts = (
        ROLE,
        f"# Machine\n{briefing.machine}",
        f"# Program\n{briefing.program}",
        f"# Schedules\n{LEGEND}\n{briefing.sketches}",
        *([f"# Moves\n{moves_text()}"] if moves else []),
        f"# Advice\n{ADVICE}",
        "# Members\n" + "\n".join(_member(member) for member in sorted(pool, key=lambda one: one.spec.size_b)),
        f"# Answer\n{ANSWER}",
    )
    return "\n\n".join(parts) + "\n"


def _member(member: MemberInWords) -> str:
    if member.builtin:
        return f"{member.spec.name}: built-in expert, ranked as {member.spec.size_b:g}B parameters, free"
    price = "price unknown"
    if member.usd_in is not None and member.usd_out is not None:
        price = f"${member.usd_in:g} in, ${member.usd_out:g} out per million tokens" if member.usd_out else "free"
    return f"{member.spec.name}: {member.spec.size_b:g}B parameters, {price}"


def node_text(observation: Observation, briefing: Briefing, told: Sequence[str] = ()) -> str:
    """The text of one call. ``told`` holds the complaints about the acting model's last answer."""
    return "\n".join(_Node(observation, briefing).lines(told)) + "\n"


class _Node:
    """Writes one observation. A schedule of the node's sketch is written as its differences from the node."""

    def __init__(self, observation: Observation, briefing: Briefing) -> None:
        self._seen = observation
        self._briefing = briefing
        self._here = observation.node.schedule

    def lines(self, told: Sequence[str]) -> Iterator[str]:
        seen = self._seen
        yield f"# Node, after {self._progress()}"
        if seen.knobs:
            yield f"{self._sketch(self._here)}, by {seen.node.by}: {_latencies(seen.node)}"
            yield " ".join(self._present())
        else:
            yield f"the untuned program, without knobs: {_latencies(seen.node)}"
        yield from (f"note: {note}" for note in seen.node.notes)
        for name, view in zip(("parent", "grandparent"), seen.ancestors, strict=False):
            by = f", by {view.by}" if view.schedule.values else ""
            yield f"{name}{by}: {self._schedule(view.schedule)} -> {_latencies(view)}"
        yield from self._tried()
        if seen.best:
            yield "Best so far:"
            yield from (f"- {self._schedule(view.schedule)} -> {self._rated(view)}, by {view.by}" for view in seen.best)
        yield from self._members()
        yield from self._complaints(told)
        yield self._task()

    def _progress(self) -> str:
        progress = self._seen.progress
        total = "" if progress.trials_total is None else f" of {progress.trials_total}"
        return f"{progress.trials}{total} trials"

    def _present(self) -> Iterator[str]:
        for knob, value in zip(self._seen.knobs, self._here.values, strict=True):
            others = [one for one in knob.locations if one != value] if isinstance(knob, LocationKnob) else []
            yield f"{knob.name}={_value(value)}" + (f" (or {', '.join(others)})" if others else "")

    def _tried(self) -> Iterator[str]:
        failed = self._seen.failed
        contested = None if failed is None else failed.child.id
        tried = [view for view in self._seen.tried if view.id != contested]
        if not tried:
            return
        shown = sorted(tried, key=_promise)[:TRIED]
        more = f", the best {TRIED} of {len(tried)}" if len(tried) > TRIED else ""
        yield f"Tried from here{more}:"
        for view in shown:
            notes = "".join(f" ({note})" for note in view.notes)
            yield f"- {self._schedule(view.schedule)} -> {_latencies(view)}{self._verdict(view)}, by {view.by}{notes}"

    def _verdict(self, view: NodeView) -> str:
        """Whether the child is better or worse than the node: both as measured, or else both as predicted."""
        node = self._seen.node
        if view.measured_us is not None and math.isinf(view.measured_us):
            return ""
        if view.measured_us is not None and node.measured_us is not None:
            before, after = node.measured_us, view.measured_us
        elif view.predicted_us is not None and node.predicted_us is not None:
            before, after = node.predicted_us, view.predicted_us
        else:
            return ""
        return " (better)" if after < before else " (worse)" if after > before else ""

    def _rated(self, view: NodeView) -> str:
        """The measured latency, and the speed in GFLOPS."""
        latency = view.measured_us
        if latency is None or not math.isfinite(latency) or not self._briefing.flops:
            return _latencies(view)
        return f"{_us(latency)} us, {self._briefing.flops / latency / 1e3:.3g} GFLOPS"

    def _members(self) -> Iterator[str]:
        """The records of the members that have been asked."""
        asked = [member for member in self._seen.members if member.calls or member.alterations]
        if asked:
            yield "Members so far (better/worse children):"
            yield from (_record(member) for member in asked)

    def _complaints(self, told: Sequence[str]) -> Iterator[str]:
        if told:
            yield "Not usable in your last answer:"
            yield from (f"- {message}" for message in told[:TOLD])

    def _task(self) -> str:
        seen = self._seen
        who, count = f"You are {seen.acting.name}.", seen.proposals_wanted
        if seen.failed is not None:
            child = seen.failed.child
            return (
                f"{seen.failed.by} proposed {self._schedule(child.schedule)} -> {_latencies(child)}"
                f"{self._verdict(child)}. {who} Give one better proposal for this node."
            )
        many = "1 proposal" if count == 1 else f"{count} different proposals, best first"
        if not seen.knobs:
            return f"{who} Give {many}: first schedules, each a sketch and a value for every knob of it."
        return f"{who} Give {many}."

    def _sketch(self, schedule: Schedule) -> str:
        label = self._briefing.label(schedule.variant, schedule.sketch)
        return f"{schedule.variant}/{schedule.sketch}" + (f" ({label})" if label else "")

    def _schedule(self, schedule: Schedule) -> str:
        """The differences from the node, or the whole schedule if its sketch is another one."""
        here = self._here
        if not schedule.values:
            return "untuned"
        if (schedule.variant, schedule.sketch) != (here.variant, here.sketch):
            knobs = self._briefing.knobs(schedule.variant, schedule.sketch)
            return f"{self._sketch(schedule)} {_values(knobs, schedule.values)}"
        pairs = zip(self._seen.knobs, here.values, schedule.values, strict=True)
        return " ".join(f"{knob.name}={_value(new)}" for knob, old, new in pairs if new != old) or "this node"


def _values(knobs: Sequence[Knob], values: Sequence[Value]) -> str:
    return " ".join(f"{knob.name}={_value(value)}" for knob, value in zip(knobs, values, strict=True))


def _value(value: Value) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def _promise(view: NodeView) -> tuple[bool, float]:
    """Sort key: measured before predicted, fast before slow."""
    known = view.measured_us is not None
    latency = view.measured_us if known else view.predicted_us
    return not known, math.inf if latency is None else latency


def _latencies(view: NodeView) -> str:
    if view.measured_us is None:
        return "not timed" if view.predicted_us is None else f"predicted {_us(view.predicted_us)} us"
    if math.isinf(view.measured_us):
        return "failed to build or run"
    predicted = "" if view.predicted_us is None else f" (predicted {_us(view.predicted_us)})"
    return f"measured {_us(view.measured_us)} us{predicted}"


def _us(latency: float) -> str:
    return f"{latency:.3g}" if latency < 1000 else f"{latency:.0f}"


def _record(member: MemberView) -> str:
    parts = [
        f"{member.spec.name}: {member.calls} call{'s' * (member.calls != 1)}",
        f"measured {member.measured_hits}/{member.measured_regressions}",
        f"predicted {member.predicted_hits}/{member.predicted_regressions}",
    ]
    if member.errors:
        parts.append(f"{member.errors} error{'s' * (member.errors > 1)}")
    if member.alterations:
        parts.append(f"{member.alterations} correction{'s' * (member.alterations > 1)} of smaller members")
    return ", ".join(parts)
