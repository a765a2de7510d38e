"""What a page says about a run: panel after panel, as charts, tables and texts. Nothing here is HTML."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import msgspec

from colt.machine.disassembly import inner_loop
from colt.measure.base import Fate
from colt.store.directory import KERNEL, PROGRAM, WINNER
from colt.store.receipt import Receipt, Verdict
from colt.tvm.programs.listing import listings
from colt.views.describe import fleet_text, speedup_text, verified_text
from colt.views.report.chart import AnyChart, figures
from colt.views.report.panels.alterations import alterations_note, alterations_table, taken_over
from colt.views.report.panels.knobs import knob_charts, knob_names
from colt.views.report.panels.machine import roofline_chart, seconds_chart, timeline_chart
from colt.views.report.panels.members import Table, members_chart, members_table
from colt.views.report.panels.outcomes import fates_chart, fates_notes, reasons_table
from colt.views.report.panels.progress import progress_charts, winner_notes
from colt.views.report.panels.tree import tree_data, tree_note
from colt.views.report.source import SeenRun

SPEED_UP_SMALL = 10
READERS = 2
"""Runs whose programs are read at a time."""


@dataclass(frozen=True)
class Excerpt:
    """A text of fixed width under a heading."""

    title: str
    text: str


@dataclass(frozen=True)
class Panel:
    """A part of the page. ``columns`` says how many charts stand side by side."""

    id: str
    title: str
    charts: Sequence[AnyChart] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    blocks: Sequence[Excerpt] = ()
    tree: bool = False
    """Whether the shared tree is shown here."""
    columns: int = 1
    text_first: bool = False
    """Whether notes and tables stand above the charts."""


@dataclass(frozen=True)
class Headline:
    """What a run came to, in a few figures: (figure, what it is, what stands below it)."""

    program: str
    label: str
    verdict: str
    good: bool
    figures: Sequence[tuple[str, str, str]]
    problems: Sequence[str]


@dataclass(frozen=True)
class RunContent:
    """All that a page says about one run."""

    headline: Headline
    panels: Sequence[Panel] = field(default_factory=list)
    tree: dict[str, Any] | None = None
    """The shared tree in columns; ``None`` if the page asks for it."""


def contents_of(runs: Sequence[SeenRun]) -> list[RunContent]:
    """All that pages say about runs. Programs are read by other processes meanwhile, which takes seconds."""
    with ThreadPoolExecutor(READERS) as readers:
        programs = [readers.submit(program_panel, run) for run in runs]
        made = [(headline_of(run), live_panels(run), tree_of(run)) for run in runs]
        return [
            RunContent(headline, [*panels, program.result(), receipt_panel(run)], tree)
            for run, (headline, panels, tree), program in zip(runs, made, programs, strict=True)
        ]


def headline_of(run: SeenRun) -> Headline:
    """The result, or how far the run has come."""
    task, receipt = run.task, run.receipt
    figures: list[tuple[str, str, str]] = []
    if receipt is not None:
        verdict, good = _verdict(receipt)
        figures += _result(receipt)
    else:
        verdict, good = f"not finished; last seen: {run.state.phase}", False
        if task.baseline_us:
            figures.append((_us(task.baseline_us), "untuned", ""))
        if task.best_us is not None:
            times = f"{task.baseline_us / task.best_us:,.1f}x, not verified yet" if task.baseline_us else ""
            figures.append((_us(task.best_us), "best so far", times))
    asked = f" of {run.trials_asked:,}" if run.trials_asked else ""
    failed = sum(1 for one in task.trials.values() if one.fate and one.latency_us is None)
    skipped = sum(one.fate == Fate.SKIPPED for one in task.trials.values())  # never went to the hardware
    figures.append((f"{task.told - skipped:,}{asked}", "trials", f"{failed:,} without a latency" if failed else ""))
    if not run.only_trials:
        altered = len(task.alterations)
        figures.append((f"{len(task.nodes):,}", "nodes", f"{altered:,} course alteration{'s'[: altered != 1]}"))
    figures.append((f"${run.state.usd:.4f}", "language models", "") if run.state.usd else ("$0", "language models", ""))
    seconds = receipt.seconds.get("total", run.state.seconds) if receipt is not None else run.state.seconds
    ended = [f"stopped: {receipt.stop_reason}"] if receipt is not None else []
    ended += [f"resumed {len(run.state.went_on)}x"] if run.state.went_on else []
    figures.append((_seconds(seconds), "took", ", ".join(ended)))
    return Headline(run.program, run.label, verdict, good, figures, run.problems)


def _verdict(receipt: Receipt) -> tuple[str, bool]:
    verdict = receipt.verdict or Verdict.NOT_COMPARED
    if receipt.best is None:
        return f"{verdict}; the untuned program is kept", False
    text = f"{verdict}: {speedup_text(receipt.speedup, receipt.speedup_interval)}"
    return text + (
        "" if receipt.verified.ok else "; VERIFICATION FAILED"
    ), verdict is Verdict.FASTER and receipt.verified.ok


def _result(receipt: Receipt) -> list[tuple[str, str, str]]:
    found = []
    if receipt.best is not None:
        interval = ""
        if receipt.speedup_interval is not None:
            low, high = receipt.speedup_interval
            interval = f"{_times(low)} to {_times(high)}, 95 %"
        found.append((_times(receipt.speedup), "speed-up", interval))
    found.append((_us(receipt.baseline.latency_us), "untuned", _gflops(receipt.baseline.gflops)))
    if receipt.best is not None:
        best = receipt.best
        found.append((_us(best.latency_us), f"tuned, by {best.proposed_by}", _gflops(best.gflops)))
    if receipt.roofline is not None:
        found.append((f"{receipt.roofline.share:.0%}", "of the roofline", f"bound by {receipt.roofline.bound}"))
    return found


def _times(factor: float) -> str:
    return f"{factor:,.1f}x" if factor >= SPEED_UP_SMALL else f"{factor:.2f}x"


def _us(latency_us: float) -> str:
    return f"{figures(latency_us / 1e3)} ms" if latency_us >= 1e4 else f"{figures(latency_us)} µs"


def _gflops(gflops: float | None) -> str:
    return "" if gflops is None else f"{figures(gflops)} GFLOPS"


def _seconds(seconds: float) -> str:
    return f"{seconds / 60:,.1f} min" if seconds >= 600 else f"{seconds:,.3g} s"


def live_panels(run: SeenRun) -> list[Panel]:
    """What the events tell."""
    alterations = taken_over(run)
    return [
        Panel("progress", "Best so far", progress_charts(run), notes=winner_notes(run), columns=2),
        Panel("members", "Who found what", [members_chart(run)], [members_table(run)]),
        Panel("tree", "The shared tree", tree=True, notes=[tree_note(run)]),
        Panel(
            "alterations",
            "Course alterations",
            tables=[alterations_table(run, alterations)],
            notes=[alterations_note(run, alterations)],
        ),
        Panel("fates", "What became of trials", [fates_chart(run)], [reasons_table(run)], fates_notes(run)),
        Panel("roofline", "Roofline", [roofline_chart(run)]),
        Panel("time", "Where the time went", [timeline_chart(run), seconds_chart(run)]),
        Panel("knobs", "Knobs against latency", knob_charts(run, knob_names(run))),
    ]


def trial_panels(run: SeenRun) -> list[Panel]:
    """What trials tell, while the rest of a long journal is being read."""
    return [
        Panel("progress", "Best so far", progress_charts(run), columns=2),
        Panel("fates", "What became of trials", [fates_chart(run)]),
        Panel("roofline", "Roofline", [roofline_chart(run)]),
        Panel("rest", "More", notes=["The journal is long. What else there is to see follows when it has been read."]),
    ]


def tree_of(run: SeenRun) -> dict[str, Any]:
    """The shared tree in columns."""
    return tree_data(run, knob_names(run))


def programs_soon() -> Panel:
    """The panel of the programs before they have been read."""
    return Panel("program", "The winning program", notes=["TVM is reading the programs."])


def program_panel(run: SeenRun) -> Panel:
    """The untuned program, the winner, and the winner's inner loop."""
    untuned, tuned = listings([run.folder / PROGRAM, run.folder / WINNER])
    loop = inner_loop(run.folder / KERNEL)
    kept = run.receipt is not None and run.receipt.best is None
    blocks = [
        Excerpt("untuned", untuned.text or untuned.problem),
        Excerpt("the untuned program is kept" if kept else "tuned", tuned.text or tuned.problem),
    ]
    title = f"inner loop: {len(loop.lines)} instructions, {loop.arithmetic} of them vector arithmetic"
    blocks.append(Excerpt("inner loop" if loop.problem else title, loop.problem or "\n".join(loop.lines)))
    notes = []
    if run.receipt is not None and run.receipt.best is not None:
        best = run.receipt.best
        notes = [
            f"Sketch {best.sketch.partition(' | ')[0]}: {best.sketch_summary}",
            f"How it is made: {best.transformation}",
        ]
    return Panel("program", "The winning program", notes=notes, blocks=blocks)


