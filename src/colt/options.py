"""Every option of COLT, declared once: those of a run (:class:`TuneOptions`) and of its search (:class:`SearchConfig`).

From a declaration follow the signature of :func:`colt.tune`, ``colt tune``, the checks, a run's config file and its
replay, and ``docs/options.md``. See :mod:`colt.util.declared`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from colt.errors import InputError
from colt.events import Emit
from colt.util.declared import check_all, option, options_of
from colt.util.text import did_you_mean

MODELS = "language models, for pools that have any"
"""The group of options that a pool of built-in experts has no use for."""


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """The settings of the search."""

    exploration: float = option(0.5, "c, the weight of exploration in the tree policy", low=0, high=100)
    size_weight: float = option(0.5, "lambda, how strongly the tree policy prefers small members", low=0, high=1)
    branching: int = option(2, "children of a node before widening", low=1, high=64)
    widening_coefficient: float = option(
        1.0,
        "a node may have max(branching, coefficient * visits ^ exponent) children; 0 turns widening off",
        low=0,
        high=100,
    )
    widening_exponent: float = option(0.25, "the exponent of progressive widening", low=0, high=1)
    root_width: int = option(8, "children of the untuned program, the openings", low=1, high=1000)
    near_sketches: float = option(
        1.25,
        "a sketch whose best candidate is predicted within this factor of the best of all has an opening; 1: need not",
        low=1,
        high=100,
    )
    constructed: int = option(12, "schedules that the architect constructs as possible openings", low=0, high=1000)
    sampled: int = option(48, "random schedules drawn as possible openings", low=0, high=1000)
    deal: str = option(
        "pool",
        "who is asked next at the openings: all members of the pool in turn, or the largest",
        choices=("pool", "largest"),
    )
    model_openings: int = option(
        0, "further children of the untuned program, for which language models are asked in one call", low=0, high=64
    )
    alteration_period: int = option(
        2, "K: the largest member takes over at every K-th regression in a row; 0 turns that off", low=0, high=1000
    )
    dead_end_limit: int = option(5, "failed expansions after which a node closes", low=1, high=1000)
    fallback_tries: int = option(
        4, "random transformations tried after an unusable one before the expansion fails", low=1, high=100
    )
    rollouts: int = option(
        2, "random legal edits whose mean predicted value becomes the value of a new node", low=0, high=64
    )
    iterations_per_trial: int = option(2, "iterations of the search per trial", low=1, high=1000)
    batch_size: int = option(8, "trials measured before the tree is revalued", low=1, high=1024)
    batch_growth: str = option(
        "auto",
        "whether batches of the usual size grow with the hosts of a fleet or with boards; off if batch_size is named",
        choices=("auto", "off"),
    )
    epsilon: float = option(0.05, "share of trials picked at random instead of by the scorer", low=0, high=1)
    equal_promise: float = option(
        0.05,
        "among schedules predicted within this share of the best, the one that builds fastest is measured first",
        low=0,
        high=10,
    )
    commit_order: str = option(
        "ticket",
        "when answers of language models take effect: on arrival, or in the order of their tickets",
        choices=("arrival", "ticket"),
    )
    structure_after: int = option(
        0,
        "trials of one structure without a gain after which language models are asked to change it; before, built-in "
        "experts tune its knobs, and models are credited with what others reach in structures that they brought; 0 "
        "turns all of this off",
        low=0,
        high=100000,
    )
    value: str = option(
        "log", "how a latency becomes a value: 1/(1+ln(lat/best)) or best/lat", choices=("log", "ratio")
    )
    proposals_per_call: int = option(
        1,
        "alternative transformations that one call asks for; 0 derives the number from the models' prices",
        low=0,
        high=64,
    )
    calls_in_flight: int = option(16, "calls of language models that may be in flight at once", low=1, high=256)
    cost_model: str = option(
        "auto", "whether a learned cost model takes over once it has proved itself", choices=("auto", "off")
    )
    cost_model_warmup: int = option(64, "schedules measured before the cost model is first tried", low=8, high=100000)
    cost_model_min_rank: float = option(
        0.5, "rank correlation on held-out schedules that the cost model must exceed", low=-1, high=1
    )

    def __post_init__(self) -> None:
        check_all(self)

    @classmethod
    def preset(cls, name: str = "default", **changes: Any) -> SearchConfig:
        """The named preset with ``changes``. Raises :class:`InputError` for unknown names and values out of range."""
        if name not in PRESETS:
            raise InputError(f"unknown preset {name!r}; {did_you_mean(name, list(PRESETS))}")
        return cls.from_mapping({**PRESETS[name], **as_said(changes)})

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> SearchConfig:
        """From names and values, as a config file holds them. Raises :class:`InputError`."""
        known = list(options_of(cls))
        for name in values:
            if name not in known:
                raise InputError(f"unknown search option {name!r}; {did_you_mean(str(name), known)}")
        return cls(**values)

    def to_mapping(self) -> dict[str, Any]:
        """Names and values, for a config file or a receipt."""
        return dataclasses.asdict(self)


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # For pools with language models. A call is slow and its prompt is paid once, so it asks for several alternatives,
    # and nodes have room for them. Answers take effect on arrival, so none waits for an earlier one.
    # Models find structures, experts tune them.
    "models": {
        "branching": 4,
        "proposals_per_call": 0,
        "model_openings": 6,
        "commit_order": "arrival",
        "structure_after": 8,
    },
    # As in the paper and its released code: one proposal per call, the raw ratio as value, no widening.
    "paper": {
        "exploration": math.sqrt(2),
        "widening_coefficient": 0.0,
        "deal": "largest",
        "value": "ratio",
        "iterations_per_trial": 1,
        "proposals_per_call": 1,
        "rollouts": 1,
        "equal_promise": 0.0,
        "near_sketches": 1.0,
    },
}

UNNAMED = {"near_sketches": 1.0, "batch_growth": "auto"}
"""What options mean in the plans of runs that do not name them, since they are older than the options."""


def as_said(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes to a preset, with what follows from naming them: a size of batches that was said is kept to."""
    return {**({"batch_growth": "off"} if "batch_size" in changes else {}), **changes}


