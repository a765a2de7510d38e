"""A reply written by someone who has read the prompt alone is read, settled and applied to exactly what was meant."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from colt.errors import Rejected
from colt.knobs import Jump, LocationKnob, Schedule, Value
from colt.options import SpaceKind
from colt.proposers.language.node import node_text
from colt.proposers.language.prompt import stable_text
from colt.proposers.language.reply import ReadReply, read_reply
from colt.proposers.language.settle import settled
from colt.search.types import MemberSpec, MemberView, NodeView, Observation, Progress
from colt.tvm.briefing import TvmBriefing
from colt.tvm.programs import workloads
from colt.tvm.space.space import TvmSpace
from tests.helpers.briefed import job

WORKLOADS = list(workloads.names())
ROUNDS = 12
KNOB = re.compile(r"(\S+) (.*?)(?: \([^()]*\))?")
TILE = re.compile(r"(\d+)v? in (\d+)(?: <=(\d+))?")
CATEGORY = re.compile(r"one of (\[.*\])")
LOCATION = re.compile(r"in \S.*")
PRESENT = re.compile(r"(\S+)=(\[[^\]]*\]|\S+)(?: \(or ([^)]*)\))?")


def observed(space: TvmSpace, schedule: Schedule) -> Observation:
    acting = MemberSpec("m", 8.0)
    node = NodeView(1, schedule, "m", (), None, None)
    models = (MemberView(acting, 0, 0, 0, 0, 0, 0, 0),)
    return Observation(acting, node, (), space.knobs(schedule), (), (), models, Progress(0, 64, 0), 6, 0)


# ---- what the prompt says ----


@dataclass(frozen=True)
class Read:
    """A prompt as its reader has it: of each sketch the knobs, and what legal values of them look like."""

    sketches: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, stable: str) -> Read:
        found: dict[str, dict[str, str]] = {}
        for section in stable.split("\n# Schedules\n")[1].split("\n# Advice\n")[0].split("\n## ")[1:]:
            title, *lines = section.splitlines()
            if "knobs are told at their nodes" in title:
                continue
            (line,) = [line for line in lines if line.startswith("Knobs: ")]
            knobs: dict[str, str] = {}
            for entry in filter(None, line.removeprefix("Knobs: ").split("; ")):
                if entry.startswith("those of "):
                    knobs |= found[entry.removeprefix("those of ")]
                else:
                    match = KNOB.fullmatch(entry)
                    assert match, entry
                    knobs[match[1]] = match[2]
            found[title.partition(":")[0]] = knobs
        return cls(found)

    def knobs(self, key: tuple[str, str]) -> Mapping[str, str]:
        """Those of a sketch, or of the family that its number is in."""
        variant, name = key
        if "/".join(key) in self.sketches:
            return self.sketches["/".join(key)]
        (family,) = [title for title in self.sketches if re.fullmatch(rf"{variant}/ms0( to ms\d+)?", title)]
        assert int(name.removeprefix("ms")) <= int(family.rpartition("ms")[2])
        return self.sketches[family]


def value_of(words: str, rng: random.Random) -> object:
    """A value that the words allow; ``None`` for locations, of which the sketch alone does not tell."""
    if tile := TILE.fullmatch(words):
        return tile_of(int(tile[1]), int(tile[2]), int(tile[3] or tile[1]), rng)
    if category := CATEGORY.fullmatch(words):
        return rng.choice(json.loads(category[1]))
    assert LOCATION.fullmatch(words), words
    return None


def tile_of(extent: int, parts: int, last: int, rng: random.Random) -> list[int]:
    """Divisors one after the other, from the inside out."""
    value: list[int] = []
    for part in range(parts - 1):
        value.append(rng.choice([n for n in range(1, extent + 1) if extent % n == 0 and (part or n <= last)]))
        extent //= value[-1]
    return [extent, *value[::-1]]


def illegal(words: str, present: str, rng: random.Random) -> object:
    """A value that the words forbid."""
    if tile := TILE.fullmatch(words):
        parts = int(tile[2])
        return rng.choice([[0] * parts, [7 * int(tile[1]), *[1] * (parts - 1)], [int(tile[1])] * (parts + 1), "i_1"])
    return rng.choice([17, [1, 2]]) if CATEGORY.fullmatch(words) else "nowhere_3"


def some_schedule(space: TvmSpace, key: tuple[str, str], rng: random.Random) -> Schedule:
    while True:
        try:
            return space.apply(space.untuned, (Jump(*key),), rng).schedule
        except Rejected:
            continue


def replied(space: TvmSpace, briefing: TvmBriefing, seen: Observation, **proposal: object) -> ReadReply:
    text = json.dumps({"proposals": [{"why": "", "sketch": None, "edits": [], **proposal}], "next_model": "m"})
    return settled(read_reply(text, seen, briefing), seen, space, briefing)


def edits(values: Mapping[str, object]) -> str:
    """As prompts show values."""
    shown = {knob: "any" if value is None else str(value).replace(" ", "") for knob, value in values.items()}
    return " ".join(f"{knob}={value}" for knob, value in shown.items())


def keys(briefing: TvmBriefing, rng: random.Random) -> Iterator[tuple[str, str]]:
    """The sketches whose knobs the prompt tells: all that have a section of their own, or some of the families."""
    own = [key for key in briefing.keys if not key[1].startswith("ms")]
    yield from own or rng.sample(briefing.keys, min(4, len(briefing.keys)))


def as_told(value: object) -> Value:
    return tuple(value) if isinstance(value, list) else value  # type: ignore[return-value]


# ---- the round trip ----


@pytest.mark.parametrize("kind", SpaceKind)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_first_schedule_comes_out_as_it_was_written(workload: str, kind: SpaceKind) -> None:
    """With a value for every knob of the family's line: those that the sketch has not are dropped, one by one."""
    space, briefing = job(workload, kind)
    prompt, rng = Read.of(stable_text(briefing, [])), random.Random(2)
    root = observed(space, space.untuned)
    for key in keys(briefing, rng):
        values = {knob: value_of(words, rng) for knob, words in prompt.knobs(key).items()}
        knobs = briefing.knobs(*key)
        assert {knob.name for knob in knobs} <= set(values), "every knob is in the prompt"
        reply = replied(space, briefing, root, sketch="/".join(key), edits=edits(values))
        (steps,) = reply.proposal.transformations
        assert reply.errors == len(set(values) - {knob.name for knob in knobs})
        applied = space.apply(space.untuned, steps, random.Random(0)).schedule
        assert (applied.variant, applied.sketch) == key
        for knob, value in zip(knobs, applied.values, strict=True):
            assert isinstance(knob, LocationKnob) or value == as_told(values[knob.name])


