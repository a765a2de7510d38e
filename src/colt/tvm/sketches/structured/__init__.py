"""Structured sketches: our own, derived from the dataflow of any program of blocks.

``designs`` runs the steps. A program is prepared: pointwise blocks inlined, operands packed, row reductions split into
lanes (``prepare``), extents padded (``padding``), operands packed for dot instructions (``dots``), long sums cut into
parts (``parts``). Its blocks are put into groups (``groups``) by what they need of each other (``flow``) and what loop
nest suits them (``shapes``). Each group is scheduled (``emit``) with open decisions (``tiles``), each of its blocks by
ordering and marking its loops (``block_nests``). A program that fits no rule gets no structured sketch.
"""

from colt.tvm.sketches.structured.designs import derive

__all__ = ["derive"]
