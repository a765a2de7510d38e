"""The built-in pool: algorithms, named as such, that need no network, key or weights.

``scout`` makes one random legal edit, ``tuner`` ranks some tens of neighbours, ``architect`` constructs schedules from
the analytical model. Their sizes are nominal: they order the pool as effort does. To add one, write a class with
``spec`` and ``propose`` in a file of its own and enter it in :data:`colt.proposers.experts.builtin.EXPERTS`.
"""
