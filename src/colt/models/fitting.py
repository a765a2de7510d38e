"""Which of a program's schedules goes into the model: the one that is fastest there.

Alone, a program is timed on arguments that lie as its own last call has left them. In the model others wrote them, on
other cores, and other weights went through the caches in between; so a schedule that wins alone may lose there. The
fastest few of each program are therefore timed in the model. One library has the winners of all programs, the next
their second ones, and so on; each is timed in turn with the first, function by function, so that one library serves to
judge one schedule of every program. Then the best of each are put together, and kept if that makes the whole faster.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from colt.models.judge import in_turn
from colt.run.finish import Runner
from colt.tvm.models.assembly import Assembled
from colt.tvm.models.library import ModelLibrary, ready
from colt.util.stats import paired_ratio

GAIN = 0.99
"""A schedule takes the winner's place if it takes less than this share of its time in the model."""
SECONDS = 1.5
"""Timing two models in turn takes about so long."""
Observed = dict[str, float]
"""Microseconds by the task's key: of all calls in a run of the model."""


@dataclass(frozen=True, slots=True)
class BuiltModel:
    """A model with one schedule for each program."""

    assembled: Assembled
    content: bytes = field(repr=False)
    library: ModelLibrary


@dataclass(frozen=True, slots=True)
class Fitted:
    """The model with the schedules that are fastest in it."""

    built: BuiltModel
    chosen: Mapping[str, Runner]
    """The schedule of each program, by the task's key."""
    model_us: Mapping[str, float]
    """What a run of the model takes for all calls of each program, where that was measured."""
    taken_back: tuple[str, ...] = ()
    """The keys of programs whose winner was not the fastest in the model."""


def fitted(
    contenders: Mapping[str, Sequence[Runner]],
    build: Callable[[Mapping[str, Any]], BuiltModel],
    inputs: Sequence[Any],
) -> Fitted:
    """Put the model together. ``contenders`` are the schedules of each program by the task's key, the winner first;
    ``build`` makes a model of one module for each key; ``inputs`` are those to time with."""
    winners = {key: runners[0] for key, runners in contenders.items()}
    first = build(_modules(winners))
    if not winners:
        return Fitted(first, {}, {})
    given = [ready(one) for one in inputs]
    best = {key: (1.0, runner) for key, runner in winners.items()}
    for place in range(1, max(map(len, contenders.values()))):
        others = {key: runners[place] for key, runners in contenders.items() if len(runners) > place}
        second = build(_modules(winners | others))
        for key, ratio in _ratios(first, second, given, others).items():
            best[key] = min(best[key], (ratio, others[key]), key=lambda one: one[0])
    better = {key: runner for key, (ratio, runner) in best.items() if ratio < GAIN}
    if not better:
        return Fitted(first, winners, _observed([first], given)[0].functions)
    second = build(_modules(winners | better))
    before, after = _observed([first, second], given)
    if paired_ratio(after.whole_ms, before.whole_ms).median < 1:
        return Fitted(second, winners | better, after.functions, tuple(better))
    return Fitted(first, winners, before.functions)


def _modules(chosen: Mapping[str, Runner]) -> dict[str, Any]:
    return {key: runner.module for key, runner in chosen.items()}


@dataclass(frozen=True, slots=True)
class InTurn:
    """Some runs of a model: what each took in milliseconds, and of that each program."""

    whole_ms: Sequence[float]
    each: Sequence[Observed]

    @property
    def functions(self) -> Observed:
        """The medians of each program."""
        return {key: statistics.median(one[key] for one in self.each) for key in self.each[0]}


def _ratios(first: BuiltModel, second: BuiltModel, inputs: Sequence[Any], keys: Iterable[str]) -> dict[str, float]:
    """How many times as long as in the first model each program takes in the second."""
    ours, others = (runs.each for runs in _observed([first, second], inputs))
    return {
        key: paired_ratio([one[key] for one in others], [one[key] for one in ours]).median
        for key in keys
        if all(one.get(key) for one in (*ours, *others))
    }


def _observed(models: Sequence[BuiltModel], inputs: Sequence[Any]) -> list[InTurn]:
    """The models run in turn; what each run took, function by function."""
    found: list[list[Observed]] = [[] for _ in models]

    def observing(model: BuiltModel, runs: list[Observed]) -> Callable[[], None]:
        run = model.library.observed()
        keys = {name: key for key, name in model.assembled.names.items()}

        def call() -> None:
            runs.append({keys[name]: us for name, us in run(*inputs).items() if name in keys})

        return call

    rounds = in_turn([observing(*pair) for pair in zip(models, found, strict=True)], SECONDS)
    return [InTurn(series, _counted(runs, len(series))) for runs, series in zip(found, rounds, strict=True)]


def _counted(runs: Sequence[Observed], rounds: int) -> list[Observed]:
    """The runs that counted: one was made first, and there may be another before each."""
    after = runs[1:]
    return list(after[len(after) // rounds - 1 :: len(after) // rounds])
