"""Structured sketches: our own, derived from the dataflow of any program of blocks.

A program is prepared (``prepare``: pointwise blocks inlined, operands packed, row reductions split into lanes), its
blocks are put into groups (``groups``) by what they need of each other (``flow``) and what loop nest suits them
(``shapes``), and each group is scheduled (``emit``) with open decisions (``tiles``). ``designs`` holds the way there.
What does not fit a rule gets no such sketch.
"""

from colt.tvm.sketches.structured.designs import derive

__all__ = ["derive"]
