"""Who is timed in turn: the winners of searches, and peers, libraries that compute the same.

Each family lives in a process of its own (``server``), since thread pools of two libraries in one process would spin
against each other: ``kernels`` are the winners, ``numpy_peer`` and ``torch_peer`` the libraries. ``client`` is this
side of such a process, ``messages`` what goes between. Only one ``contender`` runs at a time, and all are timed by the
same Python: a call costs each of them what it costs its user.
"""
