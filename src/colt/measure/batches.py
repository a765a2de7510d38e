"""How many trials a run has in flight: asked for, and not told to the tree yet.

All trials of a batch are chosen before the first of them is measured. More hosts need larger batches to be busy, but
the search learns from what was measured: the larger the batch, the more of it is chosen by what was known before it.
"""

from __future__ import annotations

ONE_HOST = 8
"""The batch of one host, whose workers build side by side."""
EACH_HOST = 2
"""Trials for each host: while one is timed the next is built and sent, and nobody waits for the slowest alone."""


def trials_at_once(hosts: int, builders: int = 1) -> int:
    """The batch of a run that times on so many ``hosts``, and builds in so many places."""
    return max(ONE_HOST, EACH_HOST * hosts)
