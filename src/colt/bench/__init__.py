"""The benchmark of search methods: ``colt bench``, workloads x strategies x seeds.

``config`` holds the configuration, ``directory`` keeps all results, ``run`` is the main job on one screen. A *cell* is
one search: one workload, strategy and seed. ``isolation`` starts it in a process of its own, which runs ``cell``.
``strategies`` lists the searches: ``ours`` with ``methods``, and ``stock``, which is MetaSchedule's own. ``remeasure``
times the winners of all cells of a workload and the peers, libraries that compute the same, in ``turns``;
``contenders/`` holds the processes that they run in. From the ``records`` of both, ``figures`` computes medians,
ratios and curves; ``report`` and ``tables`` write them down.

The package drives everything else of COLT; only ``cli`` imports it.
"""