@pytest.mark.parametrize("kind", SpaceKind)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_edits_of_a_node_come_out_as_they_were_written_and_illegal_ones_are_dropped(
    workload: str, kind: SpaceKind
) -> None:
    space, briefing = job(workload, kind)
    prompt, rng = Read.of(stable_text(briefing, [])), random.Random(3)
    for key in list(keys(briefing, rng)) * 2:
        seen = observed(space, some_schedule(space, key, rng))
        words = prompt.knobs(key)
        present = {m[1]: (m[2], m[3]) for m in PRESENT.finditer(node_text(seen, briefing).splitlines()[2])}
        assert list(present) == [knob.name for knob in seen.knobs]
        fixed = [name for name in present if not LOCATION.fullmatch(words[name])]
        chosen = rng.sample(list(present), rng.randint(1, len(present)))
        wanted = {name: value_of(words[name], rng) for name in chosen if name in fixed}
        wrong = rng.sample(sorted(set(present) - set(chosen)), min(2, len(present) - len(chosen)))
        values = wanted | {name: illegal(words[name], present[name][0], rng) for name in wrong} | {"no.such": 3}
        changed = {n: v for n, v in wanted.items() if as_told(v) != _value(present[n][0])}
        if not changed:
            continue
        order = rng.sample(list(values), len(values))
        reply = replied(space, briefing, seen, edits=edits({name: values[name] for name in order}))
        assert reply.errors == len(wrong) + 1
        (steps,) = reply.proposal.transformations
        applied = space.apply(seen.node.schedule, steps, random.Random(0)).schedule
        for knob, value in zip(seen.knobs, applied.values, strict=True):
            if knob.name in fixed:
                assert value == as_told(wanted.get(knob.name, _value(present[knob.name][0]))), (key, knob.name)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_location_that_the_node_lists_is_where_the_block_goes(workload: str) -> None:
    space, briefing = job(workload)
    rng = random.Random(4)
    moved = 0
    for key in [key for key in briefing.keys if key[1].startswith("ms")][:: max(1, len(briefing.keys) // ROUNDS)]:
        seen = observed(space, some_schedule(space, key, rng))
        for match in PRESENT.finditer(node_text(seen, briefing).splitlines()[2]):
            if match[3]:
                place = rng.choice(match[3].split(", "))
                reply = replied(space, briefing, seen, edits=edits({match[1]: place}))
                (steps,) = reply.proposal.transformations
                applied = space.apply(seen.node.schedule, steps, random.Random(0)).schedule
                number = [knob.name for knob in seen.knobs].index(match[1])
                assert (reply.errors, applied.values[number]) == (0, place)
                moved += 1
    assert moved or not any(isinstance(knob, LocationKnob) for knob in briefing.knobs(*briefing.keys[-1]))


def test_a_location_is_judged_with_the_tiles_that_are_set_beside_it() -> None:
    """One that is legal with the new tiles only is taken; one that is legal nowhere is dropped, its tiles kept."""
    space, briefing = job("flux-conv")
    rng, taken = random.Random(5), 0
    for _ in range(ROUNDS):
        seen = observed(space, some_schedule(space, ("plain", "ms0"), rng))
        later = some_schedule(space, ("plain", "ms0"), rng)
        (knob,) = [knob for knob in space.knobs(later) if isinstance(knob, LocationKnob)]
        here = next(one for one in seen.knobs if one.name == knob.name)
        values = {k.name: _listed(v) for k, v in zip(seen.knobs, later.values, strict=True)}
        values[knob.name] = rng.choice(knob.locations)
        reply = replied(space, briefing, seen, edits=edits(values))
        (steps,) = reply.proposal.transformations
        applied = space.apply(seen.node.schedule, steps, random.Random(0)).schedule
        assert reply.errors == 0
        assert applied.values == tuple(as_told(values[one.name]) for one in seen.knobs)
        assert isinstance(here, LocationKnob)
        taken += values[knob.name] not in here.locations
    assert taken, "no location became legal by the tiles: the test shows nothing"


def _listed(value: Value) -> object:
    return list(value) if isinstance(value, tuple) else value


def _value(text: str) -> Value:
    return as_told(json.loads(text)) if text[0] in "[0123456789" else text
