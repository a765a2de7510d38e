"""What prompts say about structural moves: how each is written, and one worked example."""

from __future__ import annotations

from colt.moves import KINDS, Move, ReverseComputeInline, SetScope, Tensorize

_RARE: tuple[type[Move], ...] = (ReverseComputeInline, SetScope, Tensorize)
"""Understood, but not told of: they rarely gain anything, and every call pays for each word."""
_ABOUT = """\
A proposal may change the structure itself: `moves`, a list of texts, made in this order before its edits, on the node
or on `sketch` ("plain/untuned" is the program as given). What they make is a sketch of its own, whose knobs others then
tune: leave factors open. Loops are named after their block, as under "Loops". An impossible move costs the proposal."""
_EXAMPLE = """\
Example, on the untuned C[i:64, j:512] = sum(k:512) A[i, k] * B[k, j]: blocks of k outermost, tiles of 8 x 2 vectors:
["cache_write(C, C)", "split(C.j, [?, ?, 2, 16])", "split(C.i, [_, 8])", "split(C.k, [_, 32])",
"reorder(C, [j_0, k_0, j_1, i_0, k_1, i_1, j_2, j_3])", "parallel(C.j_0)", "reverse_compute_at(C_global, C.j_0)",
"prefetch(C.k_1, B, 16)", "unroll(C.i_1)", "unroll(C.j_2)", "vectorize(C.j_3)"]"""


def moves_text() -> str:
    """The part of the stable text on moves."""
    told = "; ".join(kind.usage for kind in KINDS if kind not in _RARE)
    return "\n".join((_ABOUT, f"{told}.", _EXAMPLE))
