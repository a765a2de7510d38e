"""Programs of public operators, each with what it computes by NumPy; ``colt tune FILE.py:NAME`` takes any of them.

The operators are those of ONNX, PyTorch and TensorFlow, written anew from their definitions. ``reported.py`` has the
forms in which people have reported such programs, ``number.py`` and ``index.py`` more of the same kinds,
``written.py`` loops written by hand.
"""

from __future__ import annotations

from pathlib import Path

from tests.helpers.operators import index, number, reported, written
from tests.helpers.operators.case import Case, Cases

FILES = (reported, number, index, written)


def every_case() -> dict[str, tuple[str, Case]]:
    """All cases by name, each with what ``colt tune`` calls its program."""
    found: dict[str, tuple[str, Case]] = {}
    for module in FILES:
        cases: Cases = module.CASES
        for name, case in cases.items():
            assert name not in found, f"two cases are called {name}"
            found[name] = f"{Path(str(module.__file__))}:{name}", case
    return found
