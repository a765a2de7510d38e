"""Programs in the form that sketches are made for.

A program of the user's may be written in ways that no schedule rule can take: two blocks or buffers of one name, loops
over nothing, a sum added to what its result held before, blocks without axes, rows of a prefix sum, zero points inside
a product of bytes, sums of 1,009 terms. The same computation is written here in a way that they can. A program that
needs none of this comes back as it is, so its sketches, its knobs and its recorded runs stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm.tirx import PrimFunc

from colt.knobs import EDITION
from colt.tvm.programs.accumulation import sums_apart
from colt.tvm.programs.emptiness import without_nothing
from colt.tvm.programs.naming import named_apart
from colt.tvm.programs.rests import rests_apart
from colt.tvm.programs.rows import rows_apart
from colt.tvm.programs.versions import versions_apart
from colt.tvm.programs.zero_points import zero_points_apart

_STEPS: tuple[Callable[[PrimFunc], PrimFunc], ...] = (
    without_nothing,
    named_apart,
    sums_apart,
    versions_apart,
    rows_apart,
    zero_points_apart,
    named_apart,
)
_SINCE_FOURTH: tuple[Callable[[PrimFunc], PrimFunc], ...] = (rests_apart, named_apart)
"""What the fourth edition of the design space does too."""


def normal_form(func: PrimFunc, edition: int = EDITION) -> Any:
    """The same computation with unique names, without loops over nothing, its independent iterations visible, its
    sums of lengths that divide well. ``edition`` is that of the design space."""
    for step in (*_STEPS, *(_SINCE_FOURTH if edition > 3 else ())):
        func = step(func)
    return func
