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
from functools import partial
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
    if better:
        second = build(_modules(winners | better))
        if _is_faster(second, first, given):
            return Fitted(second, winners | better, _observed(second, given), tuple(better))
    return Fitted(first, winners, _observed(first, given))


def _modules(chosen: Mapping[str, Runner]) -> dict[str, Any]:
    return {key: runner.module for key, runner in chosen.items()}


def _ratios(first: BuiltModel, second: BuiltModel, inputs: Sequence[Any], keys: Iterable[str]) -> dict[str, float]:
    """How many times as long as in the first model each program takes in the second."""
    ours, others = _observations([first, second], inputs)
    return {
        key: paired_ratio([one[key] for one in others], [one[key] for one in ours]).median
        for key in keys
        if all(one.get(key) for one in (*ours, *others))
    }


def _observations(models: Sequence[BuiltModel], inputs: Sequence[Any]) -> list[list[Observed]]:
    """The models run in turn; what each run took, function by function."""
    found: list[list[Observed]] = [[] for _ in models]

    def observing(model: BuiltModel, runs: list[Observed]) -> Callable[[], None]:
        run = model.library.observed()
        keys = {name: key for key, name in model.assembled.names.items()}

        def call() -> None:
            runs.append({keys[name]: us for name, us in run(*inputs).items() if name in keys})

        return call

    rounds = in_turn([observing(*pair) for pair in zip(models, found, strict=True)], SECONDS)
    return [_counted(runs, len(series)) for runs, series in zip(found, rounds, strict=True)]


def _counted(runs: Sequence[Observed], rounds: int) -> list[Observed]:
    """The runs that counted: one was made first, and there may be another before each."""
    after = runs[1:]
    return list(after[len(after) // rounds - 1 :: len(after) // rounds])


def _observed(model: BuiltModel, inputs: Sequence[Any]) -> Observed:
    (runs,) = _observations([model], inputs)
    return {key: statistics.median(one[key] for one in runs) for key in runs[0]}


def _is_faster(one: BuiltModel, other: BuiltModel, inputs: Sequence[Any]) -> bool:
    ours, others = in_turn([partial(model.library.call, *inputs) for model in (one, other)], SECONDS)
    return paired_ratio(ours, others).median < 1
