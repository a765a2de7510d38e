"""The report of a benchmark in Markdown. A pure function of the records."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from colt.bench.config import NO_PEERS, OWN_SPACE, Peer, StrategyName
from colt.bench.figures import Results, Side, WorkloadResults, best_after, geometric_mean, speedup, trials_to
from colt.bench.records import CellRecord
from colt.machine import Hardware
from colt.options import SpaceKind
from colt.util.stats import Estimate
from colt.views.describe import hardware_rows

NOTHING = "–"
LABELS: dict[Side, str] = {
    StrategyName.STOCK: "stock",
    StrategyName.RANDOM: "random",
    StrategyName.MCTS: "mcts",
    StrategyName.ARCHITECT: "architect",
    StrategyName.COLT: "colt",
    Peer.NUMPY: "numpy",
    Peer.TORCH: "PyTorch eager",
    Peer.SDPA: "SDPA",
    Peer.TORCH_COMPILE: "torch.compile",
    Peer.ONNX_RUNTIME: "ONNX Runtime",
}
MEANINGS: dict[StrategyName, str] = {
    StrategyName.STOCK: "MetaSchedule's evolutionary search",
    StrategyName.RANDOM: "random schedules",
    StrategyName.MCTS: "the tree with random edits alone",
    StrategyName.ARCHITECT: "the best that the architect constructs, without a tree",
    StrategyName.COLT: "the tree with the built-in pool",
}
OWNERS = {SpaceKind.COLT: "COLT", SpaceKind.METASCHEDULE: "MetaSchedule"}
SHARES = (0.5, 0.9, 0.95)
"""Shares of the best speed that any trial of a workload had."""
FIRST = 8
"""The trials that show how well a strategy begins."""


def markdown(results: Results, hardware: Hardware, conditions: Mapping[str, str]) -> str:
    """The whole report."""
    sections = (_head, _speeds, _ratios, _best_peers, _sample_efficiency, _first_trials, _seconds, _problems)
    parts = [list(section(results)) for section in sections]
    parts.append(list(_machine(results, hardware, conditions)))
    return "\n".join(line for part in parts if part for line in (*part, ""))


# ---- sections ----


def _head(results: Results) -> Iterator[str]:
    config = results.config
    yield "# Benchmark of search methods"
    yield ""
    yield (
        f"{config.trials} trials, {config.seeds} {'seed' if config.seeds == 1 else 'seeds'}, size `{config.size}`, "
        f"{config.threads} threads. Builds, timings and the verifying of leaders are the same for all strategies."
    )
    yield ""
    for strategy in config.strategies:
        yield f"- **{strategy}**: {MEANINGS[strategy]}, in {_space(results, strategy)}"
    yield from _warm_start(results)


def _space(results: Results, strategy: StrategyName) -> str:
    shared = "" if results.config.space == OWN_SPACE else ", like all"
    return f"{OWNERS[results.config.space_of(strategy)]}'s space{shared}"


def _warm_start(results: Results) -> Iterator[str]:
    count = results.config.warm_start
    if not count:
        return
    yield ""
    yield (
        f"All begin with the first {count} schedules that the architect constructs in the strategy's space. "
        "`random` and `architect` measure them first. `mcts` and `colt` take them as the tree's openings and measure "
        "them when the search asks for them. `stock` cannot begin with given schedules: it has their measurements, "
        "which count as trials, in its database and draws part of its first population from there."
    )


def _speeds(results: Results) -> Iterator[str]:
    yield "## GFLOPS"
    yield ""
    yield "Winners and peers, timed in turn: the median over seeds, and the slowest and fastest seed."
    yield ""
    sides: list[Side] = [*results.config.strategies, *results.config.peers]
    yield from _table(
        ("workload", *(LABELS[side] for side in sides)),
        ((workload.name, *(_speed(workload, side, results) for side in sides)) for workload in results.workloads),
    )


def _speed(workload: WorkloadResults, side: Side, results: Results) -> str:
    medians = [statistics.median(one.latencies_us) for one in workload.contenders(side)]
    if not medians:
        return NOTHING
    text = _short(workload.gflops(statistics.median(medians)))
    if len(medians) > 1:
        text += f" ({_short(workload.gflops(max(medians)))}–{_short(workload.gflops(min(medians)))})"
    if isinstance(side, StrategyName) and len(medians) < results.config.seeds:
        text += f", {len(medians)} of {results.config.seeds} seeds"
    return text


def _ratios(results: Results) -> Iterator[str]:
    subject = results.subject
    sides: list[Side] = [*results.config.strategies, *results.config.peers]
    others = [side for side in sides if side is not subject]
    yield f"## How many times faster {subject} is"
    yield ""
    yield (
        "The median of the rounds' ratios, with its 95 % interval, which holds for this re-measurement, not for other "
        "seeds. Italics: the interval includes 1."
    )
    yield ""
    found = {other: [_against(workload, subject, other) for workload in results.workloads] for other in others}
    yield from _table(
        ("workload", *(LABELS[other] for other in others)),
        (
            *(
                (workload.name, *(_ratio(found[other][number]) for other in others))
                for number, workload in enumerate(results.workloads)
            ),
            ("**geometric mean**", *(_mean(found[other]) for other in others)),
            ("slower on", *(_slower(found[other]) for other in others)),
        ),
    )


def _best_peers(results: Results) -> Iterator[str]:
    subject, peers = results.subject, results.config.peers
    if not peers:
        return
    yield f"## {subject} against the best peer of each workload"
    yield ""
    rows, ratios = [], []
    for workload in results.workloads:
        best = workload.best_peer(peers)
        ratio = _against(workload, subject, best) if best is not None else None
        ratios.append(ratio)
        rows.append((workload.name, LABELS[best] if best is not None else NOTHING, _ratio(ratio)))
    yield from _table(
        ("workload", "best peer", f"{subject} is faster by"),
        (*rows, ("**geometric mean**", "", _mean(ratios)), ("slower on", "", _slower(ratios))),
    )


def _sample_efficiency(results: Results) -> Iterator[str]:
    shares = " / ".join(f"{share:.0%}" for share in SHARES)
    yield f"## Trials to reach {shares} of the best speed"
    yield ""
    yield (
        "The best speed is that of the fastest trial of any strategy on that workload, by the searches' own timings. "
        f"The median over seeds; {NOTHING}: not reached."
    )
    yield ""
    yield from _by_strategy(results, _trials_needed)


def _trials_needed(workload: WorkloadResults, cells: Sequence[CellRecord]) -> str:
    goals = [workload.goal_us / share for share in SHARES]
    return " / ".join(_count(statistics.median_high(trials_to(cell, goal) for cell in cells)) for goal in goals)


def _first_trials(results: Results) -> Iterator[str]:
    if results.config.trials <= FIRST:
        return
    yield f"## Share of the best speed after {FIRST} trials"
    yield ""
    yield "And after all trials; the best speed is as above. The median over seeds."
    yield ""
    yield from _by_strategy(results, _reached)


def _reached(workload: WorkloadResults, cells: Sequence[CellRecord]) -> str:
    return ", ".join(
        f"{statistics.median(workload.goal_us / best_after(cell, trials) for cell in cells):.0%}"
        for trials in (FIRST, max(len(cell.trials) for cell in cells))
    )


def _seconds(results: Results) -> Iterator[str]:
    yield "## Seconds of a search"
    yield ""
    yield "From the start of its process to its end (to its last trial). The median over seeds."
    yield ""
    yield from _by_strategy(results, _wall)


def _wall(workload: WorkloadResults, cells: Sequence[CellRecord]) -> str:
    wall = statistics.median(cell.wall_seconds for cell in cells)
    return f"{wall:.0f} ({statistics.median(cell.search_seconds for cell in cells):.0f})"


def _problems(results: Results) -> Iterator[str]:
    found = list(_found_problems(results))
    if found:
        yield "## What went wrong"
        yield ""
        yield from (f"- {problem}" for problem in found)


def _found_problems(results: Results) -> Iterator[str]:
    config = results.config
    for workload in results.workloads:
        for cell in workload.cells:
            if not cell.ok:
                yield f"{workload.name}, {cell.strategy} seed {cell.seed}: {cell.failure}"
            elif len(cell.trials) < config.trials:
                trials = f"{len(cell.trials)} of {config.trials} trials"
                yield f"{workload.name}, {cell.strategy} seed {cell.seed}: {trials}, stopped: {cell.stop_reason}"
        missing = len(config.strategies) * config.seeds - len(workload.cells)
        if missing:
            yield f"{workload.name}: {missing} searches are not done yet"
        remeasured = workload.remeasured
        if remeasured is None:
            continue
        for one in remeasured.contenders:
            if one.problem:
                yield f"{workload.name}, {one.name} is not timed: {one.problem}"
        if remeasured.disturbed:
            yield f"{workload.name}: other loads disturbed {remeasured.disturbed} of {remeasured.rounds} rounds"


def _machine(results: Results, hardware: Hardware, conditions: Mapping[str, str]) -> Iterator[str]:
    yield "## Machine and versions"
    yield ""
    peers = ", ".join(LABELS[peer] for peer in results.config.peers) or NO_PEERS
    rows = [*hardware_rows(hardware), ("threads", str(results.config.threads)), ("peers", peers)]
    versions = [(name, value) for name, value in conditions.items() if name not in ("cpu", "cores")]
    yield from _table(("", ""), (*rows, *versions))


# ---- parts ----


def _by_strategy(results: Results, text: Callable[[WorkloadResults, Sequence[CellRecord]], str]) -> Iterator[str]:
    """A table of workloads by strategies, made from the cells that have a winner."""
    strategies = results.config.strategies

    def shown(workload: WorkloadResults, strategy: StrategyName) -> str:
        cells = workload.of(strategy)
        return text(workload, cells) if cells else NOTHING

    return _table(
        ("workload", *strategies),
        ((workload.name, *(shown(workload, strategy) for strategy in strategies)) for workload in results.workloads),
    )


def _against(workload: WorkloadResults, subject: Side, other: Side) -> Estimate | None:
    mine, theirs = workload.latency(subject), workload.latency(other)
    return None if mine is None or theirs is None else speedup(mine, theirs)


def _ratio(found: Estimate | None) -> str:
    if found is None:
        return NOTHING
    if found.interval is None:
        return f"{found.median:.2f} (timed once)"
    text = f"{found.median:.2f} ({found.interval.low:.2f} to {found.interval.high:.2f})"
    return f"*{text}*" if found.interval.contains(1.0) else text


def _mean(found: Iterable[Estimate | None]) -> str:
    mean = geometric_mean(ratio.median for ratio in found if ratio is not None)
    return NOTHING if mean is None else f"**{mean:.2f}**"


def _slower(found: Sequence[Estimate | None]) -> str:
    """The number of ratios whose whole interval is below 1, out of all known ratios."""
    known = [ratio for ratio in found if ratio is not None]
    surely = sum(ratio.interval is not None and ratio.interval.high < 1.0 for ratio in known)
    return f"{surely} of {len(known)}" if known else NOTHING


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _count(trials: float) -> str:
    return NOTHING if trials == math.inf else f"{trials:.0f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