def receipt_panel(run: SeenRun) -> Panel:
    """Receipt, environment, settings and messages."""
    rows: list[tuple[str, ...]] = []
    blocks, receipt = [], run.receipt
    if receipt is not None:
        machine = receipt.hardware
        rows += [
            ("cpu", f"{machine.cpu}, {machine.cores} cores, {machine.simd}"),
            ("threads", str(receipt.threads)),
            ("target", msgspec.json.encode(receipt.target).decode()),
            ("versions", ", ".join(f"{name} {version}" for name, version in receipt.versions.items())),
            ("pool", ", ".join(f"{one.name} ({one.size_b:g})" for one in receipt.pool)),
            ("verified", verified_text(receipt)),
            ("seed", str(receipt.seed)),
            ("stopped", receipt.stop_reason),
        ]
        if machine.board is not None:
            rows.insert(1, ("board", machine.board))
        if receipt.fleet is not None:
            rows.insert(1, ("fleet", fleet_text(receipt.fleet)))
        blocks.append(Excerpt("receipt.json", receipt.to_json().decode()))
    if run.config:
        blocks.append(Excerpt("config.toml", msgspec.json.format(msgspec.json.encode(run.config), indent=2).decode()))
    said = [f"{at_s:.1f} s: {message}" for at_s, message in run.state.notes]
    if said:
        blocks.append(Excerpt("messages", "\n".join(said)))
    notes = [] if receipt is not None else ["There is no receipt: the run is not finished, or was killed."]
    return Panel(
        "receipt",
        "Receipt and environment",
        (),
        [Table(("", ""), tuple(rows), figures=False)] if rows else (),
        notes,
        blocks,
    )
