"""Everything that touches TVM; no other package of COLT imports it.

For users of MetaSchedule: ``ms.tune_tir(mod, target, work_dir, 64, strategy=colt.tvm.SearchStrategy())``, and
``builder=colt.tvm.Builder(), runner=colt.tvm.Runner()``. For users of TVM: ``colt.tvm.VectorMath(target)(mod)``.

- ``devices/``: where kernels run; ``workers/``: the processes that build and time them
- ``programs/``: where programs come from, and files of tuned ones
- ``space/``: the schedules of a program; ``sketches/``: the structures that they start from; ``moves/``: what makes
  others of these; ``forms/``: other computations of the same; ``cost/``: predictions
- ``vector_math/``: exp and the like, rewritten for vectors; ``briefing/``: what language models are told
- ``dots/``: instructions that add up products, as tensor intrinsics; importing this package registers them in TVM
- ``ends``: what ends the process does so from within TVM, too
- ``refusals``: what TVM throws, as a refusal of what was asked for
- ``metaschedule/``: strategy, builder, runner and records for stock TVM
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from colt.tvm.imports import import_after_tvm

if TYPE_CHECKING:
    from colt.tvm.metaschedule.builder import Builder
    from colt.tvm.metaschedule.runner import Runner
    from colt.tvm.metaschedule.strategy import SearchStrategy
    from colt.tvm.vector_math import VectorMath

__all__ = ["SearchStrategy", "Builder", "Runner", "VectorMath"]

_MODULES = {
    "SearchStrategy": "metaschedule.strategy",
    "Builder": "metaschedule.builder",
    "Runner": "metaschedule.runner",
    "VectorMath": "vector_math",
}


def __getattr__(name: str) -> Any:
    """Import what loads TVM on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'colt.tvm' has no attribute {name!r}")
    return getattr(import_module(f"colt.tvm.{_MODULES[name]}"), name)


import_after_tvm("colt.tvm.ends")
import_after_tvm("colt.tvm.dots.registered")  # replaying a schedule that uses an intrinsic takes its name
