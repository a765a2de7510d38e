"""Structural moves: what changes the structure of a schedule rather than the value of a knob, as pure data.

A *move* is one schedule primitive over named blocks and loops. It is written as TVM's primitive of that name is called:

    split(C.k, [_, 32])            k becomes k_0 and k_1; _ is what is left, and ? a factor to be searched: a knob
    reorder(C, [k_0, i, j, k_1])   these loops in this order, outermost first
    fuse(C, [k_0, i])              k_0_i
    parallel(C.k_0_i)

A loop is named after its block (``C.k``). Names survive moves: a loop keeps its own, and the parts of a split and a
fusion are named after what they were. A structure is a sketch that moves were made on: its name is that of the sketch,
``" | "`` and the moves. Whatever this module reads may be a stranger's: it is checked for form here, and what it means
for a program where that is known (:mod:`colt.tvm.moves`).

``kinds`` has the moves, ``text`` writes and reads them, ``fields`` reads what they hold.
"""

from colt.moves.kinds import (
    KINDS,
    LARGEST,
    OPEN,
    REST,
    ApplySketch,
    Axis,
    CacheRead,
    CacheWrite,
    ComputeAt,
    ComputeInline,
    DecomposeReduction,
    Factor,
    FuseLoops,
    LoopName,
    Move,
    PadEinsum,
    ParallelLoop,
    Prefetch,
    ReorderLoops,
    ReverseComputeAt,
    ReverseComputeInline,
    RFactor,
    SetScope,
    SplitLoop,
    Tensorize,
    TransformLayout,
    UnrollLoop,
    VectorizeLoop,
)
from colt.moves.text import (
    MOST_MOVES,
    MOST_TEXT,
    brief_structure,
    can_be_written,
    is_moved,
    read_move,
    read_moves,
    read_structure,
    show_move,
    show_moves,
    structure_name,
)

__all__ = [
    "ApplySketch",
    "Axis",
    "CacheRead",
    "CacheWrite",
    "ComputeAt",
    "ComputeInline",
    "DecomposeReduction",
    "Factor",
    "FuseLoops",
    "KINDS",
    "LARGEST",
    "LoopName",
    "MOST_MOVES",
    "MOST_TEXT",
    "Move",
    "OPEN",
    "PadEinsum",
    "ParallelLoop",
    "Prefetch",
    "REST",
    "RFactor",
    "ReorderLoops",
    "ReverseComputeAt",
    "ReverseComputeInline",
    "SetScope",
    "SplitLoop",
    "Tensorize",
    "TransformLayout",
    "UnrollLoop",
    "VectorizeLoop",
    "brief_structure",
    "can_be_written",
    "is_moved",
    "read_move",
    "read_moves",
    "read_structure",
    "show_move",
    "show_moves",
    "structure_name",
]
