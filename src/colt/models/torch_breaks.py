"""What graph breaks cost: the time between a graph that PyTorch could not go on with and the one that goes on after it.

What lies between them runs in Python: the code that broke the graph, and the checks of PyTorch before what follows. A
time counts only if the second graph belongs to the function that PyTorch made to go on after that very line, in the
same thread, with no other graph and nothing compiled in between; so it is never that of what a user does between two
calls. Where no graph follows, nothing is measured. What a break costs within graphs, which are shorter and fused less,
is in their times.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from types import FrameType
from typing import Any

from colt.models.torch_report import BreakReport, TorchReport

_RESUMING = re.compile(r"torch_dynamo_resume_in_.*_at_(?P<line>\d+)", re.DOTALL)
"""What PyTorch calls the functions that go on after a break."""
_MOST_FRAMES = 12
"""The function that calls a graph is at most so many frames up: what is between is PyTorch's."""
Place = tuple[str, int]
"""A file and a line."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A graph that a break has ended."""

    report: BreakReport
    at: float
    compiled: int
    """How many functions PyTorch had compiled by then."""


class _Last(threading.local):
    """The last graph that ran in this thread, if a break has ended it."""

    ended: _Ended | None = None


_LAST = _Last()


def with_breaks_timed(call: Callable[..., Any], graph: Any, reports: TorchReport) -> Callable[..., Any]:
    """The call of a graph, which tells ``reports`` what the break before it has cost, if there was one."""
    reason = getattr(graph, "compile_subgraph_reason", None)
    ends = None
    if reason is not None and reason.graph_break:
        places = tuple((str(frame.filename), int(frame.lineno or 0)) for frame in reason.user_stack)
        ends = reports.break_at(places, str(reason.reason))
    goes_on: Place | None = None  # of the function that calls the graph; one that is no place if it does not

    def timed(*arguments: Any) -> Any:
        nonlocal goes_on
        began, before, _LAST.ended = perf_counter(), _LAST.ended, None
        if goes_on is None:
            goes_on = _goes_on_at(sys._getframe(1)) or ("", 0)
        if before is not None and goes_on in before.report.places and before.compiled == _compiled():
            before.report.add(began - before.at)
        found = call(*arguments)
        if ends is not None:
            _LAST.ended = _Ended(ends, perf_counter(), _compiled())
        return found

    return timed


def _goes_on_at(frame: FrameType | None) -> Place | None:
    """Where the function that runs a graph goes on after a break; ``None`` if it begins at its beginning."""
    for one in _callers(frame):
        found = _RESUMING.fullmatch(one.f_code.co_name)
        if found is not None:
            return one.f_code.co_filename, int(found["line"])
    return None


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames of PyTorch's own from this one on, and the first that is none."""
    for _ in range(_MOST_FRAMES):
        if frame is None:
            return
        yield frame
        if str(frame.f_globals.get("__name__")).partition(".")[0] != "torch":
            return
        frame = frame.f_back


def _compiled() -> int:
    """How many functions PyTorch has tried to compile so far."""
    return int(sys.modules["torch._dynamo.utils"].counters["frames"]["total"])
