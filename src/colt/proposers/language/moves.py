"""What prompts say about structural moves: a worked example that shows most of them, and how the others are written."""

from __future__ import annotations

_ABOUT = """\
`moves`, with `;` between, change the structure of the node or of `sketch` ("plain/untuned": the program as given),
before `edits`. Others tune the knobs of what they make: leave factors open. An impossible move costs the proposal.
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
_COPIED = "Or B copied first, in panels of 16 columns"
COPIED = (
    ("cache_read(C, B)", "to block B_global"),
    ("transform_layout(C, B_global, [d1/16, d0, d1%16])", "of copies and intermediates only"),
)
SKETCHED = (("sketch(fused)", "the sketch of that name for what is there now, with its knobs"),)
"""The same of an example whose loops are a sketch's."""
OTHERS = (
    ("fuse(B, [i, j])", "i_j"),
    ("compute_at(A, B.i)", "producer A"),
    ("compute_inline(A)", ""),
    ("pad_einsum(B, [8, 32, 1])", "to multiples"),
    ("decompose_reduction(B.k)", ""),
    ("rfactor(B.k_1, 1)", "B_rf sums in parts"),
)
"""The moves that the examples lack. Prompts say nothing of those that rarely gain anything: calls pay for each word."""


def moves_text(sketches: bool = True) -> str:
    """The part of the stable text on moves. ``sketches``: whether moves may apply any."""
    copied = (f"{_COPIED}{', all loops left to a sketch' if sketches else ''}:", *_lines(COPIED))
    others = [f"{move} ({remark})" if remark else move for move, remark in OTHERS]
    lines = (*_lines(EXAMPLE), *copied, *(_lines(SKETCHED) if sketches else ()))
    return "\n".join((_ABOUT, *lines, f"Others: {'; '.join(others)}"))


def _lines(example: tuple[tuple[str, str], ...]) -> list[str]:
    return [f"{moves} # {remark}" if remark else moves for moves, remark in example]
