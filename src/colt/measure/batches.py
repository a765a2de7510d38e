"""How many trials a run has in flight: asked for, and not told to the tree yet.

All trials of a batch are chosen before the first of them is measured. More hosts need larger batches to be busy, but
the search learns from what was measured: the larger the batch, the more of it is chosen by what was known before it.
``benchmarks/parallelism.py`` measures both; decision 0031 has the figures.
"""

from __future__ import annotations

ONE_HOST = 8
"""The batch of one host, whose workers build side by side: it costs no more trials than one at a time."""
EACH_HOST = 2
"""Trials for each of several hosts. With one each, all would wait for the slowest; with four each 8 to 16 hosts would
be busier by a fifth, and the search would need a tenth more trials."""


def trials_at_once(hosts: int) -> int:
    """The batch of a run that times on so many ``hosts``.

    How many places build does not matter: with few hosts these time longer than the builders build, and with many hosts
    there are as many candidates as builders anyway.
    """
    return max(ONE_HOST, EACH_HOST * hosts)
