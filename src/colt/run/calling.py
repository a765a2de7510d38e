"""What a run asks of its pool: which members, under which ceilings, and settings that follow from what a call costs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Self

from colt.errors import InputError
from colt.options import SearchConfig
from colt.proposers.language.money import Ceilings
from colt.proposers.language.prompt import MemberInWords
from colt.proposers.poolfile import ExpertMember, ModelMember, PoolSpec, load_pool

POOL_FILE = ".toml"
TYPICAL_PROMPT = 1600
"""Input tokens of a call."""
TYPICAL_PROPOSAL = 90
"""Output tokens of one alternative."""
FEWEST, MOST = 3, 6
"""Alternatives that one call is asked for: fewer are hardly worth the wait, more are hardly different any more."""


@dataclass(frozen=True, slots=True)
class Calling:
    """Under which conditions language models are asked."""

    ceilings: Ceilings = field(default_factory=Ceilings)
    strict_pool: bool = False
    """Whether the run stops when no model can be asked, instead of going on with the built-in experts alone."""
    keep_paying: bool = False
    """Whether models are asked even if their proposals are no better than those that cost nothing."""

    @classmethod
    def checked(
        cls,
        pool: PoolSpec,
        max_usd: Decimal | float | None,
        max_calls: int | None,
        max_tokens: int | None,
        max_seconds: float | None,
        strict_pool: bool,
        keep_paying: bool,
    ) -> Self:
        """As the user states it. Raises :class:`InputError`, also where there is no model that it is meant for."""
        for name, flag in (("strict_pool", strict_pool), ("keep_paying", keep_paying)):
            if type(flag) is not bool:
                raise InputError(f"{name} is {flag!r}; it takes True or False")
        given = {
            "max_usd": max_usd is not None,
            "max_calls": max_calls is not None,
            "max_tokens": max_tokens is not None,
            "max_seconds": max_seconds is not None,
            "strict_pool": strict_pool,
            "keep_paying": keep_paying,
        }
        if not pool.models and any(given.values()):
            named = ", ".join(name for name, is_given in given.items() if is_given)
            raise InputError(f"{named}: only for pools with language models; this one has built-in experts alone")
        ceilings = Ceilings(_dollars(max_usd), max_calls, max_tokens, max_seconds)
        if ceilings.usd is not None:
            unpriced = [member for member in pool.models if member.prices is None]
            if unpriced:
                raise InputError(
                    f"max_usd is {max_usd}, but the price of {unpriced[0].name} is not known "
                    f"({unpriced[0].prices_from}); state prices in the pool file"
                )
        return cls(ceilings, strict_pool, keep_paying)

    def to_mapping(self) -> dict[str, object]:
        """What is not left at its default, for the run directory's ``config.toml``."""
        ceilings = self.ceilings
        stated: Mapping[str, object] = {
            "max_usd": ceilings.usd,
            "max_calls": ceilings.calls,
            "max_tokens": ceilings.tokens,
            "max_seconds": ceilings.seconds,
            "strict_pool": self.strict_pool or None,
            "keep_paying": self.keep_paying or None,
        }
        return {name: value for name, value in stated.items() if value is not None}


def names_a_file(pool: object) -> bool:
    """Whether that text is the path of a pool file, and no names of experts."""
    return isinstance(pool, str) and pool.endswith(POOL_FILE)


def read_pool(pool: str | Path | Sequence[str]) -> PoolSpec:
    """A pool file (a path that ends in ``.toml``), or the names of built-in experts. Raises :class:`InputError`."""
    if isinstance(pool, Path) or names_a_file(pool):
        read = load_pool(Path(str(pool)))
        if read.models:
            from colt.proposers.language import client  # noqa: F401  its package is an extra: say so before anything is started
        return read
    return PoolSpec.built_in((pool,) if isinstance(pool, str) else tuple(pool))


def resolved_config(config: SearchConfig | None, pool: PoolSpec) -> SearchConfig:
    """The settings of the search, with those filled in that follow from the pool."""
    config = config or SearchConfig.preset("models" if pool.models else "default")
    if config.proposals_per_call:
        return config
    return replace(config, proposals_per_call=alternatives_per_call(pool.models) if pool.models else 1)


def calls_at_once(config: SearchConfig, models: Sequence[ModelMember]) -> int:
    """How many calls may be under way: no more than wanted, nor than all endpoints together take."""
    return min(config.calls_in_flight, sum(member.concurrency for member in models))


def alternatives_per_call(models: Sequence[ModelMember]) -> int:
    """How many alternatives a call is asked for: so many that they cost about as much as the prompt that they share.

    With fewer the prompt is most of what is paid, with more each one costs no less, and is made knowing less. Without
    known prices time counts, of which reading a token takes far less than writing one.
    """
    ratios = [
        float(member.prices.input / member.prices.output)
        for member in models
        if member.prices is not None and member.prices.input and member.prices.output
    ]
    if not ratios:
        return FEWEST
    typical = statistics.geometric_mean(ratios) * TYPICAL_PROMPT / TYPICAL_PROPOSAL
    return max(FEWEST, min(MOST, round(typical)))


def _dollars(given: Decimal | float | None) -> Decimal | None:
    if given is None:
        return None
    try:
        return Decimal(str(given))
    except InvalidOperation:
        raise InputError(f"max_usd is {given!r}; it takes a number of dollars, such as 0.05") from None


def member_in_words(member: ModelMember | ExpertMember) -> MemberInWords:
    """A member as prompts tell it; built-in experts are free."""
    if isinstance(member, ExpertMember):
        return MemberInWords(member.spec, 0.0, 0.0, builtin=True)
    prices = member.prices
    if prices is None:
        return MemberInWords(member.spec)
    return MemberInWords(member.spec, float(prices.input), float(prices.output))
