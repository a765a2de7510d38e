"""Where the time of a schedule goes, block by block, and what bounds each: the estimate taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from colt.analysis.estimate import Cost, nest_costs, step_of, total
from colt.analysis.memory import memory_waits
from colt.analysis.nests import Nest
from colt.analysis.processor import Machine
from colt.analysis.skeleton import Skeleton
from colt.knobs import Value


class Bottleneck(StrEnum):
    """What a block waits for."""

    FMA = "FMA"
    CALLS = "library calls"
    LOADS = "loads"
    STORES = "stores"
    LATENCY = "FMA latency"
    L2 = "L2"
    L3 = "L3"
    DRAM = "DRAM"
    LAUNCH = "launch"


@dataclass(frozen=True, slots=True)
class BlockTime:
    """What one block adds to the latency in microseconds, and what bounds it; ``spilled`` accumulators of its register
    tile are not in registers."""

    block: str
    us: float
    bound: Bottleneck
    spilled: int = 0


@dataclass(frozen=True, slots=True)
class PartTime:
    """The share of the time that a part of a schedule was measured to take, by the names of its blocks."""

    blocks: tuple[str, ...]
    share: float


def corrected(
    times: Sequence[BlockTime], measured: Sequence[PartTime], predicted: Sequence[BlockTime]
) -> list[BlockTime]:
    """The times with what was measured of another schedule of the structure, of which these are ``predicted``: each
    block takes as many times longer or shorter as it did there. Blocks of one part keep their shares of it."""
    whole = sum(one.us for one in predicted)
    launches = sum(one.us for one in predicted if one.bound is Bottleneck.LAUNCH)
    factors: dict[str, float] = {}
    for part in measured:
        own = [one for one in predicted if one.bound is not Bottleneck.LAUNCH and one.block in part.blocks]
        us = sum(one.us for one in own)
        if us:
            factors |= dict.fromkeys((one.block for one in own), part.share * (whole - launches) / us)
    return [replace(one, us=one.us * factors.get(one.block, 1.0)) for one in times]


def block_times(skeleton: Skeleton, values: Sequence[Value], machine: Machine) -> list[BlockTime]:
    """The blocks in program order, and the starts of parallel loops as a block of their own, the last. Their times add
    up to the estimate."""
    found, launches = [], 0.0
    for costs in nest_costs(skeleton, values, machine):
        together = total(costs)
        waits_for_memory = together.memory_us > together.compute_us
        side = together.memory_us if waits_for_memory else together.compute_us
        for nest, own in costs:
            share = (own.memory_us if waits_for_memory else own.compute_us) / side if side else 0.0
            us = share * (together.total_us - together.launches_us)
            found.append(BlockTime(nest.block.name, us, *_bound(nest, own, machine, waits_for_memory)))
        launches += together.launches_us
    return [*found, *([BlockTime("", launches, Bottleneck.LAUNCH)] if launches else [])]


def _bound(nest: Nest, own: Cost, machine: Machine, waits_for_memory: bool) -> tuple[Bottleneck, int]:
    step = step_of(nest.own, machine)
    if not waits_for_memory or own.memory_us == 0.0:
        limits = {
            Bottleneck.FMA: step.arithmetic,
            Bottleneck.LOADS: step.loads,
            Bottleneck.STORES: step.stores,
            Bottleneck.LATENCY: step.latency,
        }
        bound = max(limits, key=lambda one: limits[one])
        by_calls = bound is Bottleneck.FMA and 2 * step.calls > step.arithmetic
        return Bottleneck.CALLS if by_calls else bound, round(step.spilled)
    waits = memory_waits(nest, machine)
    if waits.dram * nest.times / 1000.0 >= own.memory_us:
        return Bottleneck.DRAM, round(step.spilled)
    return (Bottleneck.L2 if waits.l2 > waits.l3 else Bottleneck.L3), round(step.spilled)
