"""The part of a prompt that changes with each call: the node, what bounds it, and what is known around it.

It is short: knobs and numbers, and other schedules as differences from the node. Of a language model's observation it
tells all that the model cannot look up: where the time goes, what is under way, how far figures can be trusted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from colt.knobs import Knob, LocationKnob, Schedule, Value
from colt.moves import brief_structure, is_moved
from colt.proposers.language.prompt import Briefing, Profile
from colt.search.types import MemberView, NodeView, Observation
from colt.util.text import to_three_digits

MOVES_SHOWN = 240
"""Characters of the moves of other schedules than the node; the last ones are shown."""
TRIED = 6
"""How many children of the node are shown, the best first."""
TOLD = 4
"""How many complaints about the model's last answer are shown."""


@dataclass(frozen=True, slots=True)
class InnerLoopMix:
    """The kinds of instructions in the inner loop of a schedule, with how many there are of each."""

    schedule: Schedule
    mix: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run knows beside the search: the dollars that each model has cost, the inner loop of the schedule that was
    the fastest when somebody looked, what won on other programs, in words (the same in all calls of a run), and where
    the time of that schedule goes."""

    usd: Mapping[str, float] = field(default_factory=dict)
    inner: InnerLoopMix | None = None
    elsewhere: tuple[str, ...] = ()
    profile: Profile | None = None


NO_FACTS = RunFacts()


def node_text(
    observation: Observation, briefing: Briefing, told: Sequence[str] = (), facts: RunFacts = NO_FACTS
) -> str:
    """The text of one call: what won on other programs, which caches serve too since it stays the same, and the node.
    ``told`` holds the complaints about the acting model's last answer."""
    return elsewhere_text(facts) + "\n".join(_Node(observation, briefing, facts).lines(told)) + "\n"


def elsewhere_text(facts: RunFacts) -> str:
    """What won on other programs; empty if nothing is known of any."""
    return "\n".join(["# Won on other programs", *facts.elsewhere, "\n"]) if facts.elsewhere else ""


