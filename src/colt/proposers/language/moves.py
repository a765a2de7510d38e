"""What prompts say about structural moves: a worked example that shows most of them, and how the others are written."""

from __future__ import annotations

_ABOUT = """\
A proposal may change the structure: `moves`, with `;` between, made before its edits on the node or on `sketch`
("plain/untuned" is the program as given). They make a sketch whose knobs others tune: leave factors open. An impossible
move costs the proposal.
Example on untuned C[i:64, j:512] = sum(k:512) A[i, k] * B[k, j]: k blocks outermost, tiles of 8 x 2 vectors"""
EXAMPLE = (
    ("cache_write(C, C)", "C sums in C_global, block C_global copies it out"),
    ("split(C.j, [?, ?, 2, 16])", "j_0 to j_3; ?, before numbers, a knob"),
    ("split(C.i, [_, 8]); split(C.k, [_, 32])", "_ is what is left"),
    ("reorder(C, [j_0, k_0, j_1, i_0, k_1, i_1, j_2, j_3])", ""),
    ("parallel(C.j_0)", ""),
    ("reverse_compute_at(C_global, C.j_0)", "consumer C_global"),
    ("prefetch(C.k_1, B, 16)", "16 turns of k_1 ahead"),
    ("unroll(C.i_1); unroll(C.j_2); vectorize(C.j_3)", "innermost"),
)
"""Moves, line by line, each with what is to be said of it."""
OTHERS = (
    ("fuse(B, [i, j])", "i_j"),
    ("compute_at(A, B.i)", "producer A"),
    ("compute_inline(A)", ""),
    ("cache_read(B, X)", "to block X_global"),
    ("transform_layout(B, X_global, [d1/16, d0, d1%16])", "no argument's"),
    ("pad_einsum(B, [8, 32, 1])", "multiples"),
    ("decompose_reduction(B.k)", ""),
    ("rfactor(B.k_1, 1)", "B_rf sums in parts"),
)
"""The moves that the example lacks. Prompts say nothing of those that rarely gain anything: calls pay for each word."""


def moves_text() -> str:
    """The part of the stable text on moves."""
    lines = [f"{moves} # {remark}" if remark else moves for moves, remark in EXAMPLE]
    others = [f"{move} ({remark})" if remark else move for move, remark in OTHERS]
    return "\n".join((_ABOUT, *lines, f"Others: {'; '.join(others)}"))
