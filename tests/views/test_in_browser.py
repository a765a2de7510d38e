"""Reports in a real browser: all charts are drawn, the tree can be walked, and no stranger's script runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.browser import Page, started
from tests.helpers.command import colt
from tests.helpers.hostile_runs import hostile_run
from tests.helpers.large_runs import large_run
from tests.helpers.recorded import unpacked

pytest.importorskip("plotly", reason="pages come with the extra report")
pytest.importorskip("jinja2", reason="pages come with the extra report")
pytestmark = pytest.mark.real

DRAWN = """
return Object.fromEntries([...document.querySelectorAll(".chart")].map((one) => [one.id,
  one.classList.contains("none") ? one.textContent :
  one.querySelectorAll(".main-svg path, .main-svg .point").length > 0 && one.getBoundingClientRect().width > 200]))
"""
"""Of each chart whether something is drawn, or what it says instead."""
TREE = "#r0-tree-chart"
SHOWN = "trees['r0-tree-chart'].order.length"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with started(tmp_path_factory.mktemp("browser")) as page:
        yield page


def report(run: Path) -> Path:
    """The page about a run."""
    out = run.parent / "page.html"
    done = colt("report", str(run), "-o", str(out))
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("name", ["models-faults", "builtin", "no-winner", "interrupted"])
def test_every_chart_is_drawn_or_says_why_not(name: str, browser: Page, tmp_path: Path) -> None:
    browser.open(report(unpacked(name, tmp_path)))
    drawn = browser.run(DRAWN)
    assert len(drawn) >= 9
    assert all(drawn.values()), drawn
    if name == "models-faults":
        assert all(one is True for one in drawn.values()), drawn
    assert browser.errors() == []


@pytest.mark.parametrize("lines", [0, 5])
def test_a_run_that_has_hardly_begun_has_a_sensible_page(lines: int, browser: Page, tmp_path: Path) -> None:
    run = unpacked("builtin", tmp_path)
    (run / "receipt.json").unlink()
    journal = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (run / "journal.jsonl").write_bytes(b"".join(journal[:lines]))
    browser.open(report(run))
    assert browser.run(DRAWN)["r0-best-trials-chart"] == "no trial has a latency"
    assert browser.errors() == []


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with a tree of which not all is open at first."""
    return report(large_run(tmp_path_factory.mktemp("large"), trials=60, nodes=1200, batch=20))


@pytest.fixture
def tree(browser: Page, large: Path) -> Page:
    """That page, freshly opened."""
    return browser.open(large)


def test_the_tree_is_opened_and_closed_by_clicks(tree: Page) -> None:
    before = tree.run(f"return {SHOWN}")
    assert 100 < before < 1200
    assert "nodes shown" in tree.text(".tree output")
    root = tree.run(
        """const tree = trees['r0-tree-chart'], plot = tree.place;
        plot.scrollIntoView({block: "center"});
        const box = plot.getBoundingClientRect(), layout = plot._fullLayout;
        const across = layout._size.l + layout.xaxis.d2p(0), down = layout._size.t + layout.yaxis.d2p(tree.row.get(0));
        return [box.left + across, box.top + down]"""
    )
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        press = {"type": kind, "x": root[0], "y": root[1], "button": "left", "clickCount": 1}
        tree.driver.execute_cdp_cmd(
            "Input.dispatchMouseEvent", press if kind != "mouseMoved" else press | {"button": "none"}
        )
    tree.wait(f"{SHOWN} === 1")
    assert "The untuned program" in tree.text(".tree aside")
    tree.click(".tree button[data-do=more]")
    tree.wait(f"{SHOWN} > 1")
    tree.click(".tree button[data-do=less]")
    tree.wait(f"{SHOWN} === 1 + trees['r0-tree-chart'].children[0].length")
    tree.click(".tree button[data-do=best]")
    tree.wait("trees['r0-tree-chart'].at !== 0")
    assert "on the best path" in tree.text(".tree aside")
    for word in ("made by", "predicted", "measured", "sketch"):
        assert word in tree.text(".tree aside")
    assert tree.errors() == []


def test_the_tree_is_walked_by_the_keyboard(tree: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    tree.press(".tree input", Keys.TAB * 5)  # search, four buttons, the tree
    assert tree.run("return document.activeElement.id") == "r0-tree-chart"
    tree.press(TREE, Keys.ARROW_RIGHT)
    first = tree.text(".tree aside h3")
    assert first.startswith("Node ")
    tree.press(TREE, Keys.ARROW_DOWN)
    assert tree.text(".tree aside h3") != first
    tree.press(TREE, Keys.ARROW_UP, Keys.ARROW_LEFT)
    assert tree.text(".tree aside h3") == "The untuned program"
    shown = tree.run(f"return {SHOWN}")
    tree.press(TREE, Keys.ENTER)
    tree.wait(f"{SHOWN} < {shown}")
    tree.press(TREE, "b")
    assert "on the best path" in tree.text(".tree aside h3")
    tree.press(TREE, Keys.HOME)
    assert tree.text(".tree aside h3") == "The untuned program"
    assert tree.errors() == []


def test_the_tree_is_searched(tree: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    last = tree.run("return trees['r0-tree-chart'].data.id.at(-1)")
    tree.press(".tree input", str(last))
    tree.wait(f"document.querySelector('.tree aside h3').textContent.startsWith('Node {last}')")
    tree.press(".tree input", Keys.BACKSPACE * 8, "large")
    tree.wait("document.querySelector('.tree output').textContent.startsWith('at least 100 found')")
    first = tree.text(".tree aside h3")
    tree.press(".tree input", Keys.ENTER)
    tree.wait(f"document.querySelector('.tree aside h3').textContent !== '{first}'")
    assert "large" in tree.text(".tree aside")
    tree.press(".tree input", "no such thing")
    tree.wait("document.querySelector('.tree output').textContent === 'nothing found'")
    assert tree.errors() == []


def test_no_script_of_a_stranger_runs_and_names_are_shown_as_they_are(browser: Page, tmp_path: Path) -> None:
    browser.open(report(hostile_run(tmp_path / "evil")))
    browser.run("trees['r0-tree-chart'].go(1)")
    assert browser.run("return typeof window.hacked") == "undefined"
    assert browser.run("return document.querySelectorAll('img').length") == 0
    assert "<script>window.hacked = 3<script>" in browser.text("h1")
    assert "</script><script>window.hacked = 1</script>" in browser.text(".tree aside")
    legend = browser.run("return document.querySelector('#r0-best-trials-chart .legendtext').textContent")
    assert "<script>window.hacked = 1</script>" in legend
    assert browser.errors() == []


def test_dark_and_light_follow_the_system_until_the_reader_chooses(browser: Page, tmp_path: Path) -> None:
    paper = "return getComputedStyle(document.documentElement).backgroundColor"
    page = report(unpacked("builtin", tmp_path))
    browser.dark(True)
    browser.open(page)
    assert browser.run(paper) == "rgb(20, 23, 27)"
    browser.click("#theme")
    assert browser.run(paper) == "rgb(255, 255, 255)"
    browser.dark(False)
    browser.open(page)
    assert browser.run(paper) == "rgb(255, 255, 255)"
    assert browser.errors() == []


WIDER = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
"""Pixels by which a page is wider than its window."""
OVERLAPPING = """
const hit = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
const found = [];
for (const chart of document.querySelectorAll(".js-plotly-plot")) {
  const all = (what) => [...chart.querySelectorAll(what)].filter((one) => one.getBoundingClientRect().width)
    .map((one) => [`${chart.id} ${what} ${one.textContent.slice(0, 30)}`, one.getBoundingClientRect()]);
  const inside = chart.getBoundingClientRect();
  const texts = [".xtick text", ".ytick text", ".xtitle", ".ytitle", ".annotation text", ".legend"].map(all);
  for (const [name, box] of texts.flat())
    if (box.left < inside.left - 1 || box.right > inside.right + 1 || box.bottom > inside.bottom + 1)
      found.push(`${name} sticks out`);
  const apart = [...texts.slice(0, 4).flat(), ...all(".legend"), ...all(".modebar")];
  for (const group of [apart, texts[4], [...all(".legend"), ...all(".nsewdrag")]])
    group.forEach(([name, box], at) => {
      for (const [other, beside] of group.slice(at + 1)) if (hit(box, beside)) found.push(`${name} lies over ${other}`);
    });
}
return found;
"""
"""Texts of charts that lie over each other, a legend over what is drawn, and what sticks out of its chart."""
WIDEST = """
return Math.max(...[...document.querySelectorAll(".main-svg")].map((one) => one.getBoundingClientRect().width));
"""
"""Pixels of the widest chart."""

TALLER = """
() => [...document.querySelectorAll(".charts .js-plotly-plot")].map((one) => [one.id,
  one.querySelector(".main-svg").getBoundingClientRect().height - one.getBoundingClientRect().height,
  one.querySelector(".main-svg").getBoundingClientRect().width])
"""
"""Of each chart by how many pixels it is higher than its place, and how wide it is drawn."""


@contextmanager
def window(browser: Page, width: int) -> Iterator[None]:
    """The browser's window, so wide."""
    size = {"width": width, "height": 768, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        yield
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("name", ["models-faults", "flux-conv", "interrupted", "large"])
def test_nothing_is_wider_than_the_page_or_lies_over_anything_else(name: str, browser: Page, tmp_path: Path) -> None:
    run = large_run(tmp_path, trials=2600, nodes=2700) if name == "large" else unpacked(name, tmp_path)
    page = report(run)
    for width in (1366, 390):
        with window(browser, width):
            browser.open(page)
            assert browser.run(WIDER) <= 0
            assert browser.run(OVERLAPPING) == []
            if width > 1000:
                with window(browser, 1000):  # the same page, made smaller
                    browser.wait(f"({TALLER})().every(([id, over, width]) => over < 1 && width < 1000)", 10)
    browser.open(page)
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run(OVERLAPPING) == []
    assert browser.run(WIDEST) <= 700
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run(WIDEST) > 700


# ---- the dashboard ----


def go_to_tree(browser: Page) -> None:
    """Scroll to the tree, which is only fetched then."""
    browser.wait("document.body.dataset.ready === 'yes' && document.querySelector('#r0-tree-chart')")
    browser.run("document.querySelector('#r0-tree-chart').scrollIntoView()")
    browser.wait("document.querySelector('#r0-tree-chart .main-svg')")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs for a dashboard: two finished ones, one by somebody who means harm, one that has just begun."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("builtin", "models"):
        unpacked(name, folder)
    hostile_run(folder / "evil")
    live = unpacked("models-not-worth-it", folder)
    (live / "receipt.json").unlink()
    lines = (live / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (live / "journal.jsonl").write_bytes(b"".join(lines[:80]))
    (folder / "rest").write_bytes(b"".join(lines[80:]))
    return folder


@pytest.fixture(scope="module")
def dashboard(runs: Path) -> Iterator[str]:
    pytest.importorskip("uvicorn", reason="the dashboard comes with the extra dashboard")
    from tests.helpers.running_dashboard import running_dashboard

    with running_dashboard(runs) as address:
        yield address


def test_a_folder_without_runs_says_how_some_get_there(browser: Page, tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the dashboard comes with the extra dashboard")
    from tests.helpers.running_dashboard import running_dashboard

    with running_dashboard(tmp_path) as address, window(browser, 390):
        browser.open(f"{address}/")
        assert "There are no runs in this folder yet" in browser.text("main")
        assert browser.run("return document.querySelector('table').getBoundingClientRect().width") == 0
        assert browser.run(WIDER) <= 0
        unpacked("builtin", tmp_path)
        browser.wait("document.querySelector('#count').textContent === '1 of 1 runs'")
        assert "no runs" not in browser.text("main")
        assert browser.run(WIDER) <= 0


def test_runs_are_listed_filtered_opened_and_compared(browser: Page, dashboard: str) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(f"{dashboard}/")
    browser.wait("document.querySelector('#count').textContent === '4 of 4 runs'")
    browser.press("#filter", "matmul")
    browser.wait("document.querySelector('#count').textContent === '1 of 4 runs'")
    browser.press("#filter", Keys.BACKSPACE * 6)
    for name in ("builtin", "models"):
        browser.click(f"input[value='{name}']")
    browser.click("#compare")
    browser.wait("document.body.dataset.ready === 'yes' && document.querySelector('#o-over-trials-chart .main-svg')")
    assert "Latencies are not compared" in browser.text()
    browser.click(".top a")
    browser.wait("document.querySelector('.runs tbody a')")
    browser.click("a[href$='=models']")
    go_to_tree(browser)
    assert all(browser.run(DRAWN).values())
    assert "faster: 85.2x" in browser.text()
    assert browser.errors() == []


def test_what_can_be_read_is_shown_before_plotly_is_there(browser: Page, dashboard: str) -> None:
    browser.driver.execute_cdp_cmd("Network.enable", {})
    browser.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*plotly.js*"]})
    try:
        browser.driver.get(f"{dashboard}/run?run=models")
        browser.wait("document.querySelector('#r0-receipt td')")
        assert "faster: 85.2x" in browser.text(".verdict")
        assert browser.run("return typeof Plotly") == "undefined"
    finally:
        browser.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
        browser.driver.execute_cdp_cmd("Network.disable", {})
    browser.errors()
    browser.driver.get(f"{dashboard}/run?run=models")
    go_to_tree(browser)
    assert browser.errors() == []


def test_the_first_chart_stands_with_some_of_its_points_and_has_all_in_the_end(browser: Page, tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the dashboard comes with the extra dashboard")
    from tests.helpers.running_dashboard import running_dashboard

    large_run(tmp_path, trials=1200, nodes=1300)
    drawn = "document.querySelector('#r0-best-trials-chart').data.reduce((sum, one) => sum + one.x.length, 0)"
    watch = f"""new MutationObserver((changes, watcher) => {{
      if (!document.querySelector("#r0-best-trials-chart .main-svg .trace")) return;
      watcher.disconnect();
      window.first = {drawn};
    }}).observe(document, {{childList: true, subtree: true}});"""
    script = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": watch})
    try:
        with running_dashboard(tmp_path) as address:
            browser.open(f"{address}/run?run=builtin")
            first, last = browser.run(f"return [window.first, {drawn}]")
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    assert first < 600
    assert last > 1100
    assert browser.errors() == []


def test_a_run_in_progress_is_pushed(browser: Page, dashboard: str, runs: Path) -> None:
    browser.open(f"{dashboard}/run?run=models-not-worth-it")
    go_to_tree(browser)
    before = browser.run("return trees['r0-tree-chart'].data.parent.length")
    first = browser.run("return document.querySelector('#r0-best-trials-chart').data.length")
    assert first >= 1
    with (runs / "models-not-worth-it" / "journal.jsonl").open("ab") as journal:
        journal.write((runs / "rest").read_bytes())
    browser.wait(f"trees['r0-tree-chart']?.data.parent.length > {before}")
    browser.wait("document.querySelector('#r0-headline')?.innerText.includes('56')")
    assert browser.errors() == []


def test_no_script_of_a_stranger_runs_in_the_dashboard(browser: Page, dashboard: str) -> None:
    browser.open(f"{dashboard}/")
    browser.wait("document.querySelectorAll('.runs tbody tr').length === 4")
    browser.run(
        "[...document.querySelectorAll('.runs tbody a')].find((one) => one.textContent.includes('script')).click()"
    )
    go_to_tree(browser)
    assert browser.run("return typeof window.hacked") == "undefined"
    assert browser.run("return document.querySelectorAll('img').length") == 0
    assert browser.errors() == []


def test_what_a_reader_looks_at_stays_when_panels_are_added(browser: Page, tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the dashboard comes with the extra dashboard")
    from tests.helpers.running_dashboard import running_dashboard

    run = unpacked("models-strict", tmp_path)
    receipt = (run / "receipt.json").rename(tmp_path / "receipt")
    with running_dashboard(tmp_path) as address:
        browser.open(f"{address}/run?run=models-strict")
        go_to_tree(browser)
        browser.run("window.before = trees['r0-tree-chart']; before.go(3)")
        browser.run("Plotly.relayout('r0-best-trials-chart', {'xaxis.range': [2, 5]})")
        receipt.rename(run / "receipt.json")
        browser.wait("document.querySelector('#r0-program')?.innerText.includes('there is no program.json')")
        assert browser.run("return before === trees['r0-tree-chart'] && before.place.isConnected && before.at") == 3
        assert browser.run("return document.getElementById('r0-best-trials-chart').layout.xaxis.range") == [2, 5]
        assert all(browser.run(DRAWN).values())
        assert browser.errors() == []
