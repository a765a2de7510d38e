"""Programs in the form that sketches are made for.

A program of the user's may be written in ways that no schedule rule can take: two blocks or buffers of one name, loops
over nothing, several statements in one loop, loops tiled by hand, a sum added to what its result held before, blocks
without axes, rows of a prefix sum, zero points inside a product of bytes, zeros between the pixels of an image, sums of
1,009 terms. The same computation is written here in a way that they can. A program that needs none of this comes back
as it is, so its sketches, its knobs and its recorded runs stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.tirx import PrimFunc

from colt.knobs import EDITION
from colt.tvm.programs.accumulation import reductions_apart, sums_apart
from colt.tvm.programs.arranged import nested_rows_arranged, rows_arranged
from colt.tvm.programs.choices import choices_in_any_order, choices_in_lanes
from colt.tvm.programs.distribution import statements_and_blocks_apart, statements_apart
from colt.tvm.programs.emptiness import without_nothing
from colt.tvm.programs.naming import named_apart
from colt.tvm.programs.phases import phases_apart
from colt.tvm.programs.quotients import quotients_resolved
from colt.tvm.programs.rests import rests_apart
from colt.tvm.programs.rows import rows_apart
from colt.tvm.programs.untiled import loops_plain
from colt.tvm.programs.versions import versions_apart
from colt.tvm.programs.zero_points import zero_points_apart

Step = Callable[[PrimFunc], PrimFunc]
_STEPS: tuple[tuple[int, int, Step], ...] = (
    (1, EDITION, without_nothing),
    (1, EDITION, named_apart),
    (16, EDITION, quotients_resolved),
    (6, 11, statements_apart),
    (12, EDITION, statements_and_blocks_apart),
    (6, EDITION, loops_plain),
    (1, 5, sums_apart),
    (6, EDITION, reductions_apart),
    (1, EDITION, versions_apart),
    (1, 5, rows_apart),
    (6, 11, rows_arranged),
    (12, EDITION, nested_rows_arranged),
    (1, EDITION, zero_points_apart),
    (12, EDITION, phases_apart),
    (1, EDITION, named_apart),
    (6, 10, choices_in_any_order),
    (11, EDITION, choices_in_lanes),
    (4, EDITION, rests_apart),
    (4, EDITION, named_apart),
)
"""The steps in order, each with the first and the last edition of the design space that has it."""


def normal_form(func: PrimFunc, edition: int = EDITION) -> Any:
    """The same computation with unique names, without loops over nothing, its independent iterations visible, its
    sums of lengths that divide well. ``edition`` is that of the design space."""
    for first, last, step in _STEPS:
        if first <= edition <= last:
            func = step(func)
    return func
