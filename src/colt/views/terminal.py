"""The progress of a run: a live panel on a terminal, one plain line per batch elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from colt import events
from colt.events import Event


@dataclass(slots=True)
class CallsSoFar:
    """What the calls of a language model cost so far."""

    requests: int = 0
    tokens: int = 0
    usd: float = 0.0

    def add(self, event: events.Called) -> None:
        """Count one more call."""
        self.requests += event.requests
        self.tokens += event.input + event.output
        self.usd += event.usd

    def __str__(self) -> str:
        return f"${self.usd:.4f}, {self.requests} requests, {self.tokens:,} tokens"


@dataclass(slots=True)
class RunState:
    """The part of a run's state that is displayed, kept up to date from the event stream."""

    trials_total: int
    started: float = field(default_factory=time.monotonic)
    phase: str = "starting"
    told: int = 0
    failed: int = 0
    best_us: float | None = None
    baseline_us: float | None = None
    last: str = ""
    acting: str = ""
    first_told: float | None = None
    proposed_by: dict[int, str] = field(default_factory=dict)
    called: dict[str, CallsSoFar] = field(default_factory=dict)
    """The calls of each language model so far."""

    def update(self, event: Event) -> None:
        """Take one event in."""
        if isinstance(event, events.Began):
            self.phase = event.phase
        elif isinstance(event, events.Baseline):
            self.baseline_us = event.latency_us
        elif isinstance(event, events.Selected):
            self.acting = event.acting
        elif isinstance(event, events.Asked):
            self.proposed_by[event.trial] = event.proposed_by
        elif isinstance(event, events.Timed):
            self._timed(event)
        elif isinstance(event, events.Measured):
            self._measured(event)
        elif isinstance(event, events.Called):
            self.called.setdefault(event.model, CallsSoFar()).add(event)

    def _timed(self, event: events.Timed) -> None:
        self.first_told = self.first_told or time.monotonic()
        by = self.proposed_by.pop(event.trial, "")
        self.told += 1
        if event.latency_us is None:
            self.failed += 1
            self.last = f"{event.fate} by {by}"
            return
        self.last = f"{event.latency_us:,.1f} us by {by}"

    def _measured(self, event: events.Measured) -> None:
        """Only a result that the search was told can be the best: it was compared with the untuned program."""
        if event.latency_us is None:
            return
        if self.best_us is None or event.latency_us < self.best_us:
            self.best_us = event.latency_us

    @property
    def seconds(self) -> float:
        """Seconds since the start of the run."""
        return time.monotonic() - self.started

    @property
    def seconds_left(self) -> float | None:
        """Seconds left at the pace of the trials so far; ``None`` before the first trial."""
        if not self.told or self.first_told is None:
            return None
        pace = (time.monotonic() - self.first_told) / self.told
        return max(0.0, pace * (self.trials_total - self.told))

    def best_text(self) -> str:
        """The best latency, and its speed-up over the untuned program."""
        if self.best_us is None:
            return "none yet"
        times = f" ({self.baseline_us / self.best_us:.1f}x)" if self.baseline_us else ""
        return f"{self.best_us:,.1f} us{times}"

    def spent_text(self) -> str:
        """What all language models together cost so far; empty if none was called."""
        called = self.called.values()
        usd, requests = sum(one.usd for one in called), sum(one.requests for one in called)
        return f"  ${usd:.4f} for {requests} requests" if called else ""


class ProgressView(Protocol):
    """A subscriber that displays the event stream; a context manager."""

    def __call__(self, event: Event) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class PlainProgress:
    """Prints one line per batch and every message, for logs and pipes."""

    def __init__(self, trials_total: int, stream: TextIO) -> None:
        self._state = RunState(trials_total)
        self._stream = stream
        self._shown = 0

    def __call__(self, event: Event) -> None:
        """Take an event in; print a line for a phase, a message or a finished batch."""
        self._state.update(event)
        if isinstance(event, events.Began):
            self._print(f"{event.phase} ...")
        elif isinstance(event, events.Noted):
            self._print(f"note: {event.message}")
        elif isinstance(event, events.Revalued) and self._state.told > self._shown:
            self._shown = self._state.told
            self._print(self._line())

    def _line(self) -> str:
        state = self._state
        left = "" if state.seconds_left is None else f", about {state.seconds_left:.0f} s left"
        return (
            f"trial {state.told}/{state.trials_total}  best {state.best_text()}  last {state.last}"
            f"  next {state.acting}  {state.seconds:.0f} s{left}{state.spent_text()}"
        )

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


class LiveProgress:
    """Redraws a panel in place on a terminal."""

    def __init__(self, trials_total: int, console: Console) -> None:
        self._state = RunState(trials_total)
        self._live = Live(console=console, refresh_per_second=8, transient=True, get_renderable=self._render)

    def __call__(self, event: Event) -> None:
        """Take an event in; the panel redraws itself."""
        self._state.update(event)
        if isinstance(event, events.Noted):
            self._live.console.print(Text(f"note: {event.message}", style="yellow"))

    def _render(self) -> Group:
        state = self._state
        grid = Table.grid(padding=(0, 2))
        left = "" if state.seconds_left is None else f", about {state.seconds_left:.0f} s left"
        rows = [
            ("phase", state.phase),
            ("trials", f"{state.told} of {state.trials_total}" + (f", {state.failed} failed" if state.failed else "")),
            ("best so far", state.best_text()),
            ("last", state.last or "-"),
            ("next", state.acting or "-"),
            ("time", f"{state.seconds:.0f} s{left}"),
        ]
        rows += [(name, str(called)) for name, called in sorted(state.called.items())]
        for name, value in rows:
            grid.add_row(Text(name, style="dim"), value)
        return Group(ProgressBar(total=state.trials_total, completed=state.told, width=60), grid)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, traceback)


class Silent:
    """Shows nothing."""

    def __call__(self, event: Event) -> None:
        """Ignore the event."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass
