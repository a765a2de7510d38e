"""Every constant of a run, declared once: default, range and meaning of each make the command-line options, the
config file, the documentation and the validation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from colt.errors import InputError


def option(
    default: float | int | str,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A dataclass field that carries its range (both ends included) or its choices, and a one-line meaning."""
    return field(default=default, metadata={"meaning": meaning, "low": low, "high": high, "choices": choices})


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """The search's constants (paper sections in brackets). Construct with :meth:`preset` or directly."""

    exploration: float = option(0.5, "c, the weight of exploration in the tree policy", low=0, high=100)
    size_weight: float = option(0.5, "lambda, how far the tree policy leans towards small models", low=0, high=1)
    branching: int = option(2, "children of a node before widening", low=1, high=64)
    widening_coefficient: float = option(
        1.0, "a node may have max(branching, coefficient * visits ^ exponent) children; 0 is off", low=0, high=100
    )
    widening_exponent: float = option(0.25, "the exponent of progressive widening", low=0, high=1)
    root_width: int = option(8, "openings: children of the untuned program", low=1, high=1000)
    deal: str = option(
        "pool", "who is asked next at the openings: dealt over the pool, or the largest", choices=("pool", "largest")
    )
    model_openings: int = option(
        0, "places at the root beside root_width, for which language models are asked in one call", low=0, high=64
    )
    alteration_period: int = option(
        2, "K: the largest model takes over at every K-th regression in a row; 0 is off", low=0, high=1000
    )
    dead_end_limit: int = option(5, "failed expansions after which a node closes", low=1, high=1000)
    fallback_tries: int = option(
        4, "random transformations tried in place of an unusable one before the expansion fails", low=1, high=100
    )
    rollouts: int = option(2, "random legal edits whose mean predicted value makes a new node's value", low=0, high=64)
    iterations_per_trial: int = option(2, "iterations of the search for every trial", low=1, high=1000)
    batch_size: int = option(8, "trials measured before the tree is revalued", low=1, high=1024)
    epsilon: float = option(0.05, "share of trials picked at random instead of by the scorer", low=0, high=1)
    equal_promise: float = option(
        0.05, "of schedules predicted within this share the one that builds fastest is measured first", low=0, high=10
    )
    commit_order: str = option(
        "ticket",
        "whether answers of models in flight take effect as they arrive, or in the order of their tickets",
        choices=("arrival", "ticket"),
    )
    value: str = option(
        "log", "how a latency becomes a value: 1/(1+ln(lat/best)) or best/lat", choices=("log", "ratio")
    )
    proposals_per_call: int = option(
        1, "alternative transformations asked of one call; 0 is as many as its price suggests", low=0, high=64
    )
    calls_in_flight: int = option(16, "calls of language models that may be under way at once", low=1, high=256)
    cost_model: str = option(
        "auto", "whether a learned cost model may take over once it has proved itself", choices=("auto", "off")
    )
    cost_model_warmup: int = option(64, "measured schedules before the cost model is first tried", low=8, high=100000)
    cost_model_min_rank: float = option(0.5, "held-out rank correlation that it must exceed", low=-1, high=1)

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            _check(spec, getattr(self, spec.name))

    @classmethod
    def preset(cls, name: str = "default", **changes: Any) -> SearchConfig:
        """The named preset with ``changes``. Raises :class:`InputError` for unknown names and values out of range."""
        if name not in PRESETS:
            raise InputError(f"unknown preset {name!r}; there are {', '.join(PRESETS)}")
        return cls.from_mapping({**PRESETS[name], **changes})

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> SearchConfig:
        """From names and values, as read from a config file."""
        known = {spec.name for spec in dataclasses.fields(cls)}
        for name in values:
            if name not in known:
                raise InputError(f"unknown search option {name!r}; there are {', '.join(sorted(known))}")
        return cls(**values)

    def to_mapping(self) -> dict[str, Any]:
        """Names and values, for a config file or a receipt."""
        return dataclasses.asdict(self)


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # For pools with language models: a call is slow and its prompt is paid once, so that it is asked for several
    # alternatives, for which nodes have places; and nobody waits for an earlier one.
    "models": {"branching": 4, "proposals_per_call": 0, "model_openings": 6, "commit_order": "arrival"},
    # As in the paper and its released code: one proposal a call, the raw ratio as value, no widening.
    "paper": {
        "exploration": math.sqrt(2),
        "widening_coefficient": 0.0,
        "deal": "largest",
        "value": "ratio",
        "iterations_per_trial": 1,
        "proposals_per_call": 1,
        "rollouts": 1,
        "equal_promise": 0.0,
    },
}


class SpaceKind(StrEnum):
    """Which design space is searched."""

    COLT = "colt"  # COLT's own sketches and MetaSchedule's
    METASCHEDULE = "metaschedule"  # MetaSchedule's sketches alone


@dataclass(frozen=True, slots=True)
class Budget:
    """When a run stops: after ``trials`` distinct schedules, or sooner: after ``seconds`` of wall time, or when the
    best schedule reaches ``until_roofline``, a share of the roofline."""

    trials: int
    seconds: float | None = None
    until_roofline: float | None = None

    def __post_init__(self) -> None:
        if type(self.trials) is not int or self.trials < 1:
            raise InputError(f"trials is {self.trials!r}; it takes an integer of at least 1")
        if self.seconds is not None and not (_is_number(self.seconds) and 0 < self.seconds < math.inf):
            raise InputError(f"seconds is {self.seconds!r}; it takes a number above 0")
        share = self.until_roofline
        if share is not None and not (_is_number(share) and 0 < share <= 1):
            raise InputError(f"until_roofline is {share!r}; it takes a number above 0 and up to 1")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check(spec: dataclasses.Field[Any], value: object) -> None:
    """Raise :class:`InputError` unless ``value`` has the type and range that the field declares."""
    low, high, choices = spec.metadata["low"], spec.metadata["high"], spec.metadata["choices"]
    if choices:
        if value not in choices:
            raise InputError(f"{spec.name} is {value!r}; it takes one of {', '.join(choices)}")
        return
    whole = isinstance(spec.default, int)
    wanted = f"{'an integer' if whole else 'a number'} from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise InputError(f"{spec.name} is {value!r}; it takes {wanted}")
    if not low <= value <= high:
        raise InputError(f"{spec.name} is {value!r}; it takes {wanted}")
