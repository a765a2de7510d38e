"""A schedule written by someone who has read the prompt alone is a legal schedule, in every sketch."""

from __future__ import annotations

import json
import random
import re
from functools import cache

import pytest
import space_programs as programs

from colt.hardware import detect
from colt.knobs import LocationKnob
from colt.pool.prompt import stable_text
from colt.pool.reply import read_reply
from colt.pool.settle import settle
from colt.search.types import ModelSpec, ModelView, NodeView, Observation, Progress
from colt.tvm.briefing import Briefing, brief
from colt.tvm.host import resolve_target
from colt.tvm.source import load_program
from colt.tvm.space import TvmSpace

TARGET = resolve_target(None, 2)
MAKERS = {
    "matmul": programs.matmul,
    "conv": programs.conv,
    "softmax": programs.softmax,
    "swiglu": programs.swiglu,
}
TILE = re.compile(r"(\S+) (\d+)(?: vectors)? in (\d+)(?: <=(\d+))?(?: \(.*\))?")
CATEGORY = re.compile(r"(\S+) one of (\[.*\])")


@cache
def job(name: str) -> tuple[TvmSpace, Briefing]:
    program = load_program(MAKERS[name]())
    space = TvmSpace.generated(program.module, TARGET, vector_math=True)
    return space, brief(space, program, detect(), 2, vector_math=True)


def root(space: TvmSpace) -> Observation:
    acting = ModelSpec("m", 8.0)
    node = NodeView(0, space.untuned, "untuned", (), None, None)
    models = (ModelView(acting, 0, 0, 0, 0, 0, 0, 0),)
    return Observation(acting, node, (), (), (), (), models, Progress(0, 64, 0), 6, 0)


def values_of(text: str, sketch: str, rng: random.Random) -> dict[str, object]:
    """A value for each knob that the prompt's line of a sketch names, by what the line says."""
    section = text.split(f"## {sketch}", 1)[1]
    line = next(line for line in section.splitlines() if line.startswith("Knobs: "))
    found: dict[str, object] = {}
    for entry in line.removeprefix("Knobs: ").split("; "):
        if tile := TILE.fullmatch(entry):
            name, extent, parts = tile[1], int(tile[2]), int(tile[3])
            found[name] = tile_of(extent, parts, int(tile[4] or extent), rng)
        elif category := CATEGORY.fullmatch(entry):
            found[category[1]] = rng.choice(json.loads(category[2]))
        elif entry:
            found[entry.split()[0]] = rng.choice(["root", "inline", "i_0"])
    return found


def tile_of(extent: int, parts: int, last: int, rng: random.Random) -> list[int]:
    """Divisors one after the other, from the inside out."""
    value = []
    for part in range(parts - 1):
        divisors = [n for n in range(1, extent + 1) if extent % n == 0 and (part or n <= last)]
        value.append(rng.choice(divisors))
        extent //= value[-1]
    return [extent, *value[::-1]]


@pytest.mark.parametrize("name", MAKERS)
def test_what_the_prompt_says_of_a_sketch_is_enough_to_write_a_schedule(name: str) -> None:
    space, briefing = job(name)
    text, rng = stable_text(briefing, []), random.Random(2)
    headed = [key for key in briefing.keys if f"## {'/'.join(key)}" in text]
    assert len(headed) >= 2
    for variant, sketch in headed:
        values = values_of(text, f"{variant}/{sketch}", rng)
        edits = [{"knob": knob, "value": value} for knob, value in values.items()]
        proposal = {"why": "", "sketch": f"{variant}/{sketch}", "edits": edits}
        reply = read_reply(json.dumps({"proposals": [proposal], "next_model": "m"}), root(space), briefing)
        knobs = briefing.knobs(variant, sketch)
        assert {knob.name for knob in knobs} <= set(values), "every knob is in the prompt"
        (wanted,) = reply.proposal.transformations
        locations = {knob.name for knob in knobs if isinstance(knob, LocationKnob)}
        kept, _ = settle(space, space.untuned, wanted, locations)
        applied = space.apply(space.untuned, kept, random.Random(0)).schedule
        for knob, value in zip(knobs, applied.values, strict=True):
            if knob.name not in locations:
                assert value == (tuple(values[knob.name]) if isinstance(value, tuple) else values[knob.name])  # type: ignore[arg-type]
