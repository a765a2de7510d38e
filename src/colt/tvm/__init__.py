"""Everything that touches TVM; no other package of COLT imports it.

For users of MetaSchedule: ``ms.tune_tir(mod, target, work_dir, 64, strategy=colt.tvm.SearchStrategy())``.

``host`` brings TVM up; ``source`` loads programs, ``workloads/`` are the built-in ones; ``sketches/``, ``extract`` and
``space`` make the schedules; ``skeleton``, ``scorer`` and ``cost_model`` predict them; ``measure/`` builds and times
them; ``records`` and ``export`` write results; ``strategy`` is the adapter to MetaSchedule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colt.tvm.strategy import SearchStrategy

__all__ = ["SearchStrategy"]


def __getattr__(name: str) -> Any:
    """Import what loads TVM on first use."""
    if name != "SearchStrategy":
        raise AttributeError(f"module 'colt.tvm' has no attribute {name!r}")
    from colt.tvm.strategy import SearchStrategy

    return SearchStrategy
