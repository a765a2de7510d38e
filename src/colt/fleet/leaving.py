"""Nodes that the cluster takes away: Ray calls it draining, and does it with machines that are lent for a time.

A node that is drained is given no more work. It ends once it has none, or when whoever lends it takes it, at a time
that may be said beforehand. The head of the cluster knows which nodes these are.
"""

from __future__ import annotations

from time import time
from typing import Any, Protocol

_ON_HEAD = {"node:__internal_head__": 0.001}
"""What only the head's node has."""


class Lookout(Protocol):
    """A process that the head answers."""

    def drained(self) -> dict[str, int]:
        """When nodes that are drained will be gone, by their ids: milliseconds since 1970, 0 if that is not said."""
        ...


def _lookout() -> type[Lookout]:
    """Made here, the class is sent whole: the head's machine needs no COLT for it."""

    class _Asking:
        def drained(self) -> dict[str, int]:
            import ray

            found: dict[str, int] = ray._private.state.state.get_draining_nodes()
            return found

    return _Asking


class Leavers:
    """Which nodes leave, as the head says. For one thread."""

    def __init__(self) -> None:
        self.deaf = ""
        """Why nothing is heard of nodes that leave; empty if it is."""
        self._class = _lookout()
        self._there: Any = None
        self._asked: Any = None
        self._known: dict[str, int] = {}

    def found(self) -> dict[str, str]:
        """What becomes of nodes that leave, in words, by their ids. Raises what Ray raises where it cannot be asked."""
        from ray.util.client import ray as client

        deadlines_ms = self._heard_by_client() if client.is_connected() else self._heard_here()
        return {identity: _in_words(deadline_ms) for identity, deadline_ms in deadlines_ms.items()}

    def _heard_here(self) -> dict[str, int]:
        """Ray keeps this to itself: another version of it may call it something else."""
        if not self.deaf:
            try:
                self._known = self._class().drained()
            except (AttributeError, TypeError) as error:
                self.deaf = f"this version of Ray does not say so ({error})"
        return self._known

    def _heard_by_client(self) -> dict[str, int]:
        """The same by Ray's client, which cannot ask the head: a process on the head's node does. Its latest answer,
        without waiting for the next."""
        import ray

        if self.deaf:
            return self._known
        if self._there is None:
            there = ray.remote(self._class).options(num_cpus=0, resources=_ON_HEAD, max_restarts=0)
            self._there = there.remote()
            self._asked = self._there.drained.remote()
        answered, _ = ray.wait([self._asked], timeout=0)
        if answered:
            try:
                self._known = dict(ray.get(self._asked))
            except ray.exceptions.RayError as error:
                self.deaf = type(error).__name__
            else:
                self._asked = self._there.drained.remote()
        return self._known


def _in_words(deadline_ms: int) -> str:
    left_s = round(deadline_ms / 1e3 - time())
    return "the cluster takes its node away" + (f" in {left_s} s" if left_s > 0 else "")
