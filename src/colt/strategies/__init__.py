"""How a task decides what to measure, one file a strategy: ``base.py`` has the contract.

A strategy knows the search core and the proposers, and of a run only :class:`~colt.strategies.base.Ground`.
"""
