"""What a run would cost, before anything is asked or measured: ``colt tune --dry-run``.

The prompts are real: those of the opening call and of the first nodes. The length of answers, their share of the trials
and the share of a prompt that providers serve from their caches are assumed.
"""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from colt.errors import InputError
from colt.machine import detect, load_peaks
from colt.plan import DECLARED, Plan
from colt.proposers.language.alternatives import TYPICAL_PROPOSAL
from colt.proposers.language.model import LanguageModel
from colt.proposers.language.money import Usage, dollars
from colt.proposers.language.prompt import member_in_words, stable_text
from colt.proposers.members import ModelMember
from colt.proposers.openings import openings
from colt.search.search import Search
from colt.tvm.briefing import brief
from colt.tvm.cost.scorer import AnalyticalScorer, machine_of
from colt.tvm.programs.suited import suited
from colt.tvm.space.space import TvmSpace

if TYPE_CHECKING:
    from rich.console import RenderableType

CHARACTERS_PER_TOKEN = 2.8
"""Prompts are half numbers and brackets, which make short tokens."""
CACHED = 0.5
"""The share of the stable text that a provider with a price for cached input serves from its cache."""
SHARE = 0.5
"""The share of trials that language models propose; it is larger in runs that they answer quickly."""
USED = 0.6
"""The share of alternatives that become trials; others are known already, unusable, or left over at the end."""
LOOKED_AT = 4
"""How many tickets prompts are made for."""


class ModelForecast(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a model in dollars: what it probably costs, and what is set aside for it; ``None`` without prices."""

    typical_usd: float | None
    worst_usd: float | None


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """About how many calls a run makes, of how many tokens each, and what they cost.

    ``usd`` assumes calls dealt evenly over the models, ``usd_if_dearest`` that the dearest model gets all; both are
    ``None`` if a price is not known. ``within`` says what the ceilings leave of the calls.
    """

    trials: int
    calls: int
    alternatives: int
    input: int
    stable_input: int
    output: int
    models: dict[str, ModelForecast]
    usd: float | None
    usd_if_dearest: float | None
    within: tuple[str, ...]


def forecast(plan: Plan) -> Forecast:
    """Estimate. Raises :class:`InputError` for a pool without language models."""
    if not plan.pool.models:
        raise InputError("a dry run estimates what language models cost; this pool has built-in experts alone")
    stable, nodes = _prompts(plan)
    tokens = [math.ceil(len(text) / CHARACTERS_PER_TOKEN) for text in (stable, *nodes)]
    alternatives = plan.config.proposals_per_call
    per_call = Usage(tokens[0] + round(statistics.mean(tokens[1:])), alternatives * TYPICAL_PROPOSAL)
    calls = math.ceil(SHARE * plan.budget.trials / (USED * alternatives))
    cached = round(CACHED * tokens[0])
    models = {one.name: _one_call(one, per_call, cached, stable + max(nodes, key=len)) for one in plan.pool.models}
    known = [one.typical_usd for one in models.values() if one.typical_usd is not None]
    complete = len(known) == len(models)
    return Forecast(
        trials=plan.budget.trials,
        calls=calls,
        alternatives=alternatives,
        input=per_call.input,
        stable_input=tokens[0],
        output=per_call.output,
        models=models,
        usd=calls * statistics.mean(known) if complete else None,
        usd_if_dearest=calls * max(known) if complete else None,
        within=tuple(_within(plan, models, calls, per_call)),
    )


def _prompts(plan: Plan) -> tuple[str, list[str]]:
    """The stable text, and what each of the first calls would add to it."""
    program = suited(plan.program, plan.target)
    space = TvmSpace.generated(program.module, plan.target, plan.space, vector_math=not plan.exact_math)
    found = detect()
    hardware = dataclasses.replace(found, peaks=load_peaks(found, plan.threads) or found.peaks)
    scorer = AnalyticalScorer(space, machine_of(hardware, plan.threads))
    search = Search(space, scorer, plan.pool.specs, plan.config, seed=plan.seed, trials_total=plan.budget.trials)
    search.open(openings(space, [], plan.config, random.Random(plan.seed)))
    briefing = brief(space, program, hardware, plan.threads, vector_math=not plan.exact_math)
    pool = [member_in_words(member) for member in plan.pool.members]
    moves = plan.options.moves != "none"
    text = stable_text(briefing, pool, moves)
    model = LanguageModel(plan.pool.models[0].spec, pool, text, briefing, space, moves=moves)
    tickets = [ticket for _ in range(LOOKED_AT) if (ticket := search.select()) is not None]
    requests = [model.request(search.observe_in_full(ticket)) for ticket in tickets]
    if not requests:
        raise InputError(f"no schedule of {plan.program.name} could be made; there is nothing to ask models for")
    return requests[0].system, [request.user for request in requests]


def _one_call(member: ModelMember, usage: Usage, cached: int, prompt: str) -> ModelForecast:
    prices = member.prices
    if prices is None:
        return ModelForecast(typical_usd=None, worst_usd=None)
    has_cache = prices.cached_input is not None
    typical = prices.cost(dataclasses.replace(usage, cached=cached if has_cache else 0))
    worst = prices.worst_cost(Usage(len(prompt.encode()), member.max_output_tokens))
    return ModelForecast(typical_usd=float(dollars(typical)), worst_usd=float(dollars(worst)))


def _within(plan: Plan, models: dict[str, ModelForecast], calls: int, usage: Usage) -> list[str]:
    ceilings = plan.ceilings
    lines = []
    if ceilings.usd is not None:
        for name, one in models.items():
            if one.worst_usd is not None and Decimal(str(one.worst_usd)) > ceilings.usd:
                lines.append(f"{name} cannot be called at all: ${one.worst_usd:.4f} is set aside for a call")
    if ceilings.calls is not None and ceilings.calls < calls:
        lines.append(f"{DECLARED['max_calls'].flag} allows {ceilings.calls} of about {calls} calls")
    if ceilings.tokens is not None and ceilings.tokens < calls * usage.total:
        allowed = ceilings.tokens // usage.total
        lines.append(f"{DECLARED['max_tokens'].flag} allows about {allowed} of about {calls} calls")
    return lines


def to_json(found: Forecast) -> str:
    """Indented JSON."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def forecast_table(found: Forecast) -> RenderableType:
    """A table for people."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in ("model", "a call costs about", "set aside for it"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for name, one in found.models.items():
        table.add_row(name, _usd(one.typical_usd), _usd(one.worst_usd))
    lines = [
        f"about {found.calls} calls for {found.trials} trials, {found.alternatives} alternatives each;",
        f"a call: about {found.input:,} tokens in, of which {found.stable_input:,} are the same in every call, and "
        f"{found.output:,} out (more where a model reasons)",
        f"about {_usd(found.usd)} in all if calls are dealt evenly, {_usd(found.usd_if_dearest)} if all were the "
        "dearest model's",
        *found.within,
    ]
    return Group(table, Text("\n".join(lines)))


def _usd(amount: float | None) -> str:
    return "not known" if amount is None else f"${amount:.5f}"
