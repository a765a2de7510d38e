"""A page in one file: style, scripts and data in it, nothing fetched, and a policy that lets no other script run.

Texts are escaped by the template, for people (:func:`colt.util.text.shown`) and for HTML; data is JSON in which nothing
can end its element. The policy names the scripts by their hashes, so that a script that got in all the same would not
run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from colt.errors import InputError
from colt.util.text import shown
from colt.util.version import __version__
from colt.views.report.content import Panel, RunContent
from colt.views.report.figure import figure
from colt.views.report.panels.tree import compact

WEB = Path(__file__).parent / "web"
SCRIPTS = ("theme.js", "tree.js", "charts.js")
"""Our own, in their order; Plotly comes before them."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
"""What a page may load: nothing. Plotly sets styles of elements."""
MISSING = "pages need Plotly and Jinja: pip install 'colt-tuner[report]'"


def report_page(runs: Sequence[RunContent], title: str = "", overlay: Panel | None = None) -> str:
    """The whole page. Raises :class:`InputError` if the extra ``report`` is not installed."""
    scripts = [plotly_js(), *(own_file(name) for name in SCRIPTS)]
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
    policy = f"{POLICY}; script-src {hashes}"
    return render(
        "report.html.jinja",
        runs=runs,
        title=title or " · ".join(dict.fromkeys(run.headline.program for run in runs)) or "COLT",
        policy=policy,
        style=safe(own_file("report.css")),
        data=safe(data_json(page_data(runs, overlay))),
        scripts=[safe(one) for one in scripts],
        overlay=overlay,
    )


def page_data(runs: Sequence[RunContent], overlay: Panel | None = None) -> dict[str, Any]:
    """Charts and trees by the ids of their places on the page."""
    charts, trees = {}, {}
    for prefix, panel in _panels(runs, overlay):
        charts.update({f"{prefix}{chart.id}-chart": figure(chart) for chart in panel.charts})
    for number, run in enumerate(runs):
        if run.tree is not None:
            trees[f"r{number}-tree-chart"] = compact(run.tree)
    return {"charts": charts, "trees": trees}


def _panels(runs: Sequence[RunContent], overlay: Panel | None) -> Iterator[tuple[str, Panel]]:
    if overlay is not None:
        yield "o-", overlay
    for number, run in enumerate(runs):
        yield from ((f"r{number}-", panel) for panel in run.panels)


def data_json(data: Any) -> str:
    """JSON that may stand in a script element: nothing in it ends one, or begins a comment or another script."""
    text = msgspec.json.encode(data).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def render(template: str, **values: Any) -> str:
    """A template with these values; texts are escaped. Raises as :func:`report_page`."""
    defaults = {
        "version": __version__,
        "home": "",
        "root": "",
        "policy": "",
        "style": "",
        "soon": "",
        "sources": (),
        "overlay": None,
    }
    return str(_environment().get_template(template).render(defaults | values))


def prepare() -> None:
    """Have Plotly and the templates in memory, so that the first page does not wait for them. Raises as
    :func:`report_page`."""
    plotly_js()
    for name in ("report.html.jinja", "parts.html.jinja", "runs.html.jinja"):
        _environment().get_template(name)


def render_part(template: str, macro: str, *values: Any) -> str:
    """What a macro of a template makes of these values."""
    return str(getattr(_environment().get_template(template).module, macro)(*values))


@cache
def _environment() -> Any:
    try:
        import jinja2
    except ImportError:
        raise InputError(MISSING) from None
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(WEB), autoescape=True, undefined=jinja2.StrictUndefined, finalize=_seen
    )


def _seen(value: Any) -> Any:
    """Every text that a template shows, but for markup of our own."""
    return shown(value, lines=True) if type(value) is str else value


def safe(text: str) -> Any:
    """A text of our own, which the template takes as it is."""
    from markupsafe import Markup

    return Markup(text)


def own_file(name: str) -> str:
    """A style or a script that comes with COLT."""
    return (WEB / name).read_text(encoding="utf-8")


@cache
def plotly_js() -> str:
    """Plotly's script, from its Python package. Raises :class:`InputError` if that is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise InputError(MISSING) from None
    text = str(get_plotlyjs())
    if "</script" in text.lower():
        raise InputError("this version of Plotly cannot stand in a page; pip install -c constraints.txt")
    return text
