"""Which graphs of a model of PyTorch's were compiled, and which run in PyTorch, why, and what they take."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from colt.models.manifest import Manifest
from colt.util.text import counted


@dataclass(slots=True)
class GraphReport:
    """What became of a graph."""

    number: int
    operators: int
    model: Manifest | None = None
    """What it was compiled to."""
    again: bool = False
    """Whether an equal graph had been compiled before."""
    reason: str = ""
    """Why it runs in PyTorch; empty if it does not."""
    calls: int = 0
    """How often it ran in PyTorch."""
    seconds: float = 0.0
    """How long it ran there, in all."""

    @property
    def title(self) -> str:
        """The graph in words."""
        return f"graph {self.number} ({counted(self.operators, 'operator')})"

    def __str__(self) -> str:
        if self.reason:
            each = f", {self.seconds / self.calls * 1e6:,.0f} us each" if self.seconds else ""
            return f"{self.title}: in PyTorch, {counted(self.calls, 'call')}{each}: {self.reason}"
        if self.model is None:
            return f"{self.title}: being compiled"
        whole = self.model.timed
        took = "" if whole is None else f", {whole.tuned_ms * 1e3:,.0f} us a call"
        equal = ", as an equal graph before" if self.again else ""
        return f"{self.title}: compiled{equal}, {counted(len(self.model.tasks), 'task')}{took}"


@dataclass(slots=True)
class BreakReport:
    """What a graph break has cost, where another graph has followed it."""

    places: tuple[tuple[str, int], ...]
    """Files and lines: where PyTorch could not go on, and the calls that led there."""
    reason: str
    times: int = 0
    """How often it was measured."""
    seconds: float = 0.0
    """How long Python ran from one graph to the next, in all."""

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.times += 1
        self.seconds += seconds

    def __str__(self) -> str:
        file, line = self.places[-1] if self.places else ("", 0)
        each = f"{self.seconds / self.times * 1e6:,.0f} us each" if self.times else "not measured"
        return (
            f"between two graphs, {file}:{line}: {counted(self.times, 'time')} in Python, {each}: {_line(self.reason)}"
        )


@dataclass(slots=True)
class TorchReport:
    """The report of all graphs of this process, in the order in which they came."""

    graphs: list[GraphReport] = field(default_factory=list)
    between: list[BreakReport] = field(default_factory=list)
    """The places where PyTorch has broken a graph, and what that costs."""

    def break_at(self, places: tuple[tuple[str, int], ...], reason: str) -> BreakReport:
        """The entry of a break, which is made if there is none."""
        found = next((one for one in self.between if one.places == places), None)
        if found is None:
            found = BreakReport(places, reason)
            self.between.append(found)
        return found

    def new(self, operators: int) -> GraphReport:
        """Enter a graph."""
        self.graphs.append(GraphReport(len(self.graphs) + 1, operators))
        return self.graphs[-1]

    @property
    def breaks(self) -> Mapping[str, int]:
        """Why PyTorch could not go on with a graph, and how often: what lies between two graphs runs in Python."""
        utils = sys.modules.get("torch._dynamo.utils")
        return {} if utils is None else dict(utils.counters["graph_break"])

    def __str__(self) -> str:
        lines = [str(graph) for graph in self.graphs]
        lines += [str(one) for one in self.between if one.times]
        lines += [f"graph break, {counted(count, 'time')}: {_line(why)}" for why, count in self.breaks.items()]
        return "\n".join(lines) or "torch.compile has given no graph to colt"


@functools.cache
def torch_report() -> TorchReport:
    """What became of the graphs that ``torch.compile(..., backend="colt")`` has had in this process; it changes as
    they run."""
    return TorchReport()


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
