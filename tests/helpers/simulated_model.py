"""What a language model that reads its prompt, but knows nothing of performance, would answer: legal edits."""

from __future__ import annotations

import json
import random
import re
from typing import Any

_SKETCH = re.compile(r"^## ([\w-]+/[\w-]+?)(?:(\d+) to [a-z]+(\d+))?(?::.*)?$", re.MULTILINE)
_TILE = re.compile(r"^\S+=\[[\d,]+\]")
_MODELS = re.compile(r"^(\S+): (?:built-in expert, ranked as )?[\d.]+B(?:,|$)", re.MULTILINE)
_WANTED = re.compile(r"Give (\d+|one)")


def simulated_reply(body: dict[str, Any], rng: random.Random, next_model: str | None = None) -> str:
    """A reply in form to the chat request ``body``, made from nothing but what the prompt says.

    The model to be asked next is any of those that the prompt names, unless it is given.
    """
    system, user = (message["content"] for message in body["messages"])
    wanted = _WANTED.search(user)
    assert wanted is not None, user
    count = 1 if wanted[1] == "one" else int(wanted[1])
    proposals = [_proposal(system, user, rng) for _ in range(count)]
    return json.dumps({"proposals": proposals, "next_model": next_model or rng.choice(_MODELS.findall(system))})


def _proposal(system: str, user: str, rng: random.Random) -> dict[str, Any]:
    lines = user.splitlines()
    tiles = [token for token in lines[2].split() if _TILE.match(token)] if len(lines) > 2 else []
    if "the untuned program" in lines[1] or not tiles:
        return {"why": "by chance", "sketch": rng.choice(_sketches(system)), "edits": ""}
    name, value = rng.choice(tiles).split("=")
    parts = json.loads(value)
    for _ in range(rng.randint(1, 3)):
        _move(parts, rng)
    return {"why": "by chance", "sketch": None, "edits": f"{name}=[{','.join(map(str, parts))}]"}


def _move(parts: list[int], rng: random.Random) -> None:
    """A prime factor from one part to another that is not the innermost, of which there is a greatest."""
    movable = [place for place, part in enumerate(parts) if part > 1]
    if len(parts) < 2 or not movable:
        return
    source = rng.choice(movable)
    target = rng.choice([place for place in range(len(parts) - 1) if place != source] or [source])
    prime = next(p for p in range(2, parts[source] + 1) if parts[source] % p == 0)
    parts[source] //= prime
    parts[target] *= prime


def _sketches(system: str) -> list[str]:
    found = []
    for name, first, last in _SKETCH.findall(system):
        found += [f"{name}{number}" for number in range(int(first), int(last) + 1)] if first else [name]
    return found
