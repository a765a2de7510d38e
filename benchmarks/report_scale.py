"""Whether pages stay usable at 10,000 trials and 100,000 nodes: seconds, megabytes, frames while a reader moves about.

The run is made by the real search over a toy space, with its real events in a real journal. Prints

    report      wall seconds of ``colt report``, and the size of its page
    browser     until every chart is drawn, and the frames while charts are dragged, the tree is zoomed and the page is
                scrolled from its top to its end
    dashboard   until the list stands; until the headline of that run can be read, its first chart is drawn, all of it
                is, and its tree is, which is fetched when the reader comes to it: from a bookmark, in a browser that
                was just started, without and with a debugger (which this script needs for all else); from the list; and
                again. The dashboard is another one in the first three cases

    python benchmarks/report_scale.py [--trials 10000] [--nodes 100000]

Figures to reach: a report under 20 s and 15 MB, frames under 50 ms, a page of the dashboard under 1 s. The browser
needs Debian's ``chromium`` and ``chromium-driver``; without them its lines are left out.
"""

from __future__ import annotations

import argparse
import queue
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.helpers.browser import ARGUMENTS, PATIENCE_S, Page, started, why_none
from tests.helpers.large_runs import large_run
from tests.helpers.running_dashboard import running_dashboard

from colt.views.report.page import own_file

FRAMES = """
const done = arguments[arguments.length - 1], kind = arguments[1], place = document.getElementById(arguments[0]);
const steps = 90, frames = [], end = document.documentElement.scrollHeight - innerHeight;
let send = () => {}, step = (at) => scrollTo(0, end * at / steps), finish = () => {};
if (kind !== "scrolled") {
  place.scrollIntoView({block: "center"});
  const drag = place.querySelector(".nsewdrag"), box = drag.getBoundingClientRect();
  const x = box.left + box.width / 2, y = box.top + box.height / 2;
  const at = (dx) => ({clientX: x + dx, clientY: y, bubbles: true, cancelable: true});
  send = (name, dx, target) => target.dispatchEvent(new MouseEvent(name, {...at(dx), buttons: 1}));
  step = (one) => send("mousemove", 120 * Math.sin(one / 8), document);
  finish = () => send("mouseup", 0, document);
  const turn = (by) => drag.dispatchEvent(new WheelEvent("wheel", {...at(0), deltaY: by}));
  if (kind === "zoomed") step = (one) => turn(one < 45 ? -40 : 40);
  else send("mousedown", 0, drag);
}
let last = performance.now(), count = 0;
requestAnimationFrame(function next(now) {
  if (count > 0) frames.push(now - last);
  last = now;
  step(count);
  if (++count < steps) requestAnimationFrame(next);
  else { finish(); setTimeout(() => done(frames), 300); }
});
"""
"""Milliseconds between frames while a chart is dragged or zoomed by the mouse, or the page is scrolled."""
WATCH = """
window.seen = {};
for (const [what, where] of [["headline", ".verdict"], ["chart", ".chart .main-svg .trace"]])
  new MutationObserver((changes, watcher) => {
    if (!document.querySelector(where)) return;
    watcher.disconnect();
    requestAnimationFrame(() => setTimeout(() => { seen[what] = performance.now(); }));
  }).observe(document, {childList: true, subtree: true});
"""
"""Notes when headline and first chart are on the screen, in milliseconds after the reader asked for the page."""
REPORT = """
const told = setInterval(() => {
  if (!seen.headline || !seen.chart) return;
  clearInterval(told);
  fetch("/seen?" + new URLSearchParams(seen));
}, 50);
"""
"""Has a page that nobody debugs tell the server when that was."""
LOOKS_S = 4.0
"""How long a reader looks at the list."""
MOVES = (
    ("r0-tree-chart", "dragged"),
    ("r0-tree-chart", "zoomed"),
    ("r0-best-trials-chart", "dragged"),
    ("r0-knobs-1-chart", "dragged"),
    ("r0-timeline-chart", "dragged"),
    ("page", "scrolled"),
)


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
        with started(folder / "report") as browser:
            look(browser, page)
        undebugged(folder, run)
        visits(folder, run)


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
    """Open the page, and move through it."""
    began = time.perf_counter()
    browser.open(page)
    print(f"browser     all drawn after {time.perf_counter() - began:.1f} s")
    for chart, kind in MOVES:
        if chart != "page":
            browser.run("return Plotly.relayout(arguments[0], {dragmode: 'pan'}).then(() => 0)", chart)
        frames = sorted(browser.driver.execute_async_script(FRAMES, chart, kind))
        slow = frames[round(0.95 * (len(frames) - 1))]
        print(f"            {chart} {kind}: frames of {statistics.median(frames):.0f} ms, 95 % under {slow:.0f} ms")


def undebugged(folder: Path, run: Path) -> None:
    """Open a run's page from a bookmark, in a browser and a dashboard that have just been started, without a driver:
    a browser that is debugged reads scripts more slowly."""
    told: queue.Queue[dict[str, list[str]]] = queue.Queue()

    def around(app: ASGIApp) -> ASGIApp:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path")
            if path == "/static/ask.js":  # the page's first script
                script = WATCH + REPORT + own_file("ask.js")
                await Response(script, media_type="text/javascript")(scope, receive, send)
            elif path == "/seen":
                told.put(urllib.parse.parse_qs(scope["query_string"].decode()))
                await Response()(scope, receive, send)
            else:
                await app(scope, receive, send)

        return answer

    with running_dashboard(run.parent, around=around) as address:
        command = [str(shutil.which("chromium")), *ARGUMENTS, f"--user-data-dir={folder / 'undebugged'}"]
        command += ["--remote-debugging-port=0", f"{address}/run?run={run.name}"]  # or a headless one prints, and ends
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            seen = told.get(timeout=PATIENCE_S)
        finally:
            browser.terminate()
            browser.wait()
    headline, chart = (float(seen[what][0]) / 1e3 for what in ("headline", "chart"))
    print(f"dashboard   from a bookmark, not debugged: headline {headline:.2f} s, first chart {chart:.2f} s")


def visits(folder: Path, run: Path) -> None:
    """Open the dashboard's pages of a run, in a browser and a dashboard that have just been started."""
    for way in ("from a bookmark", "from the list"):
        with running_dashboard(run.parent) as address, started(folder / way.replace(" ", "-")) as browser:
            browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
            if way == "from the list":
                browser.open(f"{address}/")
                listed = browser.run("return performance.getEntriesByType('navigation')[0].loadEventEnd")
                print(f"dashboard   the list {listed / 1e3:.2f} s")
                time.sleep(LOOKS_S)
            visit(browser, f"{address}/run?run={run.name}", way)
    with running_dashboard(run.parent) as address, started(folder / "again") as browser:
        browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        browser.open(f"{address}/run?run={run.name}")
        browser.open(f"{address}/")
        visit(browser, f"{address}/run?run={run.name}", "again")


def visit(browser: Page, address: str, way: str) -> None:
    """Open a run's page, and go to its tree."""
    browser.driver.get(address)
    browser.wait("document.body.dataset.ready === 'yes'")
    headline, first, drawn = browser.run("return [seen.headline, seen.chart, performance.now()]")
    browser.run("document.getElementById('r0-tree-chart').scrollIntoView()")
    tree = seconds(lambda: browser.wait("document.querySelector('#r0-tree-chart .main-svg')"))
    print(
        f"dashboard   {way}: headline {headline / 1e3:.2f} s, first chart {first / 1e3:.2f} s, "
        f"all charts {drawn / 1e3:.2f} s, the tree {tree:.2f} s more"
    )


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
