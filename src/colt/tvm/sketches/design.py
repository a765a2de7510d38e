"""A design space as data: traces on one module, and the post-processors that finish a schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tvm.s_tir.schedule import Trace

PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Design:
    """One structure: ``trace`` applies to the workload's own module, whatever the variant.

    ``name`` is by default ``ms`` and a running number within the variant; ``summary`` is one line on how the design
    differs from its siblings, by default derived from the trace. ``complete``, if given, is called with the trace when
    the design is first used and returns ``(trace, messages)``. It does work that is too expensive for hundreds of
    designs, since a search visits only a few.
    """

    variant: str
    trace: Any
    name: str | None = None
    summary: str | None = None
    complete: Callable[[Any], tuple[Any, tuple[str, ...]]] | None = None


@dataclass(frozen=True, slots=True)
class DesignSpace:
    """``messages`` say what was left out and why; they belong in the receipt."""

    designs: tuple[Design, ...]
    postprocs: tuple[Any, ...]
    messages: tuple[str, ...] = ()


def distinct(traces: Sequence[Any]) -> tuple[list[Any], str | None]:
    """The traces that differ in more than their decisions, in order, and a message if any were dropped."""
    found: dict[str, Any] = {}
    for trace in traces:
        found.setdefault(str(Trace(trace.insts, {})), trace)
    if len(found) == len(traces):
        return list(found.values()), None
    return list(found.values()), f"{len(traces)} sketches were generated, {len(found)} of them distinct"
