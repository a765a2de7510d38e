"""The analytical model of a CPU kernel: pure arithmetic over a sketch's structure, no compiler.

``skeleton.py`` says what a sketch is made of, ``nests.py`` works out the loops that a choice of knob values gives,
``estimate.py`` what they cost on a processor (``processor.py``), ``memory.py`` how long they wait for their data.
:mod:`colt.tvm.space.skeleton` reads skeletons from TVM. Imports :mod:`colt.knobs` and :mod:`colt.machine` only.
"""
