"""Building and timing candidates in a worker process that may die without taking the run along.

- ``types``: the contract; ``local``: the measurer for this machine
- ``process``: one worker process as its parent sees it; ``conversation``: one request to it
- ``messages``: what the two say to each other; ``wire``: how; ``worker``: the child's side, run with ``python -m``
- ``kernel``, ``access``, ``arguments``: a program built, which parameters it writes, what it is called with
- ``timing``: how often to run it; ``verify`` and ``compare``: whether it computes what the untuned program computes

The parent sends pickles, the worker answers in checked JSON only: kernels under test run in its address space, so
nothing that it says is trusted.
"""

from colt.tvm.measure.local import LocalMeasurer
from colt.tvm.measure.types import ExportError, Job, Limits, Measurement, Measurer, Verification

__all__ = ["ExportError", "Job", "Limits", "LocalMeasurer", "Measurement", "Measurer", "Verification"]
