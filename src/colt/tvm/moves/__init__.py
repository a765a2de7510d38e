"""Structural moves (:mod:`colt.moves`) made on real programs.

``names`` calls blocks and loops as moves and prompts do, ``make`` makes moves one by one, after it has checked what
TVM does not, ``soundness`` and ``bounds`` look at what came of all of them, and ``prefetch`` is the one move that no
primitive of TVM makes.
"""