class SpaceKind(StrEnum):
    """Which design space is searched."""

    COLT = "colt"  # COLT's own sketches and MetaSchedule's
    METASCHEDULE = "metaschedule"  # MetaSchedule's sketches alone


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneOptions:
    """The options of :func:`colt.tune`, as the user gives them."""

    size: str | None = option(None, "the size of a workload: small (the default) or paper")
    target: Any = option(
        None,
        'a TVM target as JSON or tag, such as {"kind":"llvm","mcpu":"znver4"}; this machine\'s cpu if left out, any '
        "architecture for a board",
    )
    pool: str | Path | Sequence[str] | None = option(
        None,
        "names of built-in experts (scout,tuner,architect if left out), or a FILE.toml with language models "
        "(docs/pool.md)",
        stored=False,
    )
    trials: int = option(64, "distinct schedules to measure; 0 compiles from records alone", low=0)
    seconds: float | None = option(None, "stop measuring after so many seconds of wall time", above=0)
    until_roofline: float | None = option(
        None,
        "stop measuring once the best schedule reaches this share of the roofline, such as 0.95; for programs over "
        "float32 whose number of operations is known",
        above=0,
        high=1,
        metavar="SHARE",
    )
    seed: int = option(0, "seeds everything random", low=0, high=2**31 - 1)
    threads: int | None = option(
        None,
        "threads for kernels; all cores of this machine, or the num-cores of a board's target, if left out",
        low=1,
        high=1024,
        takes="an integer from 1 to 1024, on this machine up to its cores",
    )
    config: SearchConfig | Mapping[str, Any] | None = option(
        None,
        "settings of the search: a SearchConfig, or changes to the preset for the pool, by name",
        flag="",
        stored=False,
    )
    run_dir: str | Path | None = option(
        None,
        "a directory, new or empty, for journal, database, receipt and kernel; if left out, colt.tune() writes nothing "
        "and colt tune takes runs/NAME-N",
        flag="--run",
        metavar="DIR",
        stored=False,
    )
    inputs: Any = option(
        None,
        "what the program is called with: an .npz file, arrays or (low, high) ranges by name, or a function of a "
        "numpy.random.Generator that returns these; what is not given is drawn at random, from where the program needs "
        "it; colt_inputs in the program's file if left out",
        metavar="FILE.npz",
        stored=False,
    )
    constants: Any = option(
        None,
        "names of arguments that are the same in every call, such as weights (W,S): what a schedule computes from them "
        "alone, such as a copy in another layout, is computed ahead and not timed; those of the program's attribute "
        "colt.constants if left out",
        metavar="NAMES",
        stored=False,
    )
    records: str | Path | None = option(
        None,
        "the file of records, to begin from and to add to (docs/records.md); if left out, $COLT_RECORDS, or else "
        "~/.local/share/colt/records.db",
        metavar="PATH",
    )
    use_records: bool = option(True, "neither begin from records nor add to them", flag="--no-records", stored=False)
    fresh: bool = option(False, "do not begin from records; what is found is still added")
    begin_from: str | Path | None = option(
        None,
        "begin from this too: a run directory, another file of records, records as JSON lines, or the folder of a "
        "MetaSchedule JSONDatabase",
        flag="--from",
        metavar="RUN_OR_DATABASE",
    )
    exact_math: bool = option(
        False, "leave exp, tanh, erf and the like to the C library, instead of computing them in vectors to a few ulp"
    )
    moves: str = option(
        "models",
        "who may change the structure of schedules by moves: language models, all members of the pool, or none",
        choices=("models", "all", "none"),
    )
    rpc: str | None = option(
        None, "run kernels on a board of this TVM RPC tracker; needs a key", takes="HOST:PORT", metavar="HOST:PORT"
    )
    key: str | None = option(None, "the key of the board")
    boards: int = option(1, "boards of that key to use at the same time", low=1, high=256)
    fleet: str | None = option(
        None,
        "measure on the hosts of a Ray cluster (docs/fleet.md): alone, that of RAY_ADDRESS or the one that runs here; "
        "local starts one on this machine",
        takes="HOST:PORT, ray://HOST:PORT, auto or local",
        metavar="ADDRESS",
        alone="auto",
    )
    fleet_cpu: str | None = option(
        None,
        "the hosts of a fleet whose cpu's model has this in its name; if left out, those of the model that most have",
        metavar="MODEL",
    )
    max_usd: Decimal | float | None = option(
        None, "dollars to spend at most", low=0, high=10**6, example="0.05", metavar="X", group=MODELS
    )
    max_calls: int | None = option(None, "requests to make at most; a retry is one", low=0, metavar="N", group=MODELS)
    max_tokens: int | None = option(
        None, "tokens to use at most, in and out together", low=0, metavar="N", group=MODELS
    )
    max_seconds: float | None = option(
        None, "seconds after which no request begins, and those in flight end", above=0, metavar="S", group=MODELS
    )
    strict_pool: bool = option(
        False, "stop when no model can be asked, instead of going on with the built-in experts", group=MODELS
    )
    keep_paying: bool = option(
        False, "ask models to the end, even if their proposals are no better than those that cost nothing", group=MODELS
    )
    on_event: Sequence[Emit] = option((), "functions called with every event of colt.events", flag="", stored=False)

    def __post_init__(self) -> None:
        check_all(self)


BUDGET = ("trials", "seconds", "until_roofline", "max_usd", "max_calls", "max_tokens", "max_seconds")
"""The options of :class:`TuneOptions` that a run may be given anew when it is resumed."""


@dataclass(frozen=True, slots=True)
class Budget:
    """When a run stops: after ``trials`` distinct schedules, or sooner: after ``seconds`` of wall time, or when the
    best schedule reaches ``until_roofline``, a share of the roofline."""

    trials: int
    seconds: float | None = None
    until_roofline: float | None = None

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            options_of(TuneOptions)[spec.name].check(getattr(self, spec.name))
