"""The analytical model of a CPU kernel: pure arithmetic over a sketch's structure, no compiler.

``skeleton.py`` says what a sketch is made of, ``places.py`` where its blocks are computed, ``nests.py`` works out the
loops that a choice of knob values gives, ``estimate.py`` what they cost on a processor (``processor.py``), and
``memory.py`` how long they wait for their data. A schedule has most of this in common with its neighbours: what follows
from locations is worked out once for all tiles (``places.py``), what follows from a block's own loops once for all
nests (``own.py``).
:mod:`colt.tvm.space.skeleton` reads skeletons from TVM. Imports :mod:`colt.knobs` and :mod:`colt.machine` only.
"""
