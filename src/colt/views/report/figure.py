"""Charts as Plotly's figures, in plain data.

Plotly reads texts as a kind of HTML: all of them are escaped. Colours of text and grid are the page's, which knows
whether it is dark.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from colt.util.text import shown
from colt.views.report.chart import GREY, AnyChart, Chart, Dimension, Parallel, Series, colour_of, figures, symbol_of

MOST_POINTS = 2500
"""Points that a chart draws, so that it pans smoothly; its CSV has all of them."""
MANY = 500
"""Points from which marks get smaller."""


def figure(chart: AnyChart) -> dict[str, Any]:
    """Data and layout for ``Plotly.react``, and what is said instead if it is ``empty``."""
    if isinstance(chart, Parallel):
        return _parallel(chart)
    points = sum(len(one.x) for one in chart.series)
    many = points > MANY
    step = math.ceil(sum(len(one.x) for one in chart.series if one.kind == "points") / MOST_POINTS)
    if step > 1:
        chart = replace(chart, series=[_thinned(one, step) if one.kind == "points" else one for one in chart.series])
    return {
        "data": [_trace(one, many) for one in chart.series],
        "layout": _layout(chart),
        "title": shown(chart.title),
        "note": f"One of {step} trials is drawn, and each member's fastest and slowest." if step > 1 else "",
        "empty": chart.empty if chart.is_empty else "",
    }


def _thinned(one: Series, step: int) -> Series:
    """One of ``step`` points, and those at the ends of both axes."""
    kept = set(range(0, len(one.x), step))
    for values in (one.x, one.y):
        numbers = [(value, at) for at, value in enumerate(values) if isinstance(value, int | float)]
        kept |= {min(numbers)[1], max(numbers)[1]} if numbers else set()
    places = sorted(kept)
    texts = [one.texts[at] for at in places] if one.texts else ()
    return replace(one, x=[one.x[at] for at in places], y=[one.y[at] for at in places], texts=texts)


def plain(text: object) -> str:
    """Any text so that Plotly shows it as people are to see it."""
    return html.escape(shown(str(text)), quote=False)


def _trace(one: Series, many: bool) -> dict[str, Any]:
    colour = colour_of(one.place)
    texts = [plain(text) for text in one.texts]
    base: dict[str, Any] = {"name": plain(one.name), "x": _axis(one.x), "y": _axis(one.y)}
    base |= {"hovertext": texts, "hoverinfo": "text"} if texts else {}
    if one.kind == "bars":
        return base | {"type": "bar", "orientation": "h", "marker": {"color": colour}}
    if one.kind == "spans":
        return base | _span_bars(one, colour)
    if one.kind in ("line", "steps"):
        line = {"color": colour, "width": 2.5, "dash": "dash" if one.dashed else "solid"}
        shape = {"shape": "hv"} if one.kind == "steps" else {}
        return base | {"type": "scatter", "mode": "lines", "line": line | shape}
    size = 4 if many else 8
    marker = {"color": colour, "symbol": symbol_of(one.place), "size": size, "opacity": 0.6 if many else 0.85}
    return base | {"type": "scatter", "mode": "markers", "marker": marker}


def _axis(values: Any) -> list[Any]:
    return [plain(value) if isinstance(value, str) else value for value in values]


def _span_bars(one: Series, colour: str) -> dict[str, Any]:
    starts = [float(start or 0) for start in one.x]
    lengths = [(end or 0) - start for start, end in zip(starts, one.x_end, strict=True)]
    marker = {"color": colour, "opacity": 0.35 if colour == GREY else 0.9, "line": {"width": 0}}
    return {"type": "bar", "orientation": "h", "base": starts, "x": lengths, "marker": marker, "width": 0.7}


FEW = 3
"""Ticks of a logarithmic axis from which Plotly labels every digit of a decade, so that labels lie over each other."""


def _logarithmic(values: Sequence[object]) -> dict[str, Any]:
    """A vertical logarithmic axis with whole figures: at 1, 2 and 5 of each decade, or at its beginning if
    there are many, or a few within one, of which Plotly draws more than its trials take up."""
    found = [value for value in values if isinstance(value, int | float) and value > 0]
    decades = math.log10(max(found) / min(found)) if found else 1.0
    ticks = {"nticks": FEW} if decades < 0.8 else {"dtick": "D2" if decades <= 4 else 1}
    return {"type": "log", "tickformat": ",~r", **ticks}


def _layout(chart: Chart) -> dict[str, Any]:
    rows = not chart.y_title
    y: dict[str, Any] = {"automargin": True, "title": {"text": plain(chart.y_title), "standoff": 8}}
    if rows:
        y |= {"type": "category", "autorange": "reversed"}
    elif chart.log_y:
        y |= _logarithmic([value for one in chart.series for value in one.y])
    x: dict[str, Any] = {"automargin": True, "title": {"text": plain(chart.x_title), "standoff": 8}}
    if not chart.log_x:
        x["rangemode"] = "tozero"
    else:
        x |= {"type": "log", "tickformat": ",~r", "nticks": FEW}
    legend = chart.legend and len(chart.series) > 1
    return {
        "height": chart.height,
        "margin": {"l": 64, "r": 16, "t": 12, "b": 48},
        "showlegend": legend,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "itemsizing": "constant"},
        "barmode": "stack" if chart.stacked else "overlay",
        "hovermode": "closest",
        "xaxis": x,
        "yaxis": y,
        "bargap": 0.3,
    }


AXIS = 96
"""Pixels across that an axis with its words needs."""
SPREAD = 0.012
"""How far lines through the same value stand apart, of the height of the chart."""


def _parallel(chart: Parallel) -> dict[str, Any]:
    """Lines over one axis for each knob; the slower groups are drawn first, so that the fastest lie on top."""
    scaled = [[one.scaled(value) for value in one.at] for one in chart.dimensions]
    traces = [_lines(chart, scaled, lines, name, place) for name, place, lines in chart.groups()]
    count = len(chart.dimensions)
    axis = {"tickvals": list(range(count)), "ticktext": [plain(one.label) for one in chart.dimensions], "side": "top"}
    return {
        "data": traces[::-1],
        "layout": {
            "height": chart.height,
            "margin": {"l": 16, "r": 16, "t": 64, "b": 8},
            "legend": {"orientation": "h", "y": -0.02, "yanchor": "top", "x": 0, "traceorder": "reversed"},
            "hovermode": "closest",
            "xaxis": {**axis, "range": [-0.3, count - 0.5], "automargin": True, "showgrid": False, "zeroline": False},
            "yaxis": {"visible": False, "range": [-0.06, 1.06]},
            "annotations": [note for at, one in enumerate(chart.dimensions) for note in _ticks(at, one)],
            "shapes": [{"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1} for at in range(count)],
        },
        "title": shown(chart.title),
        "note": "",
        "width": AXIS * count,
        "empty": chart.empty if chart.is_empty else "",
    }


def _ticks(at: int, one: Dimension) -> list[dict[str, Any]]:
    style = {"showarrow": False, "xanchor": "left", "xshift": 5, "font": {"size": 11}}
    return [{"x": at, "y": one.scaled(value), "text": plain(text), **style} for value, text in one.ticks]


def _lines(
    chart: Parallel, scaled: Sequence[Sequence[float]], lines: Sequence[int], name: str, place: int
) -> dict[str, Any]:
    x: list[float | None] = []
    y: list[float | None] = []
    texts = []
    for line in lines:
        apart = SPREAD * ((line * 0.618) % 1 * 2 - 1)
        x += [*range(len(scaled)), None]
        y += [*(round(one[line] + (apart if at < len(scaled) - 1 else 0), 4) for at, one in enumerate(scaled)), None]
        words = [*chart.values[line], f"{figures(chart.latency_us[line])} µs"]
        labels = [f"{one.label} = {word}" for one, word in zip(chart.dimensions, words, strict=False)]
        texts += [plain(f"{label}; {words[-1]}") for label in labels] + [""]
    width = 2.2 if place == 0 else 1.3
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "hovertext": texts,
        "hoverinfo": "text",
        "opacity": 0.9 if place == 0 else 0.55,
        "line": {"color": colour_of(place), "width": width},
    }
