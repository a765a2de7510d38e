"""In the way of PyTorch, for processes that find this first: see :mod:`tests.helpers.lean`."""

raise ImportError("processes of this test do without PyTorch")
