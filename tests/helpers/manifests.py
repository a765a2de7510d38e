"""Manifests of models of which little is known."""

from __future__ import annotations

from typing import Any

from colt.models.manifest import SCHEMA, Manifest


def bare(**known: Any) -> Manifest:
    """A manifest of a model of which nothing else is known."""
    empty: dict[str, Any] = {
        "schema": SCHEMA,
        "name": "m",
        "inputs": (),
        "outputs": (),
        "target": "{}",
        "threads": 2,
        "needs": (),
        "weights": (),
        "tasks": (),
        "versions": {},
        "seconds": {},
        "trials": 0,
        "usd": 0.0,
    }
    return Manifest(**(empty | known))
