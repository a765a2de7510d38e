"""Whole trees, compared node by node with stored ones: any change of the search's behaviour shows here.

After a change that is meant, look at what moved and store the new trees::

    COLT_STORE_GOLDEN=1 python -m pytest tests/search/test_golden_trees.py && git diff tests/search/golden
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from colt import events
from colt.knobs import show_value
from colt.options import SearchConfig
from colt.search.tree import Node
from tests.helpers.toyworld import LineSpace, World

GOLDEN = Path(__file__).parent / "golden"
ASKS, TRIALS = 8, 5
"""Batches, and trials in each."""
ERRORS, CRASHES = 0.12, 0.15
"""Share of calls without answer, with an illegal edit, with an invalid next member (each), and of trials that crash."""

PRESETS: dict[str, SearchConfig] = {
    "default": SearchConfig.preset("default"),
    "paper": SearchConfig.preset("paper", iterations_per_trial=2),
    "several": SearchConfig.preset("default", proposals_per_call=3, widening_coefficient=0.0, branching=3),
    "exhausted": SearchConfig.preset("default", widening_coefficient=0.0),
}


@pytest.mark.parametrize("name", PRESETS)
def test_tree_is_the_stored_one(name: str) -> None:
    found = record(grow(name))
    path = GOLDEN / f"{name}.json"
    if os.environ.get("COLT_STORE_GOLDEN"):
        path.write_text(layout(found))
    stored = json.loads(path.read_text())
    for part in stored:
        assert found[part] == stored[part], f"{part} differs"
    assert found.keys() == stored.keys()


def test_stored_trees_show_every_feature_of_the_search() -> None:
    """A golden tree guards only what happens in it."""
    seen = {flag for name in PRESETS for node in stored_nodes(name) for flag in node["flags"].split()}
    assert seen >= {"pruned", "alteration", "alias", "counted", "measured", "crashed", "failed-visits", "closed"}
    assert {node["by"] for name in PRESETS for node in stored_nodes(name)} >= {"random", "small", "middle", "large"}


def stored_nodes(name: str) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = json.loads((GOLDEN / f"{name}.json").read_text())["nodes"]
    return nodes


def grow(name: str) -> World:
    if name == "exhausted":
        return exhaust(World(PRESETS[name], seed=7, error_rate=ERRORS, openings=2, space=LineSpace(4)))
    world = World(PRESETS[name], seed=7, error_rate=ERRORS, openings=24)
    for _ in range(ASKS):
        world.tell_all(world.search.ask(TRIALS, world.propose), CRASHES)
    return world


def exhaust(world: World) -> World:
    """Until the root closes."""
    while world.search.iterate(world.propose):
        pass
    world.tell_all(world.search.ask(9, world.propose))
    return world


def record(world: World) -> dict[str, Any]:
    """The tree and all that was derived beside it, as plain data."""
    search = world.search
    fell_back = [event.what for event in world.events if isinstance(event, events.FellBack)]
    asked = [event.node for event in world.events if isinstance(event, events.Asked)]
    return {
        "iterations": search.iterations,
        "streak": search.tree.streak,
        "best_us": round(search.tree.values.best_us, 6),
        "general_residual": round(search.tree.values.general_residual, 6),
        "fell_back": {what: fell_back.count(what) for what in sorted(set(fell_back))},
        "asked": asked,
        "models": [member_record(search.pool.records[name]) for name in search.pool.records],
        "nodes": [node_record(node) for node in search.tree.nodes],
    }


def member_record(member: Any) -> dict[str, Any]:
    fields = ("calls", "errors", "fallbacks", "predicted_hits", "predicted_regressions", "measured_hits")
    more = ("measured_regressions", "alterations", "alterations_kept")
    return {"name": member.spec.name, **{field: getattr(member, field) for field in (*fields, *more)}}


def node_record(node: Node) -> dict[str, Any]:
    schedule = node.facts.schedule
    values = " ".join(show_value(value).replace(" ", "") for value in schedule.values)
    return {
        "id": node.id,
        "parent": node.parent.id if node.parent else None,
        "by": node.by,
        "next": node.next_member,
        "n": node.n,
        "w": round(node.w, 6),
        "flags": flags(node),
        "schedule": f"{schedule.sketch} {values}".strip(),
    }


def flags(node: Node) -> str:
    measured = node.facts.measured_us
    said = {
        "measured": measured is not None and measured < float("inf"),
        "crashed": measured == float("inf"),
        "alias": node.facts.node is not node,
        "pruned": node.pruned,
        "alteration": node.alteration,
        "counted": node.counted,
        "failed-visits": node.failed_visits > 0,
        "closed": node.closed,
    }
    return " ".join(flag for flag, is_so in said.items() if is_so)


def layout(tree: dict[str, Any]) -> str:
    """JSON with one node to a line, so that a change can be read in a diff."""
    lines = []
    for key, value in tree.items():
        if key in ("nodes", "models"):
            rows = ",\n".join(f"    {json.dumps(row)}" for row in value)
            lines.append(f'  "{key}": [\n{rows}\n  ]')
        else:
            lines.append(f'  "{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"
