"""Everything that touches TVM; no other package of COLT imports it.

For users of MetaSchedule: ``ms.tune_tir(mod, target, work_dir, 64, strategy=colt.tvm.SearchStrategy())``, and
``builder=colt.tvm.Builder(), runner=colt.tvm.Runner()``. For users of TVM: ``colt.tvm.VectorMath()(mod)``.

``host`` brings TVM up; ``source`` loads programs, ``workloads/`` are the built-in ones; ``sketches/``, ``extract`` and
``space`` make the schedules; ``vector_math/`` rewrites what they compute; ``skeleton``, ``scorer`` and ``cost_model``
predict them; ``measure/`` builds and times them; ``records`` and ``export`` write results; ``strategy``, ``builder``
and ``runner`` are the adapters to MetaSchedule, the latter two over ``artifact`` and ``shared``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
