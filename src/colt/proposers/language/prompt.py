"""What a language model is told: stable text first, the node last.

:func:`stable_text` is the same, byte for byte, in every call of a run (role, machine, program, sketches and knobs,
pool, form of the answer), so that providers serve it from their caches. :func:`node_text` is what no cache can serve,
and short: knobs and numbers, the history as differences to the node. ``colt.proposers.language.reply`` has the schema
and reads
answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from colt.knobs import Knob, LocationKnob, Schedule, Value
from colt.proposers.language.reply import Catalogue
from colt.search.types import MemberSpec, MemberView, NodeView, Observation

TRIED = 6
"""Children of the node that are told; of more the best."""
TOLD = 4
"""Complaints about the model's last answer that are told."""


class Briefing(Catalogue, Protocol):
    """The job in words, see :mod:`colt.tvm.briefing`."""

    @property
    def machine(self) -> str:
        """The hardware, on one line."""
        ...

    @property
    def program(self) -> str:
        """What is computed."""
        ...

    @property
    def sketches(self) -> str:
        """The sketches with their loop nests and knobs."""
        ...

    @property
    def flops(self) -> int | None:
        """Floating-point operations of the program, if known."""
        ...

    def label(self, variant: str, sketch: str) -> str:
        """What sets a sketch apart that is not described by itself; empty for others."""
        ...


@dataclass(frozen=True, slots=True)
class MemberInWords:
    """A model of the pool with its price in dollars per million tokens, ``None`` if unknown."""

    spec: MemberSpec
    usd_in: float | None = None
    usd_out: float | None = None


ROLE = """\
You tune a tensor program for one machine, in turns with other models. You share a search tree: a node is a schedule;
the model whose turn it is proposes changes to it; promising schedules are compiled and timed (repeated runs, warm
caches). Find the lowest latency. Predictions are rough; trust measurements."""

LEGEND = """\
A schedule is a sketch and a value for each knob. Knob `B.i 512 in 4 <=16` splits loop i of block B into 4 integers,
outermost first, whose product is exactly 512, the last at most 16. A line is a block with its loops from the outside
in: `i_1` is part 1 (from 0) of its knob for i, `B.i_1` of block B's knob, `i:32` a fixed extent, `i` what is left to
do; `[k]` is a reduction, `vec(j:16)` a vector (a knob for j then tiles whole vectors); sums over `{...}` are kept in a
buffer and written out behind it. Blocks under one `parallel` share its iterations and pass data on in caches. `B.at`
places block B: "root" (a nest of its own), "inline" (recomputed at each use), or by name in a loop of its consumer
like "i_1" (computed there as far as needed). Where a schedule is given in part, the rest is the node's."""

ADVICE = """\
- The innermost spatial parts, rows x vectors, are the register tile: a register for each vector of each row and a few
for operands. Too small, and multiply-adds wait for each other; too large, and it spills.
- Vectors need the innermost loop contiguous in every operand; otherwise elements are gathered one by one.
- Parallel iterations have to share out evenly over all threads; parts in between block for L1 and L2.
- Knobs interact: change those together that belong together."""

ANSWER = """\
JSON only: {"proposals": [{"why": "a dozen words", "sketch": null, "edits": [{"knob": "B.i", "value": [1, 64, 1, 8]}]}],
"next_model": "name"}
Proposals are alternatives, each from the node as it is; make them differ. `sketch`: null for the node's own, or the
name of another: knobs of the same name keep their values where legal, others left out are drawn at random. `edits`:
only knobs that change. `value`: a list, a number, a location, or null for anything legal. `next_model`: who goes on
from the result: the smallest model that is likely to improve it; a larger one where small ones keep failing or the
structure has to change. None has a share to fill."""


def stable_text(briefing: Briefing, pool: Sequence[MemberInWords]) -> str:
    """The text that every call of a run begins with."""
    parts = (
        ROLE,
        f"# Machine\n{briefing.machine}",
        f"# Program\n{briefing.program}",
        f"# Schedules\n{LEGEND}\n{briefing.sketches}",
        f"# Advice\n{ADVICE}",
        "# Models\n" + "\n".join(_member(member) for member in sorted(pool, key=lambda one: one.spec.size_b)),
        f"# Answer\n{ANSWER}",
    )
    return "\n\n".join(parts) + "\n"


def _member(member: MemberInWords) -> str:
    price = "price unknown"
    if member.usd_in is not None and member.usd_out is not None:
        price = f"${member.usd_in:g} in, ${member.usd_out:g} out per million tokens" if member.usd_out else "free"
    return f"{member.spec.name}: {member.spec.size_b:g}B parameters, {price}"


def node_text(observation: Observation, briefing: Briefing, told: Sequence[str] = ()) -> str:
    """The text of one call. ``told`` are the complaints about the acting model's last answer, if any."""
    return "\n".join(_Node(observation, briefing).lines(told)) + "\n"


class _Node:
    """Writes one observation; schedules as differences to the node where they share its sketch."""

    def __init__(self, observation: Observation, briefing: Briefing) -> None:
        self._seen = observation
        self._briefing = briefing
        self._here = observation.node.schedule

    def lines(self, told: Sequence[str]) -> Iterator[str]:
        seen = self._seen
        yield f"# Node, at {self._progress()}"
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
        yield from self._models()
        yield from self._complaints(told)
        yield self._task()

    def _progress(self) -> str:
        progress = self._seen.progress
        total = "" if progress.trials_total is None else f" of {progress.trials_total}"
        return f"trial {progress.trials}{total}"

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
        """Better or worse than the node, by measurements or by predictions on both sides."""
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
        """The measured latency, and what speed that is."""
        latency = view.measured_us
        if latency is None or not math.isfinite(latency) or not self._briefing.flops:
            return _latencies(view)
        return f"{_us(latency)} us, {self._briefing.flops / latency / 1e3:.3g} GFLOPS"

    def _models(self) -> Iterator[str]:
        """Those that have been asked; nothing is to be learned from the others."""
        asked = [model for model in self._seen.members if model.calls or model.alterations]
        if asked:
            yield "Models so far, better/worse children as measured and as predicted:"
            yield from (_record(model) for model in asked)

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
                f"{self._verdict(child)}. {who} Give one better proposal for this node, and the next model."
            )
        many = "1 proposal" if count == 1 else f"{count} different proposals, best first"
        if not seen.knobs:
            return f"{who} Give {many}: first schedules, each with a sketch and a value for every knob of it."
        return f"{who} Give {many}."

    def _sketch(self, schedule: Schedule) -> str:
        label = self._briefing.label(schedule.variant, schedule.sketch)
        return f"{schedule.variant}/{schedule.sketch}" + (f" ({label})" if label else "")

    def _schedule(self, schedule: Schedule) -> str:
        """What differs from the node; all of it in another sketch."""
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
    """Measured before predicted, fast before slow."""
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


def _record(model: MemberView) -> str:
    parts = [
        f"{model.spec.name}: {model.measured_hits}/{model.measured_regressions}"
        f" and {model.predicted_hits}/{model.predicted_regressions} in {model.calls} call{'s' * (model.calls != 1)}"
    ]
    if model.errors:
        parts.append(f"{model.errors} error{'s' * (model.errors > 1)}")
    if model.alterations:
        parts.append(f"{model.alterations} in place of a smaller one")
    return ", ".join(parts)
