"""Whether pages stay usable at 10,000 trials and 100,000 nodes: seconds, megabytes, frames while the tree is panned.

The run is made by the real search over a toy space, with its real events in a real journal. Prints

    report      wall seconds of ``colt report``, and the size of its page
    browser     until every chart is drawn, and the frames while the tree and the trials are dragged to and fro
    dashboard   until the page of that run stands, and until its charts are drawn; the list of runs; both for the
                first time and again

    python benchmarks/report_scale.py [--trials 10000] [--nodes 100000]

Figures to reach: a report under 20 s and 15 MB, frames under 50 ms, a page of the dashboard under 1 s. The browser
needs Debian's ``chromium`` and ``chromium-driver``; without them its lines are left out.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.helpers.browser import Page, started, why_none
from tests.helpers.large_runs import large_run
from tests.helpers.running_dashboard import running_dashboard

DRAG = """
const done = arguments[arguments.length - 1], place = document.getElementById(arguments[0]);
place.scrollIntoView({block: "center"});
const drag = place.querySelector(".nsewdrag"), box = drag.getBoundingClientRect();
const x = box.left + box.width / 2, y = box.top + box.height / 2, frames = [];
const at = (dx) => ({clientX: x + dx, clientY: y, bubbles: true, buttons: 1});
const send = (kind, dx, target) => target.dispatchEvent(new MouseEvent(kind, at(dx)));
Plotly.relayout(place, {dragmode: "pan"}).then(() => {
  send("mousedown", 0, drag);
  let last = performance.now(), step = 0;
  requestAnimationFrame(function next(now) {
    if (step > 0) frames.push(now - last);
    last = now;
    send("mousemove", 120 * Math.sin(step / 8), document);
    if (++step < 90) requestAnimationFrame(next);
    else { send("mouseup", 0, document); done(frames); }
  });
});
"""
"""Milliseconds between frames while a chart is dragged by the mouse."""


def main() -> None:
    """Make the run, and print what its pages cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--run", type=Path, help="a run that was made before")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = arguments.run or large_run(folder / "runs", arguments.trials, arguments.nodes)
        lines = sum(1 for _ in (run / "journal.jsonl").open("rb"))
        print(f"{lines:,} events, {(run / 'journal.jsonl').stat().st_size / 1e6:.0f} MB")
        page = report(run, folder)
        if reason := why_none():
            print(f"browser     {reason}")
            return
        with started(folder) as browser:
            look(browser, page)
            visit(browser, run)


def report(run: Path, folder: Path) -> Path:
    """Time ``colt report``."""
    page = folder / "page.html"
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "colt.cli", "report", str(run), "-o", str(page)], check=True, stdout=subprocess.DEVNULL
    )
    print(f"report      {time.perf_counter() - began:.1f} s, {page.stat().st_size / 1e6:.1f} MB")
    return page


def look(browser: Page, page: Path) -> None:
    """Open the page, and drag its largest charts."""
    began = time.perf_counter()
    browser.open(page)
    print(f"browser     all drawn after {time.perf_counter() - began:.1f} s")
    for chart in ("r0-tree-chart", "r0-best-trials-chart"):
        frames = browser.driver.execute_async_script(DRAG, chart)
        slow = sorted(frames)[round(0.95 * (len(frames) - 1))]
        print(f"            {chart}: frames of {statistics.median(frames):.0f} ms, 95 % under {slow:.0f} ms")


def visit(browser: Page, run: Path) -> None:
    """Open the dashboard's pages, for the first time and again."""
    with running_dashboard(run.parent) as address:
        for again in ("for the first time", "again"):
            began = time.perf_counter()
            browser.open(f"{address}/")
            listed = time.perf_counter() - began
            began = time.perf_counter()
            browser.driver.get(f"{address}/run?run={run.name}")
            stands = time.perf_counter() - began
            browser.wait("document.body.dataset.ready === 'yes'")
            drawn = time.perf_counter() - began
            print(f"dashboard   {again}: the list {listed:.2f} s, the page {stands:.2f} s, its charts {drawn:.1f} s")


if __name__ == "__main__":
    main()
