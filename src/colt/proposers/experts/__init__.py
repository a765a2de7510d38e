"""The built-in experts: algorithms that need no network, key or weights.

``scout`` makes random legal edits, ``tuner`` ranks some tens of neighbours, ``architect`` constructs schedules from the
analytical model. ``explorer`` is no member: the search has it look for structures. Sizes are nominal: they order the
pool by effort. To add an expert, write a class with ``spec`` and ``propose`` in its own file and enter it in
:data:`colt.proposers.experts.builtin.EXPERTS`.
"""
