"""How often to run a kernel: once if it is slow, else until the figure is good."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from colt.tvm.measure.types import Limits


class Runnable(Protocol):
    """A built kernel together with its arguments. Latencies are in microseconds."""

    def once(self) -> float:
        """One run, no warm-up."""
        ...

    def repeated(self, number: int, repeats: int) -> list[float]:
        """``repeats`` averages over ``number`` runs each, after one run that is not counted."""
        ...


def time_candidate(
    kernel: Runnable, best_us: float | None, limits: Limits, before_repeats: Callable[[], None]
) -> list[float]:
    """Latencies of the repeats, or one figure for a kernel that is long-running or far slower than the best.

    ``before_repeats`` is called after the first run if more follow.
    """
    drop_us = math.inf if best_us is None else limits.drop_factor * best_us
    cold_us = kernel.once()
    if cold_us >= limits.single_run_ms * 1e3 or (cold_us > drop_us and cold_us >= limits.cold_ms * 1e3):
        return [cold_us]
    before_repeats()
    (shot_us,) = kernel.repeated(1, 1)
    if shot_us > drop_us:
        return [shot_us]
    number = runs_per_repeat(shot_us, limits)
    wanted = round(limits.total_ms * 1e3 / (number * shot_us))
    return kernel.repeated(number, min(max(wanted, limits.min_repeats), limits.max_repeats))


def time_in_turn(
    kernels: Sequence[Runnable], rounds: int, limits: Limits, before_run: Callable[[int], None]
) -> list[list[float]]:
    """``rounds`` latencies of each kernel, taken in turn, so that drifts of the machine meet all alike.

    Every other round goes backwards. ``before_run`` is called with the kernel's index before each run.
    """
    numbers = []
    for index, kernel in enumerate(kernels):
        before_run(index)
        numbers.append(runs_per_repeat(kernel.once(), limits))
    latencies: list[list[float]] = [[] for _ in kernels]
    for turn in range(rounds):
        order = range(len(kernels)) if turn % 2 == 0 else range(len(kernels) - 1, -1, -1)
        for index in order:
            before_run(index)
            # A long run needs no warm-up, which would double it.
            figure = kernels[index].once() if numbers[index] == 1 else kernels[index].repeated(numbers[index], 1)[0]
            latencies[index].append(figure)
    return latencies


def runs_per_repeat(latency_us: float, limits: Limits) -> int:
    """How many runs of ``latency_us`` fill one repeat."""
    return max(1, math.ceil(limits.min_repeat_ms * 1e3 / latency_us))
