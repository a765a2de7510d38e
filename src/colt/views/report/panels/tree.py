"""The shared tree as columns of data: what the page needs to draw, search and explain any of its nodes."""

from __future__ import annotations

from typing import Any

from colt.knobs import Edit, Jump, Transformation, describe_transformation
from colt.views.report.panels.knobs import SketchKey, knob_names
from colt.views.report.source import SeenRun
from colt.views.state import ROOT, SeenNode

MOST_NODES = 200_000
"""Nodes that a page holds; later ones are counted."""
LONGEST_STEP = 200
FLAGS = ("alias", "opening", "alteration", "pruned", "closed")
"""Bits of ``flags``, the lowest first."""


def tree_data(run: SeenRun) -> dict[str, Any]:
    """The tree in columns, a parent always before its children; texts and names stand once, and are referred to.

    ``parent`` holds places in the columns, ``steps`` and ``by`` places in ``texts`` and ``members``.
    """
    task, columns = run.task, _Columns(run)
    for node in list(task.nodes.values())[:MOST_NODES]:
        columns.add(node)
    return columns.data | {
        "members": columns.members,
        "texts": list(columns.texts),
        "best": [columns.places[node] for node in run.best_path if node in columns.places],
        "left_out": max(0, len(task.nodes) - MOST_NODES),
    }


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


class _Columns:
    def __init__(self, run: SeenRun) -> None:
        self.members = run.members
        frequent = dict.fromkeys(word[:LONGEST_STEP] for word in ("", "hit", "even", "regression", *self.members))
        self.texts: dict[str, int] = {word: number for number, word in enumerate(frequent)}  # short numbers for these
        self.places: dict[int, int] = {}
        columns = (
            "id",
            "parent",
            "by",
            "next",
            "predicted",
            "measured",
            "outcome",
            "steps",
            "sketch",
            "trial",
            "flags",
        )
        self.data: dict[str, list[Any]] = {name: [] for name in columns}
        self._run = run
        self._by = {name: place for place, name in enumerate(self.members)}
        self._names = knob_names(run)

    def add(self, node: SeenNode) -> None:
        """Add a row."""
        self.places[node.id] = len(self.places)
        schedule, trial = node.schedule, self._run.task.trial_of(node)
        sketch = "" if schedule is None else f"{schedule.variant}/{schedule.sketch}"
        row = {
            "id": node.id,
            "parent": self.places.get(node.parent, -1),
            "by": self._by.get(node.by, -1),
            "next": self._text(node.next_member),
            "predicted": rounded(node.predicted_us),
            "measured": rounded(self._run.task.latency_of(node)),
            "outcome": self._text(node.outcome),
            "steps": [self._text(step) for step in self._steps(node)],
            "sketch": self._text(sketch),
            "trial": -1 if trial is None else trial.id,
            "flags": sum(1 << bit for bit, name in enumerate(FLAGS) if getattr(node, name)),
        }
        for name, value in row.items():
            self.data[name].append(value)

    def _text(self, text: str) -> int:
        return self.texts.setdefault(text[:LONGEST_STEP], len(self.texts))

    def _steps(self, node: SeenNode) -> list[str]:
        steps = node.transformation
        if node.id != ROOT and not steps and node.schedule is not None:
            key: SketchKey = (node.schedule.variant, node.schedule.sketch)
            edits = (Edit(name, value) for name, value in zip(self._names[key], node.schedule.values, strict=False))
            steps = (Jump(*key), *edits)
        return step_texts(steps)


def step_texts(steps: Transformation) -> list[str]:
    """Each step in words."""
    return [describe_transformation((step,)) for step in steps]


def rounded(value: float | None) -> float | None:
    """Five digits, which is more than a timing has."""
    return None if value is None else float(f"{value:.5g}")
