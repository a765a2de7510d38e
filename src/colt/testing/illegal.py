"""A catalogue of edits that no space may carry out: what language models write, and what would kill a compiler."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from colt.knobs import CategoryKnob, Edit, Jump, Knob, Schedule, Sketch, TileKnob, Transformation

NONSENSE: tuple[object, ...] = (
    "",
    "nonsense",
    "8; import os",
    1.5,
    -1,
    True,
    math.nan,
    math.inf,
    {},
    {"value": 1},
    [],
    [[]],
    [[1, 2]],
    (None,),
    "\N{SNOWMAN}" * 1000,
    10**5000,
)
"""Values that are legal for no knob."""


def illegal_values(knob: Knob) -> Iterator[object]:
    """Values that ``knob`` does not take: nonsense, then values close to legal ones."""
    candidates = knob.candidates if isinstance(knob, CategoryKnob) else ()
    yield from (value for value in NONSENSE if not (type(value) is int and value in candidates))
    if isinstance(knob, TileKnob):
        yield from _illegal_tiles(knob)
    elif isinstance(knob, CategoryKnob):
        yield max(knob.candidates) + 1
        yield str(knob.candidates[0])
        yield float(knob.candidates[0])
        yield [knob.candidates[0]]
    else:
        yield 0
        yield [knob.locations[0]]
        yield knob.locations[0] + "_"
        yield knob.locations[0].upper() + " "


def _illegal_tiles(knob: TileKnob) -> Iterator[object]:
    outer = (knob.extent, *[1] * (knob.parts - 1))
    yield knob.extent
    yield str(list(outer))
    yield (0, *outer[1:])  # a zero inside a tile kills TVM's process
    yield (0,) * knob.parts
    yield (-knob.extent, *[-1] * (knob.parts - 1))
    yield (*outer, 1)
    yield outer[:-1]
    yield (knob.extent + 1, *outer[1:])
    yield (2 * knob.extent, *outer[1:])
    yield (float(knob.extent), *outer[1:])
    yield (str(knob.extent), *outer[1:])
    yield (knob.extent, *[True] * (knob.parts - 1))
    yield (10**30, *outer[1:])
    if knob.extent > knob.max_innermost:
        yield (*[1] * (knob.parts - 1), knob.extent)


def illegal_transformations(
    sketches: Sequence[Sketch], schedule: Schedule, knobs: Sequence[Knob]
) -> Iterator[Transformation]:
    """Transformations that are illegal at ``schedule``, whose knobs are ``knobs``."""
    for name in ("", "no such knob", "__class__", " ".join(knob.name for knob in knobs) + " "):
        yield (Edit(name, 1),)
        yield (Edit(name, None),)
    mine = {knob.name for knob in knobs}
    for sketch in sketches:
        yield (Jump(sketch.variant, sketch.name + "?"),)
        yield (Jump(sketch.variant + "?", sketch.name),)
        foreign = [knob for knob in sketch.knobs if knob.name not in mine]
        yield from ((Edit(knob.name, None),) for knob in foreign[:2])
    yield (Jump("", ""),)
    for knob in knobs[:2]:
        yield (Edit(knob.name, None), Edit("no such knob", 1))
