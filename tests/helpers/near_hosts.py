"""A cluster without Ray: the actors of its hosts are objects of this process, each called from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass, field
from typing import Any

from colt.fleet.cluster import ClusterNode, HostLate, HostLost


@dataclass
class NearPending:
    """As :class:`~colt.fleet.cluster.Pending`."""

    reference: Future[Any]

    def get(self, seconds: float) -> object:
        try:
            return self.reference.result(seconds)
        except Late:
            raise HostLate(f"it did not answer for {seconds:g} s") from None


class NearLink:
    """As :class:`~colt.fleet.cluster.Link`; ``free`` says when the cores of the node are."""

    def __init__(self, actor: Any, free: threading.Event) -> None:
        self._actor = actor
        self._ended = False
        self._calls = ThreadPoolExecutor(1)
        self._calls.submit(free.wait, 10.0)

    def ask(self, method: str, *arguments: object) -> NearPending:
        if self._ended:
            raise HostLost("it was ended")
        return NearPending(self._calls.submit(getattr(self._actor, method), *arguments))

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._calls.shutdown(wait=False, cancel_futures=True)
            self._actor.close()


@dataclass
class NearCluster:
    """As :class:`~colt.fleet.cluster.Cluster`. ``made`` makes the actor of a node, as far as it is not the real one."""

    there: list[ClusterNode]
    made: Callable[[ClusterNode, Callable[[], Any]], Any] = lambda node, make: make()
    free: threading.Event = field(default_factory=threading.Event)
    links: dict[str, NearLink] = field(default_factory=dict)
    doubt: str = ""
    deaf: str = ""

    def nodes(self) -> list[ClusterNode]:
        return list(self.there)

    def start(self, node: ClusterNode, make: Callable[..., Any], *arguments: object) -> NearLink:
        link = self.links[node.id] = NearLink(self.made(node, lambda: make(*arguments)), self.free)
        return link

    def asked_beside(self, nodes: Sequence[ClusterNode], ask: Callable[[], Any], seconds: float) -> dict[str, Any]:
        return {node.id: ask() for node in nodes}

    def close(self) -> None:
        self.free.set()