class _Node:
    """Writes one observation. A schedule of the node's sketch is written as its differences from the node."""

    def __init__(self, observation: Observation, briefing: Briefing, facts: RunFacts) -> None:
        self._seen = observation
        self._around = observation.around
        self._briefing = briefing
        self._facts = facts
        self._here = observation.node.schedule
        self._told: set[int] = set()
        """The nodes that a section has shown."""

    def lines(self, told: Sequence[str]) -> Iterator[str]:
        seen = self._seen
        yield f"# Node, after {self._progress()} (us; ~ predicted)"
        if not self._is_untuned(self._here):
            yield f"{self._sketch(self._here, len(self._here.sketch))}, by {seen.node.by}: {_latencies(seen.node)}"
            if self._here.values:
                yield " ".join(self._present())
        else:
            yield f"the untuned program, without knobs: {_latencies(seen.node)}"
        self._told.add(seen.node.id)
        yield from self._reason()
        yield from self._bounds()
        yield from (f"note: {note}" for note in seen.node.notes)
        for name, view in zip(("parent", "grandparent"), seen.ancestors, strict=False):
            by = "" if self._is_untuned(view.schedule) else f", {view.by}"
            yield f"{name}: {self._schedule(view.schedule)} -> {_latencies(view)}{by}"
            self._told.add(view.id)
        yield from self._tried()
        yield from self._measured()
        yield from self._fastest()
        yield from self._coming()
        yield from self._trust()
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

    def _reason(self) -> Iterator[str]:
        """Why this node was chosen."""
        around = self._around
        if around is None or self._is_untuned(self._here):
            return
        structure = around.structure
        best = "" if structure.best_us is None else f", best {to_three_digits(structure.best_us)}"
        trials = f"{structure.trials} trials{best}, no gain in the last {structure.since_gain}"
        by = f" by {structure.by}" if structure.by else ""
        if structure.stalled:
            yield f"Up because its structure{by} has stalled: {trials}"
        else:
            yield f"Up by its value {around.value:.2f} in {around.visits} visits; structure{by}: {trials}"

    def _bounds(self) -> Iterator[str]:
        """The loops as they will run, and where the time goes."""
        node = self._seen.node
        if self._around is not None:
            if not self._is_untuned(self._here):
                yield "Loops:"
                yield from self._briefing.nest(self._here)
            yield f"Time: {self._time(self._here, node.measured_us)}"
        if knobs := self._briefing.unfolded(self._here):
            yield f"Knobs: {knobs}"

    def _time(self, schedule: Schedule, measured_us: float | None) -> str:
        return self._briefing.time(schedule, measured_us, self._facts.profile)

    def _measured(self) -> Iterator[str]:
        """The leaders, or rather a few that differ, good and bad."""
        around = self._around
        shown = self._seen.best if around is None else around.contrast
        new = [view for view in shown if around is None or view.id not in self._told]
        if new:
            yield "Best so far:" if around is None else "Measured, of different kinds, good and bad:"
            yield from (f"- {self._schedule(view.schedule)} -> {self._rated(view)}, {view.by}" for view in new)

    def _fastest(self) -> Iterator[str]:
        """What bounds the fastest of all, and what its inner loop is made of."""
        best = next(iter(self._seen.best), None)
        if self._around is None or best is None:
            return
        fastest = (
            "this node" if best.schedule == self._here else f"the fastest, {to_three_digits(best.measured_us or 0.0)}"
        )
        here = self._here.variant, self._here.sketch
        if (best.schedule.variant, best.schedule.sketch) != here:
            yield f"Time of {fastest}: {self._time(best.schedule, best.measured_us)}"
        if inner := self._facts.inner:
            of = fastest if inner.schedule == best.schedule else "an earlier fastest"
            yield f"Inner loop of {of}: {', '.join(f'{count} {kind}' for kind, count in inner.mix)}"

    def _coming(self) -> Iterator[str]:
        """What others are asked, and what was proposed but not measured yet."""
        around = self._around
        if around is None:
            return
        if around.pending:
            asked = Counter(
                (one.acting, one.schedule == self._here) for one in around.pending for _ in range(one.wanted)
            )
            told = (f"{name} {count} for {'this node' if here else 'others'}" for (name, here), count in asked.items())
            yield f"Alternatives under way, so differ: {', '.join(told)}"
        if around.waiting:
            yield "Proposed, not measured yet:"
            yield from (f"- {self._schedule(view.schedule)} -> {_latencies(view)}" for view in around.waiting)

    def _trust(self) -> Iterator[str]:
        """How far figures can be trusted."""
        around = self._around
        if around is None or not self._seen.progress.trials:
            return
        ranks = ((around.ranks, ""), (around.ranks_here, " of this structure"))
        told = [f"{one.correlation:.2f} over {one.schedules}{what}" for one, what in ranks if one]
        predictions = f"; predictions rank with correlation {', '.join(told)}" if told else ""
        yield f"Under {around.noise:.0%} is noise{predictions}"

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
            yield f"- {self._schedule(view.schedule)} -> {_latencies(view)}{self._verdict(view)}, {view.by}{notes}"
            self._told.add(view.id)

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
        if view.measured_us is not None and self._around is not None and abs(after / before - 1) < self._around.noise:
            return " (tie)"
        return " (better)" if after < before else " (worse)" if after > before else ""

    def _rated(self, view: NodeView) -> str:
        """The measured latency, and the speed in GFLOPS."""
        latency = view.measured_us
        if latency is None or not math.isfinite(latency) or not self._briefing.flops:
            return _latencies(view)
        return f"{to_three_digits(latency)}, {self._briefing.flops / latency / 1e3:.3g} GFLOPS"

    def _members(self) -> Iterator[str]:
        """The records of the members that have been asked."""
        asked = [member for member in self._seen.members if member.calls or member.alterations]
        if asked:
            title = "children better/worse measured, predicted; structures, leads + others' in them; $, per lead"
            yield f"Members: calls; {title}"
        yield from (_record(member, self._facts.usd.get(member.spec.name)) for member in asked)

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
        if self._is_untuned(self._here):
            return f"{who} Give {many}: first schedules, each a sketch and a value for every knob of it."
        if self._around is not None and self._around.structure.stalled:
            return f"{who} Knobs near this node are known: change the structure. Give {many}."
        return f"{who} Give {many}."

    def _is_untuned(self, schedule: Schedule) -> bool:
        """Whether that is the program as given, which alone has neither knobs nor moves."""
        return not schedule.values and not is_moved(schedule.sketch)

    def _sketch(self, schedule: Schedule, most: int = MOVES_SHOWN) -> str:
        """The sketch by its name, with the last of its moves, and how it differs from those of its family."""
        label = "" if is_moved(schedule.sketch) else self._briefing.label(schedule.variant, schedule.sketch)
        name = f"{schedule.variant}/{brief_structure(schedule.sketch, most)}"
        return name + (f" ({label})" if label else "")

    def _schedule(self, schedule: Schedule) -> str:
        """The differences from the node, or the whole schedule if its sketch is another one."""
        here = self._here
        if self._is_untuned(schedule):
            return "untuned"
        if (schedule.variant, schedule.sketch) != (here.variant, here.sketch):
            if self._briefing.unfolded(schedule):  # its values say nothing without its knobs
                return self._sketch(schedule)
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
    """Microseconds as measured and, behind a tilde, as predicted."""
    predicted = "" if view.predicted_us is None else f"~{to_three_digits(view.predicted_us)}"
    if view.measured_us is None:
        return predicted or "not timed"
    if math.isinf(view.measured_us):
        return "failed to build or run"
    return f"{to_three_digits(view.measured_us)} {predicted}".rstrip()


def _record(member: MemberView, usd: float | None) -> str:
    leads = member.improvements + member.improvements_below
    parts = [
        f"{member.spec.name}: {member.calls}",
        f"{member.measured_hits}/{member.measured_regressions}, {member.predicted_hits}/{member.predicted_regressions}",
        f"{member.structures}, {member.improvements}+{member.improvements_below}",
    ]
    if usd:
        parts.append(f"${usd:.2g}" + (f", ${usd / leads:.2g}" if leads else ""))
    if member.errors:
        parts.append(f"{member.errors} error{'s' * (member.errors > 1)}")
    if member.alterations:
        parts.append(f"{member.alterations} correction{'s' * (member.alterations > 1)} of smaller members")
    return "; ".join(parts)
