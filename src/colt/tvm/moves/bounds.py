"""What a moved schedule may take at most: code, memory, and no loops in parallel inside of each other.

Every choice of its knobs is looked at, after the post-processors: what is small for one may be huge for another.
"""

from __future__ import annotations

import math
from typing import Any

from tvm.s_tir.stmt import SBlock
from tvm.tirx import ForKind

from colt.errors import Rejected
from colt.tvm.moves.make import MOST_LANES
from colt.tvm.moves.names import constant
from colt.tvm.moves.prefetch import prefetches
from colt.tvm.moves.soundness import placed_blocks
from colt.tvm.programs.arguments import DTYPE_BYTES
from colt.tvm.programs.walks import every
from colt.tvm.refusals import refused
from colt.tvm.workers.code_size import predicted_build_seconds
from colt.tvm.workers.races import race

MOST_BUILD_SECONDS = 40.0
"""Predicted time to build, on the machine that predictions are fitted to."""
MOST_TURNS = 2.0**44
"""Turns of all loops around a block."""
MEMORY, MEMORY_TIMES = 2**28, 8
"""Bytes of buffers between blocks: so many, or so many times those of the arguments."""


@refused("what it takes cannot be told")
def require_bounded(mod: Any) -> None:
    """Raise :class:`Rejected` if a scheduled and post-processed program goes beyond what is allowed, has a race, or
    annotations that no prefetches can be made of."""
    prefetches(mod["main"], mod["main"].body)
    _require_loops(mod["main"])
    _require_memory(mod["main"])
    if (found := race(mod["main"])) is not None:
        raise Rejected(found)
    seconds = predicted_build_seconds(mod)
    if seconds > MOST_BUILD_SECONDS:
        raise Rejected(
            f"it would take about {seconds:.0f} s to build, {MOST_BUILD_SECONDS:.0f} are allowed: unroll less"
        )


def _require_loops(function: Any) -> None:
    for _, loops in placed_blocks(function.body):
        extents = [constant(loop.extent) for loop in loops]
        turns = math.prod(float(max(1, extent)) for extent in extents)
        if turns > MOST_TURNS:
            raise Rejected(f"a block has {turns:.0e} turns of the loops around it")
        for kind, word in ((ForKind.PARALLEL, "parallel"), (ForKind.VECTORIZED, "vectorised")):
            names = [str(loop.loop_var.name) for loop in loops if int(loop.kind) == int(kind)]
            if len(names) > 1:
                raise Rejected(f"{word} loop {names[1]} is inside of {names[0]}")
        for place, (loop, extent) in enumerate(zip(loops, extents, strict=True), 1):
            if int(loop.kind) != int(ForKind.VECTORIZED):
                continue
            if place < len(loops):
                raise Rejected(f"vectorised loop {loop.loop_var.name} is not the innermost")
            if not 1 <= extent <= MOST_LANES:
                raise Rejected(f"vectorised loop {loop.loop_var.name} has {extent} turns; {MOST_LANES} is the most")


def _require_memory(function: Any) -> None:
    most = max(MEMORY, MEMORY_TIMES * sum(map(_bytes, function.params)))
    taken = sum(_bytes(buffer) for block in every(function.body, SBlock) for buffer in block.alloc_buffers)
    if taken > most:
        raise Rejected(f"its buffers take {taken / 2**20:.0f} MB, {most / 2**20:.0f} are allowed")


def _bytes(buffer: Any) -> int:
    shape = [constant(extent) for extent in buffer.ty.shape]
    return math.prod(max(1, extent) for extent in shape) * DTYPE_BYTES.get(str(buffer.ty.dtype), 8)
