"""The contenders that are timed in turn: the winners of searches, and peers, libraries that compute the same.

Each family has its own process (``server``), since the thread pools of two libraries in one process would spin against
each other: ``kernels`` are the winners, ``numpy_peer``, ``torch_peer`` and ``onnx_peer`` the libraries, with what they
compute in ``torch_functions``, ``torch_few_bits`` and ``onnx_graphs``. ``client`` is this side of such a process;
``messages`` are exchanged between the two. Only one ``contender`` runs at a time, and the same Python times all: a call
costs each of them what it costs its user.
"""
