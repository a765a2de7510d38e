"""The benchmark of search methods: ``colt bench``, workloads x strategies x seeds.

``config`` holds what was asked for, ``directory`` keeps all that is found, ``run`` is the main job on one screen. A
*cell* is one search: one workload, strategy and seed (``isolation`` starts it in a process of its own, which is
``cell``; ``strategies`` lists how it may search: ``ours`` with ``methods``, ``stock`` with MetaSchedule's own).
``remeasure`` has the winners of all cells of a workload and the peers, libraries that compute the same, timed in
``turns``; ``contenders/`` are the processes that these live in. From the ``records`` of both ``figures`` works out
medians, ratios and curves, and ``report`` and ``tables`` write them down.

Drives everything else of COLT, and is imported by ``cli`` alone.
"""
