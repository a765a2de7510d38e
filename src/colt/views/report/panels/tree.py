"""The shared tree as columns of data: what the page needs to draw, search and explain any of its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from colt.knobs import Edit, Jump, Transformation, describe_transformation, steps_to
from colt.moves import Move
from colt.util.text import shown
from colt.views.report.panels.knobs import SketchKey
from colt.views.report.source import SeenRun
from colt.views.seen import ROOT, SeenNode

MOST_NODES = 200_000
"""Nodes that a page holds; later ones are counted."""
LONGEST_STEP = 200
FLAGS = ("alias", "opening", "alteration", "pruned", "closed")
"""Bits of ``flags``, the lowest first."""


def tree_data(run: SeenRun, names: Mapping[SketchKey, list[str]]) -> dict[str, Any]:
    """The tree in columns, a parent always before its children; texts and names stand once, and are referred to.

    ``names`` are those of :func:`colt.views.report.panels.knobs.knob_names`. ``parent`` holds places in the columns,
    ``steps`` and ``by`` places in ``texts`` and ``members``.
    """
    task, members = run.task, run.members
    nodes = list(islice(task.nodes.values(), MOST_NODES))
    places = {node.id: place for place, node in enumerate(nodes)}
    trials = [task.trial_of(node) for node in nodes]
    by = {name: place for place, name in enumerate(members)}
    texts = _Texts(("", "hit", "even", "regression", *members))  # short numbers for these
    return {
        "id": [node.id for node in nodes],
        "parent": [places.get(node.parent, -1) for node in nodes],
        "by": [by.get(node.by, -1) for node in nodes],
        "next": [texts.place_of(node.next_member) for node in nodes],
        "predicted": [rounded(node.predicted_us) for node in nodes],
        "measured": [
            rounded(task.baseline_us if node.id == ROOT else None if trial is None else trial.latency_us)
            for node, trial in zip(nodes, trials, strict=True)
        ],
        "outcome": [texts.place_of(node.outcome) for node in nodes],
        "steps": [[texts.place_of_step(step) for step in _steps(node, names)] for node in nodes],
        "sketch": [texts.place_of(_sketch(node)) for node in nodes],
        "trial": [-1 if trial is None else trial.id for trial in trials],
        "flags": [sum(1 << bit for bit, flag in enumerate(FLAGS) if getattr(node, flag)) for node in nodes],
        "members": [shown(name) for name in members],
        "texts": list(texts.places),
        "best": [places[node] for node in run.best_path if node in places],
        "left_out": len(task.nodes) - len(nodes),
    }


def tree_note(run: SeenRun) -> str:
    """What the marks of nodes mean, as far as there are any."""
    if len(run.task.nodes) == 1:
        return "The tree has only its root."
    pruned = " Faded nodes were pruned by course alterations." if run.task.alterations else ""
    return f"Each mark is a schedule, in the colour and shape of who made it; large outlined ones are closed.{pruned}"


def compact(tree: dict[str, Any]) -> dict[str, Any]:
    """The same tree as a page holds it: most nodes have no trial, and most trees number their nodes from 0 on.

    ``timed`` has place, latency and trial of those that have any; ``id`` is left out if it is the place.
    """
    timed = [
        (place, latency, trial)
        for place, (latency, trial) in enumerate(zip(tree["measured"], tree["trial"], strict=True))
        if latency is not None or trial >= 0
    ]
    kept = {name: column for name, column in tree.items() if name not in ("measured", "trial")}
    if kept["id"] == list(range(len(kept["id"]))):
        del kept["id"]
    return kept | {"timed": timed}


class _Texts:
    """Texts, each of them once, and the place of each."""

    def __init__(self, first: Iterable[str]) -> None:
        self.places: dict[str, int] = {}
        self._steps: dict[Edit | Jump | Move, int] = {}
        for text in first:
            self.place_of(text)

    def place_of(self, text: str) -> int:
        return self.places.setdefault(shown(text[:LONGEST_STEP]), len(self.places))

    def place_of_step(self, step: Edit | Jump | Move) -> int:
        place = self._steps.get(step)
        if place is None:
            place = self._steps[step] = self.place_of(describe_transformation((step,)))
        return place


def _steps(node: SeenNode, names: Mapping[SketchKey, list[str]]) -> Transformation:
    """The node's transformation; for an opening, which has none, all that its schedule sets."""
    schedule = node.schedule
    if node.transformation or schedule is None or node.id == ROOT:
        return node.transformation
    key: SketchKey = (schedule.variant, schedule.sketch)
    return steps_to(schedule, names.get(key, []))


def _sketch(node: SeenNode) -> str:
    return "" if node.schedule is None else f"{node.schedule.variant}/{node.schedule.sketch}"


def rounded(value: float | None) -> float | None:
    """Five digits, which is more than a timing has."""
    return None if value is None else float(f"{value:.5g}")
