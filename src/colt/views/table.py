"""A receipt as tables for people."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from colt.machine import Bound
from colt.store.receipt import (
    BuildPart,
    LatencyPart,
    MathPart,
    ModelPart,
    NoisePart,
    ProposerPart,
    Receipt,
    RecordsPart,
    SpendingPart,
    Verdict,
    printable,
)
from colt.util.grid import Grid
from colt.util.text import counted, in_us
from colt.views.describe import fleet_text, speedup_text, verified_text


def result_table(receipt: Receipt) -> RenderableType:
    """The whole receipt: the result, who found it, and where the time went."""
    receipt = printable(receipt)
    parts: list[RenderableType] = [_headline(receipt), _proposers(receipt)]
    if receipt.models is not None:
        parts.append(_models(receipt.models))
    parts.append(_footer(receipt))
    return Group(*parts)


def _headline(receipt: Receipt) -> Table:
    work = receipt.workload
    size = f" ({work.size})" if work.size else ""
    table = Table(
        title=f"{work.name}{size}, {counted(receipt.threads, 'thread')}, {receipt.hardware.cpu}", title_justify="left"
    )
    for name in ("", "latency", "GFLOPS", "of the roofline"):
        table.add_column(name, justify="left" if not name else "right")
    table.add_row("untuned", *_latency(receipt.baseline))
    if receipt.best is None:
        table.add_row("tuned", "nothing better", "", "")
        return table
    table.add_row("tuned", *_latency(receipt.best))
    if receipt.verdict is Verdict.NO_DIFFERENCE:
        table.add_row("speed-up", receipt.verdict, "", "")
    else:
        table.add_row(Text("speed-up", style="bold"), Text(f"{receipt.speedup:.1f}x", style="bold"), "", "")
    return table


def _latency(part: LatencyPart) -> tuple[str, str, str]:
    gflops = "-" if part.gflops is None else f"{part.gflops:,.1f}"
    share = "-" if part.roofline_share is None else f"{part.roofline_share:.0%}"
    return in_us(part.latency_us), gflops, share


def _proposers(receipt: Receipt) -> Grid:
    head = ("proposer", "calls", "trials", "hits measured", "hits predicted", "errors", "taken over", "s")
    parts = receipt.proposers
    if all(part.structures is None for part in parts.values()):
        return Grid(head, [(name, *_proposer(part)) for name, part in parts.items()])
    rows = [(name, *_proposer(part), *_credit(part)) for name, part in parts.items()]
    return Grid((*head, "structures", "led", "led below"), rows)


def _credit(part: ProposerPart) -> tuple[str, ...]:
    """Structures brought, and trials that became the fastest of the run: its own, and others' in its structures."""
    counts = part.structures, part.improvements, part.improvements_below
    return tuple("-" if count is None else str(count) for count in counts)


def _proposer(part: ProposerPart) -> tuple[str, ...]:
    measured = part.measured_hits + part.measured_regressions
    predicted = part.predicted_hits + part.predicted_regressions
    return (
        str(part.calls),
        str(part.trials),
        f"{part.measured_hits}/{measured}",
        f"{part.predicted_hits}/{predicted}",
        str(part.errors),
        f"{part.alterations_kept}/{part.alterations}",
        f"{part.seconds:.1f}",
    )


def _models(models: dict[str, ModelPart]) -> Grid:
    head = ("model", "answered", "failed", "unusable parts", "tokens in", "cached", "tokens out", "$", "median s")
    return Grid(head, [(name, *_model(part)) for name, part in models.items()])


def _model(part: ModelPart) -> tuple[str, ...]:
    failed = ", ".join(f"{count} {kind}" for kind, count in part.failed.items())
    seconds = "-" if part.median_seconds is None else f"{part.median_seconds:.1f}"
    tokens = (f"{count:,}" for count in (part.input, part.cached, part.output))
    return (str(part.answered), failed or "0", str(part.unusable), *tokens, f"{part.usd:.4f}", seconds)


def _spending(part: SpendingPart) -> str:
    ceilings = {"$": part.max_usd, "calls": part.max_calls, "tokens": part.max_tokens, "seconds": part.max_seconds}
    held = ", ".join(f"{value:g} {name}" for name, value in ceilings.items() if value is not None)
    text = f"language models: ${part.usd:.4f}, {part.requests} requests, {part.tokens:,} tokens"
    text += f"; at most {held}" if held else ""
    return text + (f"; calls ended: {part.ended}" if part.ended else "")


def _records(part: RecordsPart) -> str:
    counts = {"of this program": part.known, "of relatives": part.relatives}
    begun = [f"{count} {whose}" for whose, count in counts.items() if count]
    unusable = f"; {part.unusable} could not be carried out here" if part.unusable else ""
    return f"records: began from {' and '.join(begun) or 'none'}{unusable}; {part.added} added"


def _footer(receipt: Receipt) -> Text:
    fates = ", ".join(f"{count} {fate}" for fate, count in receipt.trials.fates.items() if count)
    seconds = receipt.seconds
    spent = ", ".join(f"{name} {seconds[name]:.1f}" for name in seconds if name != "total")
    lines = [f"trials: {receipt.trials.total} ({fates or 'none'}); stopped: {receipt.stop_reason}"]
    lines += [_records(receipt.records)] if receipt.records is not None else []
    if receipt.best is not None:
        best = receipt.best
        sketch = best.sketch.partition(" | ")[0]  # the moves on it are on the next line
        lines.append(f"winner: trial {best.trial} by {best.proposed_by}, sketch {sketch}: {best.sketch_summary}")
        lines.append(f"        {best.transformation}")
    lines += [f"board: {receipt.hardware.board}"] if receipt.hardware.board is not None else []
    lines += [f"fleet: {fleet_text(receipt.fleet)}"] if receipt.fleet is not None else []
    lines += [_verdict(receipt)] if receipt.verdict is not None else []
    lines += [_noise(receipt.noise)] if receipt.noise is not None and receipt.noise.disturbed else []
    lines += [_build(receipt.build)] if receipt.build is not None else []
    lines += [_roofline(receipt)] if receipt.roofline is not None else []
    lines += [_math(receipt.math)] if receipt.math is not None else []
    lines += [_spending(receipt.spending)] if receipt.spending is not None else []
    lines += [_verified(receipt), f"seconds: {seconds.get('total', 0.0):.1f} ({spent})"]
    return Text("\n".join(lines))


def _verdict(receipt: Receipt) -> str:
    if receipt.best is None:
        return f"verdict: {receipt.verdict}; the untuned program is kept"
    speedup = speedup_text(receipt.speedup, receipt.speedup_interval)
    return f"verdict: {receipt.verdict}, {speedup} over the untuned program, timed in turn {receipt.rounds}x"


def _build(build: BuildPart) -> str:
    winner = "" if build.winner is None else f", the winner {build.winner:.2f}"
    return f"builds: {build.total:.1f} s for all trials, one after the other; the slowest {build.slowest:.2f}{winner}"


def _noise(noise: NoisePart) -> str:
    return (
        f"other loads: {noise.disturbed} of {noise.timings} timings disturbed, corrected by {noise.worst_slowdown:.1f}x"
        f" at most; {noise.seconds_waiting:.1f} s spent waiting for quiet"
    )


def _roofline(receipt: Receipt) -> str:
    found, machine = receipt.roofline, receipt.hardware
    assert found is not None
    peak = f"FMA peak of {counted(machine.peak_threads or 0, 'thread')}, {machine.fma_pattern}"
    if found.bound == Bound.BANDWIDTH:
        peak = f"memory bandwidth of {machine.bandwidth_gbs:.1f} GB/s, {machine.bandwidth_pattern}"
    return f"roofline: {found.share:.1%} of {found.gflops:.1f} GFLOPS ({peak})"


def _math(math: MathPart) -> str:
    replaced = [
        f"{name} ({part.calls} {'call' if part.calls == 1 else 'calls'}, within {part.max_ulp:g} ulp)"
        for name, part in math.replaced.items()
    ]
    if math.exact:
        return "math: exact, as asked"
    return f"math: in vectors {', '.join(replaced)}" if replaced else "math: exact, nothing to compute in vectors"


def _verified(receipt: Receipt) -> str:
    verified = receipt.verified
    text = f"verified: {verified_text(receipt)}"
    if verified.untuned_error is not None and verified.max_rel_error is not None:
        text += (
            f", off by {verified.max_rel_error:.2g} from float64, the untuned program by {verified.untuned_error:.2g}"
        )
    if verified.leaders:
        text += f" ({verified.leaders} compared, {verified.wrong} wrong)"
    return text
