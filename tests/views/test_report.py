"""``colt report``: pages of all kinds of runs, from directories that nobody has to trust."""

from __future__ import annotations

import base64
import csv
import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from colt import events
from colt.events import Event
from colt.knobs import Edit, Schedule
from colt.machine.disassembly import find_inner_loop, inner_loop
from colt.util.text import shown
from colt.views.fold import fold
from colt.views.report import page
from colt.views.report.assets import picture_of
from colt.views.report.chart import MOST_LINES, Chart, Dimension, Parallel, Series, figures
from colt.views.report.content import Panel, live_panels
from colt.views.report.figure import figure
from colt.views.report.panels.alterations import alterations_note, alterations_table, taken_over
from colt.views.report.panels.knobs import knob_names
from colt.views.report.panels.machine import merged
from colt.views.report.panels.members import Table
from colt.views.report.source import SeenRun, load_run
from colt.views.state import RunState
from tests.helpers.command import colt, refused
from tests.helpers.hostile_runs import MARKUP, hostile_run
from tests.helpers.large_runs import large_run
from tests.helpers.recorded import unpacked

pytest.importorskip("plotly", reason="pages come with the extra report")
pytest.importorskip("jinja2", reason="pages come with the extra report")

PANELS = ("progress", "members", "tree", "alterations", "fates", "roofline", "time", "knobs", "program", "receipt")


class Read(HTMLParser):
    """What a browser would find: elements with their attributes, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.texts.append(data)

    @property
    def data(self) -> dict[str, Any]:
        """The page's charts and trees."""
        (found,) = [script for script in self.scripts if script.startswith('{"charts"')]
        return dict(json.loads(found))


def reported(*runs: Path, out: Path) -> Read:
    """The page about these runs."""
    done = colt("report", *map(str, runs), "-o", str(out / "page.html"))
    assert done.returncode == 0, done.stderr
    return Read((out / "page.html").read_text())


ODD = (
    "models",
    "models-faults",
    "builtin",
    "interrupted",
    "no-winner",
    "exhausted",
    "board",
    "seconds",
    "failing-trials",
)


@pytest.mark.parametrize("name", ODD)
def test_every_kind_of_run_has_every_panel(name: str, tmp_path: Path) -> None:
    found = reported(unpacked(name, tmp_path), out=tmp_path)
    ids = {attributes.get("id") for _, attributes in found.elements}
    assert {f"r0-{panel}" for panel in PANELS} <= ids
    assert len([one for one in found.elements if one[1].get("id")]) == len(ids - {None})  # no id twice
    assert set(found.data["charts"]) <= ids
    assert set(found.data["trees"]) <= ids
    for drawn in found.data["charts"].values():
        assert drawn["empty"] or any(trace["x"] for trace in drawn["data"])


def test_figures_are_what_plotly_takes(tmp_path: Path) -> None:
    import plotly.graph_objects as go

    data = reported(unpacked("models-faults", tmp_path), out=tmp_path).data
    for drawn in data["charts"].values():
        go.Figure({"data": drawn["data"], "layout": drawn["layout"]})


def test_the_headline_has_verdict_and_interval(tmp_path: Path) -> None:
    text = "\n".join(reported(unpacked("models", tmp_path), out=tmp_path).texts)
    assert "faster: 85.2x (63.4x to 87.0x with 95 % confidence)" in text
    assert "63.4x to 87.0x, 95 %" in text
    assert "$0.0057" in text


def test_the_tree_tells_of_each_node_who_made_it_and_how(tmp_path: Path) -> None:
    run = unpacked("models", tmp_path)
    tree = reported(run, out=tmp_path).data["trees"]["r0-tree-chart"]
    tree["id"] = tree.get("id", list(range(len(tree["parent"]))))
    trials = {place: trial for place, _, trial in tree["timed"]}
    applied = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    applied = [line for line in applied if line["event"] == "applied"]
    places = {node: place for place, node in enumerate(tree["id"])}
    for line in applied:
        at = places[line["node"]]
        assert tree["members"][tree["by"][at]] == line["by"]
        assert tree["id"][tree["parent"][at]] == line["parent"]
        steps = [tree["texts"][step] for step in tree["steps"][at]]
        assert len(steps) == len(line["transformation"])
        for step, edit in zip(steps, line["transformation"], strict=True):
            assert step.startswith(f"{edit['knob']} = " if "knob" in edit else "go to sketch")
    best = json.loads((run / "receipt.json").read_text())["best"]
    assert trials[tree["best"][-1]] == best["trial"]
    assert all(parent < place for place, parent in enumerate(tree["parent"]))
    opening = tree["steps"][places[1]]
    assert any(tree["texts"][step].startswith("dot.i = ") for step in opening)


def test_knobs_have_the_names_that_edits_and_the_receipt_give(tmp_path: Path) -> None:
    (run,) = load_run(unpacked("models-faults", tmp_path))
    names = knob_names(run)
    assert names["plain", "fused"] == ["dot.i", "dot.j"]
    assert names["plain", "ms2"][:3] == ["dot.i", "dot.j", "dot.k"]


def test_a_run_in_progress_has_a_page(tmp_path: Path) -> None:
    run = unpacked("models", tmp_path)
    (run / "receipt.json").unlink()
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for count in (0, 1, 4, 60):
        (run / "journal.jsonl").write_bytes(b"".join(lines[:count]))
        found = reported(run, out=tmp_path)
        assert any("not finished" in text for text in found.texts)


def test_damage_is_counted_and_the_rest_shown(tmp_path: Path) -> None:
    run = unpacked("builtin", tmp_path)
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    lines[50] = b"garbage\n"
    (run / "journal.jsonl").write_bytes(b"".join(lines) + b'{"t":1,"eve')
    (run / "config.toml").write_text("[run")
    (run / "receipt.json").write_text("{}")
    found = reported(run, out=tmp_path)
    text = "\n".join(found.texts)
    assert f"1 of {len(lines)} lines of journal.jsonl are not events" in text
    assert "line 51" in text
    assert "11 bytes were left out" in text
    assert "config.toml cannot be read" in text
    assert "not a receipt" in text
    assert len(found.data["trees"]["r0-tree-chart"]["parent"]) > 30


# ---- strangers' directories ----


def test_nothing_from_a_run_becomes_markup(tmp_path: Path) -> None:
    kind = reported(unpacked("models-faults", tmp_path), out=tmp_path)
    hostile = reported(hostile_run(tmp_path / "evil"), out=tmp_path)
    tags = {tag for tag, _ in kind.elements}
    assert {tag for tag, _ in hostile.elements} == tags
    assert len(hostile.scripts) == len(kind.scripts)
    names = {name for _, attributes in hostile.elements for name in attributes}
    assert not {name for name in names if name.startswith("on")}
    assert any(MARKUP[:40] in text for text in hostile.texts)
    assert shown(MARKUP) in json.loads(json.dumps(hostile.data))["trees"]["r0-tree-chart"]["members"][0]
    raw = (tmp_path / "page.html").read_text()
    assert "\u2028" not in raw.split('id="data">')[1].split("</script>")[0]


def test_what_cannot_be_seen_is_escaped_on_pages_in_tables_and_on_terminals(tmp_path: Path) -> None:
    run = hostile_run(tmp_path / "evil")
    done = colt("report", str(run), "-o", str(tmp_path / "page.html"), "--assets", str(tmp_path / "charts"))
    said = [done.stdout, colt("show", str(run)).stdout, colt("show", str(run), "--json").stdout]
    said += [colt("compare", str(run)).stdout, colt("show", f"{tmp_path}/\u202eno").stderr]
    page = Read((tmp_path / "page.html").read_text())
    tables = [path.read_text() for path in (tmp_path / "charts").glob("*.csv")]
    texts = [*said, *page.texts, json.dumps(page.data, ensure_ascii=False), *tables]
    assert "\\u202e" in said[1]
    assert len(tables) > 5
    for text in texts:
        assert text.replace("\r\n", "\n") == shown(text.replace("\r\n", "\n"), lines=True)


def test_the_policy_allows_the_scripts_of_the_page_and_nothing_else(tmp_path: Path) -> None:
    found = reported(unpacked("builtin", tmp_path), out=tmp_path)
    (policy,) = [one["content"] for tag, one in found.elements if tag == "meta" and one.get("http-equiv")]
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    run = [script for script in found.scripts if not script.startswith('{"charts"')]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in run]
    assert rules["script-src"].split() == hashes
    loading = [one for _, one in found.elements if "src" in one or (one.get("href") or "#")[0] != "#"]
    assert not loading


def test_data_cannot_leave_its_script_element() -> None:
    text = page.data_json({"a": MARKUP, "b": "&amp;"})
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == {"a": MARKUP, "b": "&amp;"}


def test_a_task_is_no_way_out_of_the_directory(tmp_path: Path) -> None:
    unpacked("models", tmp_path)
    run = unpacked("builtin", tmp_path)
    (run / "journal.jsonl").write_text('{"t":0,"event":"turn","task":"../models"}\n')
    (seen,) = load_run(run)
    assert seen.receipt is None
    assert seen.folder == run / "models"


# ---- assets, bad arguments ----


def test_charts_are_also_pictures_and_tables(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures come with the extra report")
    run = unpacked("models", tmp_path)
    arguments = ("report", str(run), "-o", str(tmp_path / "page.html"), "--assets", str(tmp_path / "assets"))
    assert colt(*arguments).returncode == 0
    pictures = sorted(path.name for path in (tmp_path / "assets").glob("*.png"))
    for chart in ("best-trials", "best-seconds", "best-dollars", "fates", "roofline", "timeline", "seconds", "knobs-1"):
        assert f"1-models-{chart}.png" in pictures
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in (tmp_path / "assets").glob("*.png"))
    tree = list(csv.DictReader((tmp_path / "assets" / "1-models-tree.csv").open()))
    receipt = json.loads((run / "receipt.json").read_text())
    assert len(tree) == receipt["space"]["nodes"]
    knobs = list(csv.reader((tmp_path / "assets" / "1-models-knobs-1.csv").open()))
    assert knobs[0][-1] == "latency_us"


def overlapping(boxes: Sequence[Any]) -> list[tuple[int, int]]:
    """The places of boxes that lie over each other."""
    return [
        (one, other)
        for (one, a), (other, b) in itertools.combinations(enumerate(boxes), 2)
        if a.width and b.width and a.overlaps(b)
    ]


@pytest.mark.parametrize("name", ["models-faults", "no-winner", "interrupted", "builtin"])
def test_in_pictures_nothing_written_lies_over_anything_else(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures come with the extra report")
    (run,) = load_run(unpacked(name, tmp_path))
    for panel in live_panels(run):
        for chart in panel.charts:
            if chart.is_empty:
                continue
            picture = picture_of(chart)
            picture.canvas.draw()
            (axes,) = picture.axes
            for axis in (axes.xaxis, axes.yaxis):
                shown = [tick.label1 for tick in axis.get_major_ticks() if tick.label1.get_text()]
                assert overlapping([one.get_window_extent() for one in shown]) == [], chart.id
            texts = [one.get_window_extent() for one in (*picture.legends, axes.title, axes.xaxis.label)]
            assert overlapping([axes.get_window_extent(), *texts]) == [], chart.id


def test_formulas_stay_texts_in_a_spreadsheet(tmp_path: Path) -> None:
    from colt.views.report.assets import _cell

    assert _cell("=1+1") == "'=1+1"
    assert _cell(-1.5) == -1.5


def test_bad_arguments_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    run = unpacked("builtin", tmp_path)
    out = tmp_path / "page.html"
    assert "no such folder" in refused("report", str(tmp_path / "none"), "-o", str(out))
    assert "no journal.jsonl" in refused("report", str(tmp_path), "-o", str(out))
    assert "cannot be written" in refused("report", str(run), "-o", str(tmp_path / "none" / "page.html"))
    assert "cannot be written" in refused("report", str(run), "-o", str(tmp_path))
    assert "no such folder" in refused("report", str(run), str(tmp_path / "none"), "-o", str(out))
    (tmp_path / "file").touch()
    for assets in (tmp_path / "file", tmp_path / "file" / "charts", out, out / "charts"):
        assert re.search(
            "cannot be (written|both)", refused("report", str(run), "-o", str(out), "--assets", str(assets))
        )
    assert {path.name for path in tmp_path.iterdir()} == {"builtin", "file"}


def test_two_thousand_trials_make_a_small_page(tmp_path: Path) -> None:
    run = large_run(tmp_path, trials=2000, nodes=4000)
    found = reported(run, out=tmp_path)
    assert sum(len(one["x"]) for one in found.data["charts"]["r0-best-trials-chart"]["data"]) > 1900
    assert (tmp_path / "page.html").stat().st_size < 8e6


def test_of_very_many_trials_some_are_drawn_and_that_is_said() -> None:
    y = [1000.0 - at % 7 for at in range(9000)]
    y[4321], y[4322] = 1.0, 9999.0
    chart = Chart("c", "t", "trials", "latency in µs", [Series("a", list(range(9000)), y, texts=["x"] * 9000)])
    drawn = figure(chart)
    (trace,) = drawn["data"]
    assert 2000 < len(trace["x"]) == len(trace["y"]) == len(trace["hovertext"]) < 2600
    assert {1.0, 9999.0} <= set(trace["y"])
    assert "One of 4 trials is drawn" in drawn["note"]
    assert len(chart.rows()) == 9001


def test_of_very_many_lines_the_fastest_half_is_drawn_and_slower_ones_evenly() -> None:
    latencies = [float(at * 7919 % 3001 + 1) for at in range(3001)]
    chart = Parallel("k", "t", [Dimension("latency", latencies)], latencies, [[]] * 3001)
    drawn = [latencies[at] for at in chart.drawn()]
    half = MOST_LINES // 2
    assert drawn[:half] == [float(at) for at in range(1, half + 1)]
    steps = {later - sooner for sooner, later in itertools.pairwise(drawn[half:])}
    assert len(drawn) <= MOST_LINES
    assert steps == {20.0}
    assert sum(trace["x"].count(None) for trace in figure(chart)["data"]) == len(drawn)
    fastest = next(lines for name, _, lines in chart.groups() if name == "the fastest tenth")
    assert max(latencies[line] for line in fastest) <= 300  # of all, not of those drawn
    assert len(chart.rows()) == 3002


class Watched(list[float]):
    """Counts how often it is gone through."""

    times = 0

    def __iter__(self) -> Iterator[float]:
        self.times += 1
        return super().__iter__()


def test_the_ends_of_an_axis_are_looked_for_once_not_for_each_line() -> None:
    at = Watched(range(500))
    figure(Parallel("k", "t", [Dimension("latency", at)], at, [[]] * 500))
    assert at.times < 10


def test_neighbours_in_time_that_no_eye_tells_apart_are_one_span() -> None:
    bursts = [100.0 * burst + 0.25 * at for burst in range(40) for at in range(100)]
    found = merged(bursts, lambda at: (at, at + 0.125), str, 4000.0)
    assert len(found) == 40
    assert found[:2] == [(0.0, 24.875, "100 together"), (100.0, 124.875, "100 together")]
    alone = merged([*bursts[:500], 3000.0, 3900.0], lambda at: (at, at + 0.5), lambda at: f"trial {at:.0f}", 4000.0)
    assert alone[-2:] == [(3000.0, 3000.5, "trial 3000"), (3900.0, 3900.5, "trial 3900")]
    assert len(merged(bursts[:400], lambda at: (at, at + 0.5), str, 4000.0)) == 400


def test_a_long_table_says_how_many_rows_it_does_not_show() -> None:
    rows = tuple((f"row {at}",) for at in range(30))
    shown = page.render_part("parts.html.jinja", "text", Panel("p", "t", tables=[Table(("name",), rows, most=12)]))
    assert ("row 11<" in shown, "row 12<" in shown) == (True, False)
    assert "18 more rows are not shown" in shown


def altered(kept: int, pruned: int, measured: tuple[float, float] | None = None) -> SeenRun:
    """A run in which the largest member took a step of the small one over; theirs are the nodes 1 and 2."""
    happening: list[Event] = [events.Baseline(100.0)]
    for ticket, (by, value) in enumerate((("small", 2), ("large", 3))):
        schedule = Schedule("plain", "flat", (value,))
        edit = (Edit("C.i", value),)
        happening += [
            events.Selected(ticket, 0, by, by == "large", 1),
            events.Applied(ticket, ticket + 1, 0, by, by, edit, schedule, (), False),
            events.Scored(ticket + 1, 40.0 / (ticket + 1), "s", 0.5, "hit", False),
        ]
    happening.append(events.Altered(1, kept, pruned))
    for trial, latency in enumerate(measured or ()):
        happening += [events.Asked(trial, trial + 1, "small", 10.0), events.Timed(trial, "ok", latency, 0.1, 0.1)]
        happening.append(events.Measured(trial, "ok", latency, ""))
    state = fold(RunState(), [(0.1 * at, event) for at, event in enumerate(happening)])
    assert state.stray == 0
    return SeenRun(Path("run"), "run", state, state.task, None, {})


def test_course_alterations_tell_what_was_offered_against_what() -> None:
    run = altered(kept=2, pruned=1)
    found = taken_over(run)
    assert alterations_table(run, found).rows == (
        ("0", "large", "small", "20 µs predicted", "40 µs predicted", "2.00x, predicted", "the step of large"),
    )
    assert alterations_note(run, found) == (
        "One step was taken over by the largest member. Its own step was kept in 1 of 1, 2.00x as fast in the median."
    )
    run = altered(kept=1, pruned=2, measured=(30.0, 60.0))
    assert alterations_table(run, taken_over(run)).rows == (
        (
            *("0", "large", "small", "60 µs measured, 20 µs predicted", "30 µs measured, 40 µs predicted"),
            *("0.50x, measured", "the step of small"),
        ),
    )
    assert "kept in 0 of 1;" in alterations_note(run, taken_over(run))
    nothing = altered(kept=1, pruned=-1)
    assert alterations_table(nothing, taken_over(nothing)).rows[0][3:] == (
        *("nothing", "40 µs predicted", "-"),
        "the step of small",
    )


# ---- programs ----


@pytest.mark.real
@pytest.mark.usefixtures("real_listings")
def test_programs_are_shown_as_tvm_writes_them(tmp_path: Path) -> None:
    run = unpacked("models", tmp_path)
    (run / "winner.json").write_text("{")
    found = reported(run, out=tmp_path)
    text = "\n".join(found.texts)
    assert "def main(" in text
    assert "the saved module" in text


LISTING = """
0000000000001000 <main>:
    1000:\tmov    $0x0,%eax
    1010:\tvmovups (%rdi),%zmm1
    1020:\tvfmadd231ps (%rsi),%zmm1,%zmm0
    1030:\tvfmadd231ps 0x40(%rsi),%zmm1,%zmm2
    1040:\tadd    $0x40,%rdi
    1050:\tjne    1010 <main+0x10>
    1060:\tdec    %rcx
    1070:\tjne    1000 <main>
    1080:\tinc    %rdx
    1090:\tjb     1080 <main+0x80>
"""


def test_the_inner_loop_is_the_innermost_with_most_vector_arithmetic() -> None:
    loop = find_inner_loop(LISTING)
    assert (loop.arithmetic, loop.problem) == (2, "")
    assert [line.split()[0] for line in loop.lines] == ["vmovups", "vfmadd231ps", "vfmadd231ps", "add", "jne"]


def test_a_kernel_that_is_none_is_said(tmp_path: Path) -> None:
    assert "no kernel.so" in inner_loop(tmp_path / "kernel.so").problem
    (tmp_path / "kernel.so").write_bytes(b"simulated")
    assert inner_loop(tmp_path / "kernel.so").problem
    assert find_inner_loop("").problem == "the kernel has no loop"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (15510.0, "15,510"), (0.0058693, "0.005869"), (999.96, "1,000"), (12.0, "12")]
)
def test_figures_have_four_digits_and_no_powers(value: float, text: str) -> None:
    assert figures(value) == text
