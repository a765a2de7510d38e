"""All charts of a report as PNG, and their data as CSV.

Matplotlib draws the pictures: Plotly's own way needs a browser, which a machine that measures rarely has.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from colt.errors import InputError
from colt.util.files import write_atomically
from colt.util.text import shown
from colt.views.report.chart import GREY, AnyChart, Chart, Parallel, Series, colour_of, figures, symbol_of
from colt.views.report.content import RunContent
from colt.views.report.panels.tree import FLAGS
from colt.views.report.source import SeenRun

MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "cross": "P",
    "x": "X",
    "star": "*",
    "hexagon": "h",
}
PICTURE = ".png"
WIDTH = 9.0
"""Inches; 1,350 pixels."""
LONGEST = 80
"""Characters of a text in a picture."""
INCH = 80
"""Pixels of a page, by which the height of a chart is given, for an inch."""


def assets_of(runs: Sequence[SeenRun], contents: Sequence[RunContent]) -> dict[str, bytes]:
    """``RUN-CHART.png`` and ``.csv`` for every chart, and the tree as CSV, by the names of their files.

    Raises :class:`InputError` if Matplotlib is not installed.
    """
    made: dict[str, bytes] = {}
    for number, (run, content) in enumerate(zip(runs, contents, strict=True), 1):
        prefix = f"{number}-{_file_name(run.label)}"
        if content.tree is not None:
            made[f"{prefix}-tree.csv"] = _csv(tree_rows(content.tree))
        for panel in content.panels:
            for table in panel.tables:
                made[f"{prefix}-{panel.id}-table.csv"] = _csv([table.head, *table.rows])
            for chart in panel.charts:
                made[f"{prefix}-{chart.id}.csv"] = _csv(chart.rows())
                if not chart.is_empty:
                    made[f"{prefix}-{chart.id}{PICTURE}"] = draw(chart)
    return made


def require_apart(folder: Path, page: Path) -> None:
    """Raise :class:`InputError` if the page would stand where the folder is to be, or around it."""
    whole = folder.absolute()
    if page.absolute() in (whole, *whole.parents):
        raise InputError(f"{page} cannot be both the page and the folder of its charts; name two places")


def write_assets(folder: Path, assets: Mapping[str, bytes]) -> int:
    """Write the files, each completely or not at all. The number of pictures. Raises :class:`InputError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in assets.items():
            write_atomically(folder / name, content)
    except OSError as error:
        raise InputError(f"{error.filename or folder} cannot be written: {error.strerror or error}") from None
    return sum(name.endswith(PICTURE) for name in assets)


def _file_name(label: str) -> str:
    return re.sub(r"[^\w.-]+", "_", label).strip("._") or "run"


def _csv(rows: Sequence[Sequence[object]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([[_cell(value) for value in row] for row in rows])
    return out.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> object:
    """A text as it is shown; one that a spreadsheet would take for a formula gets a quotation mark."""
    if not isinstance(value, str):
        return value
    text = shown(value, lines=True)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text


def tree_rows(tree: dict[str, Any]) -> list[list[object]]:
    """The tree, a node a row."""
    head = [
        "node",
        "parent",
        "by",
        "next",
        "predicted_us",
        "measured_us",
        "outcome",
        "trial",
        "sketch",
        "change",
        *FLAGS,
    ]
    texts, ids = tree["texts"], tree["id"]
    rows: list[list[object]] = [[*head]]
    for at, node in enumerate(ids):
        by, parent, flags = tree["by"][at], tree["parent"][at], tree["flags"][at]
        rows.append(
            [
                node,
                ids[parent] if parent >= 0 else None,
                tree["members"][by] if by >= 0 else "",
                texts[tree["next"][at]],
                tree["predicted"][at],
                tree["measured"][at],
                texts[tree["outcome"][at]],
                tree["trial"][at] if tree["trial"][at] >= 0 else None,
                texts[tree["sketch"][at]],
                "; ".join(texts[step] for step in tree["steps"][at]),
                *(bool(flags & (1 << bit)) for bit in range(len(FLAGS))),
            ]
        )
    return rows


def draw(chart: AnyChart) -> bytes:
    """The chart as PNG. Raises :class:`InputError` if Matplotlib is not installed."""
    out = io.BytesIO()
    picture_of(chart).savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def picture_of(chart: AnyChart) -> Any:
    """The chart as a figure of Matplotlib. Raises as :func:`draw`."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("pictures need Matplotlib: pip install 'colt-tuner[report]'") from None
    picture = Figure(figsize=(WIDTH, chart.height / INCH), dpi=150, layout="constrained")
    axes = picture.subplots()
    axes.set_title(_plain(chart.title))
    if isinstance(chart, Parallel):
        _draw_parallel(axes, chart)
    else:
        _draw_series(axes, chart)
    if isinstance(chart, Parallel) or (chart.legend and len(chart.series) > 1):
        picture.legend(frameon=False, ncols=5, fontsize="small", loc="outside lower center")
    return picture


def _plain(text: str) -> str:
    """As it is shown, as far as there is room. Matplotlib reads what stands between dollars as mathematics."""
    text = shown(text)
    return (text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…").replace("$", r"\$")


def _draw_series(axes: Any, chart: Chart) -> None:
    for one in chart.series:
        _draw_one(axes, one)
    axes.set_xlabel(_plain(chart.x_title))
    axes.set_ylabel(_plain(chart.y_title))
    if chart.log_x:
        axes.set_xscale("log")
        _whole_figures(axes.xaxis, *axes.get_xlim())
    else:
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    if chart.log_y:
        axes.set_yscale("log")
        _whole_figures(axes.yaxis, *axes.get_ylim())
    if not chart.y_title:
        axes.set_ylim(len({row for one in chart.series for row in one.y}) - 0.5, -0.5)
    axes.grid(alpha=0.3)


def _whole_figures(axis: Any, low: float, high: float) -> None:
    """Ticks of a logarithmic axis: at 1, 2 and 5 of each decade, at the beginning of each of many, a few within one."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    decades = math.log10(high / low)
    steps = (1.0, 2.0, 5.0) if decades <= 4 else (1.0,)
    axis.set_major_locator(MaxNLocator(5) if decades < 1 else LogLocator(subs=steps))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, place: figures(value))


def _draw_one(axes: Any, one: Series) -> None:
    colour, label = colour_of(one.place), _plain(one.name)
    x = [_plain(value) if isinstance(value, str) else value for value in one.x]
    y = [_plain(value) if isinstance(value, str) else value for value in one.y]
    if one.kind == "bars":
        axes.barh(y, x, color=colour, label=label)
    elif one.kind == "spans":
        lengths = [(end or 0) - start for start, end in zip(x, one.x_end, strict=True)]  # type: ignore[operator]
        axes.barh(y, lengths, left=x, color=colour, label=label, height=0.7)
    elif one.kind == "points":
        axes.scatter(x, y, color=colour, marker=MARKERS[symbol_of(one.place)], s=22, label=label, alpha=0.8)
    else:
        style = {"drawstyle": "steps-post"} if one.kind == "steps" else {}
        axes.plot(
            x,
            y,
            color="black" if one.place < 0 else colour,
            label=label,
            linewidth=2,
            linestyle="--" if one.dashed else "-",
            **style,
        )


def _draw_parallel(axes: Any, chart: Parallel) -> None:
    """As on the page: the fastest on top, and the values in words beside each axis."""
    places = range(len(chart.dimensions))
    scaled = [[one.scaled(value) for value in one.at] for one in chart.dimensions]
    for name, place, lines in reversed(chart.groups()):
        style = {"color": colour_of(place), "alpha": 0.9 if place == 0 else 0.5, "lw": 1.8 if place == 0 else 1}
        for at, line in enumerate(lines):
            axes.plot(places, [one[line] for one in scaled], label=name if at == 0 else None, **style)
    for at, one in enumerate(chart.dimensions):
        axes.axvline(at, color=GREY, lw=1)
        for value, text in one.ticks:
            style = {"fontsize": 6, "va": "center", "bbox": {"pad": 0.5, "color": "white", "alpha": 0.75}, "zorder": 5}
            axes.annotate(_plain(text), (at, one.scaled(value)), (4, 0), textcoords="offset points", **style)
    axes.set_xticks(list(places), [_plain(one.label) for one in chart.dimensions], fontsize="small")
    axes.set_xlim(-0.2, len(chart.dimensions) - 0.6)
    axes.set_yticks([])
