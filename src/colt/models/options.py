"""The options of compiling a model; most are those of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from colt.errors import InputError
from colt.events import Emit
from colt.options import TuneOptions
from colt.util.declared import check_all, option, same_as

SUFFIX = ".colt"
"""How the names of compiled models' files end."""
NARROW = {"bf16": "bfloat16"}
"""What ``cast`` may be, and the type that it stands for."""
TRIALS_EACH = 64
"""Trials per program of a model, if the user gives no number: the clock ends most runs before."""


MOST_SIZES = 16
"""Combinations of sizes that one file may hold."""
LEAST_MINUTES = 0.01
"""What is left when everything is used up: what is known is compiled."""


@dataclass(frozen=True, slots=True)
class UsedUp:
    """What tuning has taken of a budget."""

    minutes: float
    trials: int
    usd: Decimal
    calls: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileOptions:
    """The options of :func:`colt.compile`, as the user gives them."""

    minutes: float = option(
        15.0,
        "minutes after which nothing new is tried, of all programs of the model together; comparing comes after",
        above=0,
        high=10**5,
    )
    trials: int | None = option(
        None,
        f"schedules to measure at most, of all programs together; {TRIALS_EACH} for each if left out. A program that "
        "gets none has two constructed beside these",
        low=0,
    )
    records_only: bool = option(
        False,
        "tune nothing: programs that are known from records are as they were found, of others a few schedules are "
        "constructed and the fastest taken",
    )
    shapes: Mapping[str, Sequence[int]] | None = option(
        None,
        "the shape of an input whose sizes an .onnx file leaves open, once for each; open sizes are 1 if left out",
        flag="",
    )
    sizes: Mapping[str, Sequence[int]] | None = option(
        None,
        "sizes that a file leaves open, by its names for them or as INPUT.AXIS, and for which of each the model is "
        "tuned: for all combinations, which share the budget. Others are computed untuned",
        flag="",
    )
    cast: str | None = option(
        None,
        "the type that operands of products of float32 are rounded to; sums and all else stay in float32. The error is "
        "that of the outputs, and is shown",
        choices=tuple(NARROW),
    )
    winograd: bool = option(
        True,
        "compute no convolution of float32 by Winograd's sums, taken where they are faster, which are less exact: off "
        "by about 1e-5 of the largest result",
        flag="--no-winograd",
    )
    layout: str | None = option(
        None,
        "the layout of convolutions; if left out the one in which the model promises to be fastest, by a few programs "
        "that are tuned in each",
        choices=("channels-last", "blocks", "as-imported"),
    )
    pool: str | Path | Sequence[str] | None = same_as(TuneOptions, "pool")
    seed: int = same_as(TuneOptions, "seed")
    threads: int | None = same_as(TuneOptions, "threads")
    run_dir: str | Path | None = same_as(
        TuneOptions,
        "run_dir",
        meaning="a directory for journal, receipts and recording: new, empty, or that of a run of this model that "
        "broke off, which goes on; none is kept if left out",
    )
    records: str | Path | None = same_as(TuneOptions, "records")
    use_records: bool = same_as(TuneOptions, "use_records")
    fresh: bool = same_as(TuneOptions, "fresh")
    exact_math: bool = same_as(TuneOptions, "exact_math")
    fleet: str | None = same_as(TuneOptions, "fleet")
    fleet_cpu: str | None = same_as(TuneOptions, "fleet_cpu")
    max_usd: Decimal | float | None = same_as(TuneOptions, "max_usd")
    max_calls: int | None = same_as(TuneOptions, "max_calls")
    max_tokens: int | None = same_as(TuneOptions, "max_tokens")
    on_event: Sequence[Emit] = same_as(TuneOptions, "on_event")

    def __post_init__(self) -> None:
        check_all(self)
        for name, shape in (self.shapes or {}).items():
            if not all(map(_is_size, shape)):
                raise InputError(f"shapes has {list(shape)} for {name}; sizes are integers of at least 1")
        given = self.sizes or {}
        for name, sizes in given.items():
            if not isinstance(sizes, list | tuple) or not sizes or not all(map(_is_size, sizes)):
                raise InputError(f"sizes has {sizes!r} for {name}; it takes a list of integers of at least 1")
            if len(set(sizes)) < len(sizes):
                raise InputError(f"sizes has {list(sizes)} for {name}, one of them twice")
        if (count := prod(map(len, given.values()))) > MOST_SIZES:
            raise InputError(f"sizes makes {count} combinations; {MOST_SIZES} are accepted at most")

    @property
    def bucket(self) -> list[dict[str, int]]:
        """The sizes that the model is tuned for, each a combination; empty if none are given."""
        return combinations(self.sizes or {})

    @property
    def products(self) -> str:
        """The type that operands of products are rounded to; empty if they stay as they are."""
        return "" if self.cast is None else NARROW[self.cast]

    @property
    def fewest_trials(self) -> int:
        """What is left of the trials when all are used up: a run of none compiles from records, if there may be any."""
        return 0 if self.use_records else min(1, self.trials or 0)

    def less(self, spent: UsedUp) -> CompileOptions:
        """The options with what is left of the budget."""
        usd, calls, tokens, trials = self.max_usd, self.max_calls, self.max_tokens, self.trials
        return replace(
            self,
            minutes=max(LEAST_MINUTES, self.minutes - spent.minutes),
            trials=None if trials is None else max(self.fewest_trials, trials - spent.trials),
            max_usd=None if usd is None else max(Decimal(0), Decimal(str(usd)) - spent.usd),
            max_calls=None if calls is None else max(0, calls - spent.calls),
            max_tokens=None if tokens is None else max(0, tokens - spent.tokens),
        )

    def tune_options(self, programs: int) -> TuneOptions:
        """The options of the run that tunes so many programs."""
        own: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("pool", "seed", "threads", "run_dir", "records", "use_records", "fresh", "exact_math")
        }
        own |= {name: getattr(self, name) for name in ("fleet", "fleet_cpu")}
        own |= {name: getattr(self, name) for name in ("max_usd", "max_calls", "max_tokens", "on_event")}
        most = TRIALS_EACH * max(1, programs) if self.trials is None else self.trials
        return TuneOptions(trials=0 if self.records_only else most, seconds=60 * self.minutes, **own)


def combinations(sizes: Mapping[str, Sequence[int]]) -> list[dict[str, int]]:
    """All combinations of sizes by name; none of no names."""
    return [dict(zip(sizes, one, strict=True)) for one in product(*sizes.values())] if sizes else []


def _is_size(size: object) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and 0 < size < 2**31
