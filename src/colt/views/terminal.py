"""The progress of a run: a live panel on a terminal, one plain line per batch elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from colt import events
from colt.events import Event
from colt.util.text import in_us, shown
from colt.views.fold import take
from colt.views.seen import SeenMember
from colt.views.state import RunState

STOPPING = (
    "stopping: what is being measured is waited for, then the best so far is verified, timed and kept "
    "(Ctrl-C again drops it)"
)
ENDED_ALREADY = "the search has ended: the best is being verified, timed and kept (Ctrl-C again drops it)"


class LiveState:
    """A run's state with the clock of this process: what both displays say of it."""

    def __init__(self, trials_total: int, doing: str = "") -> None:
        """``doing`` stands before the phases of a run that is not run but, say, replayed."""
        self._doing = doing
        self._stopping = ""
        self._begin(trials_total)

    def _begin(self, trials_total: int) -> None:
        self.state = RunState()
        self._budget = trials_total
        self._asked = 0
        self._started = time.monotonic()
        self._before: tuple[float, int] | None = None
        """When the run went on, if it has, and the trials that it had then."""

    def update(self, event: Event) -> None:
        """Take one event in, which happens now."""
        if isinstance(event, events.OfModel) and self.state.of_model:
            self._begin(self._budget)  # the same model for another size
        take(self.state, event, self.seconds)
        self._asked += isinstance(event, events.Asked)
        if isinstance(event, events.WentOn):
            self._budget = event.trials
            self._before = self.seconds, self.state.told

    def stop(self) -> str:
        """Take in that the run was asked to stop; what happens now, in words."""
        self._stopping = ENDED_ALREADY if self.state.phase == events.ENDING else STOPPING
        return self._stopping

    @property
    def phase_text(self) -> str:
        """What the run is at, or that it stops."""
        return self._stopping or f"{self._doing}{self.state.phase}"

    @property
    def trials_total(self) -> int:
        """How many trials there will be: the budget, or more if records alone are measured, or some count for none."""
        return max(self._budget, self._asked)

    @property
    def seconds(self) -> float:
        """Seconds since the start of the run."""
        return time.monotonic() - self._started

    @property
    def seconds_left(self) -> float | None:
        """Seconds left at the pace of the trials so far; ``None`` before the first trial."""
        state = self.state
        since, before = self._before or (state.first_told_s, 0)
        if state.told == before or since is None:
            return None
        pace = (self.seconds - since) / (state.told - before)
        return max(0.0, pace * (self.trials_total - state.told))

    @property
    def left_text(self) -> str:
        """The seconds left, after what was spent."""
        return "" if self.seconds_left is None else f", about {self.seconds_left:.0f} s left"

    @property
    def best_text(self) -> str:
        """The best latency, and its speed-up over the untuned program; of a model the sum over its programs."""
        task = self.state.task
        if self.state.of_model and (model := self.state.model_us) is not None:
            best, untuned = model
            return f"{best / 1e3:.2f} ms predicted for the model ({untuned / best:.1f}x)"
        if task.best_us is None:
            return "none yet"
        times = f" ({task.baseline_us / task.best_us:.1f}x)" if task.baseline_us else ""
        return f"{in_us(task.best_us)}{times}"

    @property
    def last_text(self) -> str:
        """The latest trial: its latency or what became of it, and by whom it is."""
        last = self.state.last
        if last is None:
            return ""
        return f"{last.fate if last.latency_us is None else in_us(last.latency_us)} by {last.by}"

    @property
    def spent_text(self) -> str:
        """What all language models together cost so far; empty if none was called."""
        called = [one for one in self.state.members.values() if one.requests]
        requests = sum(one.requests for one in called)
        return f"  ${self.state.usd:.4f} for {requests} requests" if called else ""


class ProgressView(Protocol):
    """A subscriber that displays the event stream; a context manager. While it is muted it only keeps up."""

    muted: bool

    def __call__(self, event: Event) -> None: ...

    def stopping(self) -> None:
        """Say at once that the run was asked to stop, and what happens now. For any thread."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class PlainProgress:
    """Prints one line per batch and every message, for logs and pipes."""

    def __init__(self, trials_total: int, stream: TextIO, doing: str = "") -> None:
        self.muted = False
        self._now = LiveState(trials_total, doing)
        self._doing = doing
        self._stream = stream
        self._shown = 0

    def __call__(self, event: Event) -> None:
        """Take an event in; print a line for a phase, a message or a finished batch."""
        self._now.update(event)
        if self.muted:
            self._shown = self._now.state.told
        elif isinstance(event, events.Began):
            self._print(f"{self._doing}{event.phase} ...")
        elif isinstance(event, events.WentOn):
            self._print(f"went on after {self._now.state.told} trials, up to {event.trials}")
        elif isinstance(event, events.Noted):
            self._print(f"note: {event.message}")
        elif isinstance(event, events.Revalued) and self._now.state.told > self._shown:
            self._shown = self._now.state.told
            self._print(self._line())

    def stopping(self) -> None:
        """See :meth:`ProgressView.stopping`."""
        self._print(self._now.stop())

    def _line(self) -> str:
        now, state = self._now, self._now.state
        following = f"  next {state.acting}" if state.acting else ""  # nobody is asked before records are measured
        return (
            f"trial {state.told}/{now.trials_total}  best {now.best_text}  last {now.last_text}{following}"
            f"  {now.seconds:.0f} s{now.left_text}{now.spent_text}"
        )

    def _print(self, text: str) -> None:
        print(shown(text, lines=True), file=self._stream, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


class LiveProgress:
    """Redraws a panel in place on a terminal."""

    def __init__(self, trials_total: int, console: Console, doing: str = "") -> None:
        self.muted = False
        self._now = LiveState(trials_total, doing)
        self._live = Live(console=console, refresh_per_second=8, transient=True, get_renderable=self._render)

    def __call__(self, event: Event) -> None:
        """Take an event in; the panel redraws itself."""
        self._now.update(event)
        if isinstance(event, events.Noted) and not self.muted:
            self._live.console.print(Text(f"note: {shown(event.message, lines=True)}", style="yellow"))

    def stopping(self) -> None:
        """See :meth:`ProgressView.stopping`: the panel shows it from now on."""
        self._now.stop()

    def _render(self) -> Group:
        now, state = self._now, self._now.state
        grid = Table.grid(padding=(0, 2))
        failed = f", {state.failed} failed" if state.failed else ""
        rows = [
            ("phase", now.phase_text),
            ("trials", f"{state.told} of {now.trials_total}{failed}"),
            ("best so far", now.best_text),
            ("last", now.last_text or "-"),
            ("next", state.acting or "-"),
            ("time", f"{now.seconds:.0f} s{now.left_text}"),
        ]
        rows += [(name, _cost(member)) for name, member in sorted(state.members.items()) if member.requests]
        for name, value in rows:
            grid.add_row(Text(shown(name), style="dim"), Text(shown(value)))
        return Group(ProgressBar(total=now.trials_total, completed=state.told, width=60), grid)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, traceback)


def _cost(member: SeenMember) -> str:
    """What the calls of a language model cost so far."""
    return f"${member.usd:.4f}, {member.requests} requests, {member.tokens:,} tokens"


class Silent:
    """Shows nothing, but answers who asks the run to stop."""

    muted = False

    def __init__(self, stream: TextIO) -> None:
        self._now = LiveState(0)
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Take the event in."""
        self._now.update(event)

    def stopping(self) -> None:
        """See :meth:`ProgressView.stopping`."""
        print(self._now.stop(), file=self._stream, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass
