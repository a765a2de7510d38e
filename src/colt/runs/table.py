"""A receipt as tables for people."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from colt.runs.receipt import LatencyPart, ProposerPart, Receipt

FAILED = "FAILED"


def result_table(receipt: Receipt) -> RenderableType:
    """The whole result: what was found, who found it, where the time went."""
    parts: list[RenderableType] = [_headline(receipt), _proposers(receipt), _footer(receipt)]
    return Group(*parts)


def _headline(receipt: Receipt) -> Table:
    work = receipt.workload
    size = f" ({work.size})" if work.size else ""
    table = Table(title=f"{work.name}{size}, {receipt.threads} threads, {receipt.hardware.cpu}", title_justify="left")
    for name in ("", "latency", "GFLOPS", "of the roofline"):
        table.add_column(name, justify="left" if not name else "right")
    table.add_row("untuned", *_latency(receipt.baseline))
    if receipt.best is not None:
        best = receipt.best
        table.add_row(
            "tuned",
            *_latency(LatencyPart(latency_us=best.latency_us, gflops=best.gflops, roofline_share=best.roofline_share)),
        )
        table.add_row(Text("speed-up", style="bold"), Text(f"{receipt.speedup:.1f}x", style="bold"), "", "")
    else:
        table.add_row("tuned", "nothing better", "", "")
    return table


def _latency(part: LatencyPart) -> tuple[str, str, str]:
    gflops = "-" if part.gflops is None else f"{part.gflops:,.1f}"
    share = "-" if part.roofline_share is None else f"{part.roofline_share:.0%}"
    return f"{part.latency_us:,.1f} us", gflops, share


def _proposers(receipt: Receipt) -> Table:
    table = Table()
    for name in ("proposer", "calls", "trials", "hits (measured)", "hits (predicted)", "errors", "alterations", "s"):
        table.add_column(name, justify="left" if name == "proposer" else "right")
    for name, part in receipt.proposers.items():
        table.add_row(name, *_proposer(part))
    return table


def _proposer(part: ProposerPart) -> tuple[str, ...]:
    measured = part.measured_hits + part.measured_regressions
    predicted = part.predicted_hits + part.predicted_regressions
    return (
        str(part.calls),
        str(part.trials),
        f"{part.measured_hits} of {measured}",
        f"{part.predicted_hits} of {predicted}",
        str(part.errors),
        f"{part.alterations_kept} of {part.alterations}",
        f"{part.seconds:.1f}",
    )


def _footer(receipt: Receipt) -> Text:
    fates = ", ".join(f"{count} {fate}" for fate, count in receipt.trials.fates.items() if count)
    seconds = receipt.seconds
    spent = ", ".join(f"{name} {seconds[name]:.1f}" for name in seconds if name != "total")
    verified = receipt.verified
    lines = [
        f"trials: {receipt.trials.total} ({fates or 'none'}); stopped: {receipt.stop_reason}",
        f"verified: {'ok' if verified.ok else FAILED} {verified.message}".rstrip(),
        f"seconds: {seconds.get('total', 0.0):.1f} ({spent})",
    ]
    if receipt.best is not None:
        best = receipt.best
        lines.insert(
            1, f"winner: trial {best.trial} by {best.proposed_by}, sketch {best.sketch}: {best.sketch_summary}"
        )
        lines.insert(2, f"        {best.transformation}")
    return Text("\n".join(lines))
