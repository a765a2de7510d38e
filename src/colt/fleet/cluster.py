"""A Ray cluster: how to reach it, its nodes, and one actor of ours on a node. Only here and in
:mod:`colt.fleet.leaving` is Ray imported.

Ray unpickles what it brings from a node, so whoever owns a cluster can run code in the driver; ``docs/fleet.md`` says
so. What COLT itself reads of it are bytes.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar, TypeVar

from colt.errors import ArgumentError
from colt.fleet.leaving import Leavers
from colt.util.streams import keeping_remarks, remarks_since, remarks_so_far
from colt.util.text import why
from colt.util.waiting import tell_waiting

LOCAL, AUTO = "local", "auto"
"""A cluster that is started here; the one that ``RAY_ADDRESS`` names, or that runs on this machine."""
TAKES = "HOST:PORT, ray://HOST:PORT, auto or local"
"""What the option takes; a port is from 1 to 65535."""
_ADDRESS = re.compile(r"(?:ray://)?[A-Za-z0-9.\-\[\]:_]+:(\d{1,5})")
_LAST_PORT = 65535
HOST_LABEL = "colt-host"
"""The label of a node that says which host it is, if its machine's name does not: for nodes that have cores of a
machine to themselves."""
_REACH_S = 5.0
_HEADLESS_S = "300"
"""After that Ray ends a process that has lost the head of its cluster."""
_STORE_BYTES = 128 << 20
"""The size of the object store of a cluster that is started here: kernels are small."""
_READ_ON_IMPORT = {
    "RAY_ENABLE_AUTO_CONNECT": "0",  # a call after the end would connect anew
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # or it prints what becomes of nodes, as the run does
}
"""What Ray is to be told before it is there, unless the user has told it."""
_MISSING = "needs Ray: pip install -c constraints.txt '.[fleet]'"
_HOW = (
    "`ray start --head` starts one here, which `ray start --address HOST:6379` on other machines joins; in a batch job "
    "`ray symmetric-run` does both; --fleet local uses this machine alone"
)
_CAUSE = re.compile(r"The actor is dead because (?:all references|(.+?)\.(?:\s|$))", re.DOTALL)
_OF_HEAD = (
    "it has to be the head of one, with this version of Ray, and the port that hosts join by, usually 6379; the port "
    "for Ray's clients, usually 10001, goes with ray://HOST:PORT"
)
_OF_CLIENTS = (
    "it has to be the head of one, with this version of Ray, and its port for Ray's clients, usually 10001; the port "
    "that hosts join by, usually 6379, goes without ray://"
)
_TOKENS = (
    "one that asks for a token, as it does if there was one in ~/.ray/auth_token when it began, takes its token there "
    "or in RAY_AUTH_TOKEN, and RAY_AUTH_MODE=token, here and on every host"
)
_ASKS = "it asks for a token"
_TOKEN, _MODE = "RAY_AUTH_TOKEN", "RAY_AUTH_MODE"
_MODES = ("token", "disabled")
_OWN_TOKEN = secrets.token_hex(32)
"""The token of all clusters that this process starts: Ray keeps the first that it is given."""
_GIVES_TOKEN = "RAY_AUTH_MODE=token is set here, which goes with a cluster that asks for a token and with no other"
_NO_TOKEN = b"InvalidAuthToken"
"""What Ray remarks where a cluster does not take the token, or there is none."""
_OF_MEMORY = re.compile(r"(?:node|it) (?:is |was )?running (?:low on|out of) memory", re.IGNORECASE)
"""What Ray says of a process that it has killed for the memory of its node, and not where it guesses at causes."""
_OF_RPC = re.compile(
    r"rpc_code|RPC Error|RpcError|grpc_status|StatusCode\.|Socket closed|failed to connect to all addresses"
)
"""What only the texts have that a broken connection leaves."""


T = TypeVar("T")


class Cause(Enum):
    """What a host was lost by."""

    DEATH = auto()
    """Its process, node or connection, or what it said."""
    TAKEN = auto()
    """The cluster has taken its node away: nothing that was done there is to blame."""
    MEMORY = auto()
    """That of its node ran out."""


class HostLost(Exception):
    """A host's process is gone, or said something that no host of ours says; the text says what."""

    def __init__(self, text: str, cause: Cause = Cause.DEATH) -> None:
        super().__init__(text)
        self.cause = cause


class HostLate(Exception):
    """A host did not answer in time."""


_WORDS = {Cause.MEMORY: "its memory ran out", Cause.TAKEN: "the cluster took its node away"}


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """A node that is alive."""

    id: str
    name: str
    cores: int
    """That it lends."""
    leaving: str = ""
    """That the cluster takes it away, in words; empty if it does not."""


class Pending:
    """A call of the actor that is under way."""

    def __init__(self, reference: Any) -> None:
        self.reference = reference
        """Stands for what it returns, as an argument of other calls."""

    def get(self, seconds: float) -> object:
        """What it returned. Raises :class:`HostLate` if it has not within so many seconds, and :class:`HostLost`."""
        import ray

        try:
            return ray.get(self.reference, timeout=seconds)
        except ray.exceptions.GetTimeoutError:
            raise HostLate(f"it did not answer for {seconds:g} s") from None
        except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
            raise _lost(error) from None


class Link:
    """One actor on one node. For any thread."""

    def __init__(self, handle: Any, headed: Callable[[], bool] = lambda: True) -> None:
        self._handle = handle
        self._headed = headed

    def ask(self, method: str, *arguments: object) -> Pending:
        """Call a method; calls are served in order, one at a time. Raises :class:`HostLost`."""
        import ray

        try:
            return Pending(getattr(self._handle, method).remote(*arguments))
        except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
            raise _lost(error) from None

    def end(self) -> None:
        """Kill the actor's process, and all that it started with it."""
        import ray

        if not self._headed():
            return
        with suppress(ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError):
            ray.kill(self._handle, no_restart=True)


class Cluster:
    """A connection to a cluster; :meth:`connected` makes it."""

    stuck: ClassVar[bool] = False
    """Whether this process is still in a cluster whose head is gone. To leave it, as Ray does where a process ends, is
    to wait for the head."""

    def __init__(
        self, opened: bool, head: str = "", before: Mapping[str, str | None] | None = None, gives_token: bool = False
    ) -> None:
        self._opened = opened
        self._before = before or {}
        """Variables of the environment as they are to be again."""
        self.doubt = _GIVES_TOKEN if gives_token else ""
        """What may keep hosts from answering though the cluster can be reached; empty if nothing is known."""
        self._leavers = Leavers()
        self._head = head
        """HOST:PORT of what keeps the cluster together, if that may be gone: Ray's own calls wait for it."""

    @classmethod
    def connected(cls, address: str, cores: int) -> Cluster:
        """Connect, or start a cluster here that lends ``cores``. A connection that this process has is used as it is.

        Raises :class:`~colt.errors.InputError` where Ray is not installed or there is no cluster.
        """
        for name, value in _READ_ON_IMPORT.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError:
            raise ArgumentError("fleet", _MISSING) from None
        if ray.is_initialized():
            return cls(opened=False)
        where = _meant(address)
        if (mode := os.environ.get(_MODE)) and mode.lower() not in _MODES:
            raise ArgumentError("fleet", f"enters no cluster: {_MODE} is {mode!r}; it takes {' or '.join(_MODES)}")
        if where not in (LOCAL, AUTO):
            _require_reachable(where)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_worker_niceness", "0")  # of a cluster that is started here
        before = {name: os.environ.get(name) for name in (_TOKEN, _MODE)} if where == LOCAL else {}
        if where == LOCAL:  # Ray would leave a token in the home folder, which turns tokens on for other clusters
            os.environ.setdefault(_TOKEN, _OWN_TOKEN)
        else:  # Ray would end this process a minute after the head; the session ends the run, which can be resumed
            os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", _HEADLESS_S)
        own = {"num_cpus": cores, "include_dashboard": False, "object_store_memory": _STORE_BYTES}
        place = remarks_so_far()
        if where != LOCAL:  # a wrong port or token takes Ray half a minute
            tell_waiting("connecting to the Ray cluster" + (f" at {where}" if where != AUTO else ""))
        try:
            with own_signals(), nullcontext() if where == LOCAL else keeping_remarks():
                ray.init(
                    address=where,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **(own if where == LOCAL else {}),
                )
        except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
            _restore(before)
            reason = str(error).partition("\n")[0].strip()
            if _NO_TOKEN in remarks_since(place):
                reason = _ASKS
            raise _none_at(where, reason) if where in (LOCAL, AUTO) else _refused_at(where, reason) from None
        return cls(opened=True, head=_head_at(where), before=before, gives_token=where != LOCAL and _gives_token())

    def nodes(self) -> list[ClusterNode]:
        """The nodes that are alive and lend cores, in the order of their names. Raises :class:`HostLost` where the
        cluster itself is gone."""
        import ray

        self._require_head()
        try:
            found, leaving = ray.nodes(), self._leavers.found()
        except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
            raise HostLost(f"the cluster does not answer: {_in_words(error)}") from None
        return sorted(_alive(found, leaving), key=lambda node: (node.name, node.id))

    @property
    def deaf(self) -> str:
        """Why nobody says which nodes leave; empty if that is said."""
        return self._leavers.deaf

    def start(self, node: ClusterNode, make: Callable[..., object], *arguments: object) -> Link:
        """An actor of the class ``make`` on that node, which has all cores that the node lends: it waits for them.

        Raises :class:`HostLost`.
        """
        import ray

        self._require_head()
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node.id, soft=False)
        options = {"num_cpus": node.cores, "max_restarts": 0, "max_task_retries": 0, "max_concurrency": 1}
        try:
            actor = ray.remote(make).options(scheduling_strategy=there, **options)
            return Link(actor.remote(*arguments), self._is_headed)
        except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
            raise _lost(error) from None

    def asked_beside(self, nodes: Sequence[ClusterNode], ask: Callable[[], T], seconds: float) -> dict[str, T]:
        """What a function returns on each of the nodes, by their ids, as far as it does within so many seconds.

        It takes none of the cores that they lend, so that it need not wait for those who have them. Raises
        :class:`HostLost`.
        """
        import ray

        self._require_head()
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        try:
            asked = {}
            for node in nodes:
                there = NodeAffinitySchedulingStrategy(node.id, soft=False)
                options = {"scheduling_strategy": there, "num_cpus": 0, "max_retries": 0}
                asked[ray.remote(ask).options(**options).remote()] = node.id
            done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=seconds)
            return {asked[one]: ray.get(one) for one in done}
        except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
            raise _lost(error) from None

    def _require_head(self) -> None:
        if self._head and (problem := _unreachable(self._head)):
            raise HostLost(f"the head of the cluster, {self._head}, does not answer ({problem})")

    def _is_headed(self) -> bool:
        return not (self._head and _unreachable(self._head))

    def close(self) -> None:
        """Leave the cluster, if it was entered here; one that was started here ends."""
        import ray

        if self._opened:
            self._opened = False
            _restore(self._before)
            if not self._is_headed():
                Cluster.stuck = True
                return
            with own_signals():
                ray.shutdown()


def _restore(before: Mapping[str, str | None]) -> None:
    """Set variables of the environment as they were: what this process starts next is no business of the cluster's."""
    for name, value in before.items():
        if value is not None:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)


def require_address(address: str) -> None:
    """Raise :class:`~colt.errors.ArgumentError` unless that may be a cluster's address."""
    if address not in (LOCAL, AUTO) and (problem := _not_taken(address)):
        raise ArgumentError("fleet", f"is {address!r}; it takes {problem}")


def _meant(address: str) -> str:
    """The address of the cluster, where the user may have left it to the environment."""
    named = os.environ.get("RAY_ADDRESS") if address == AUTO else None
    if named and named not in (LOCAL, AUTO) and (problem := _not_taken(named)):
        raise ArgumentError("fleet", f"takes the cluster of RAY_ADDRESS, which is {named!r}; it takes {problem}")
    return named or address


def _not_taken(address: str) -> str:
    """What an address takes that this is not; empty if it is one."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return TAKES
    return "" if 1 <= int(found[1]) <= _LAST_PORT else f"ports from 1 to {_LAST_PORT}"


def _none_at(where: str, reason: str) -> ArgumentError:
    said = f"finds no Ray cluster at {where}" if where != AUTO else "finds no Ray cluster"
    return ArgumentError("fleet", f"{said} ({reason}); {_HOW}")


def _refused_at(where: str, reason: str) -> ArgumentError:
    """Somebody listens there. The likely cause comes first."""
    how = [_OF_CLIENTS if where.startswith("ray://") else _OF_HEAD, _TOKENS]
    if reason == _ASKS:
        how = how[::-1]
    return ArgumentError("fleet", f"cannot enter a Ray cluster at {where} ({reason}); {'; '.join(how)}")


def _require_reachable(where: str) -> None:
    """Raise :class:`~colt.errors.ArgumentError` unless somebody listens there: Ray itself would try for minutes."""
    if problem := _unreachable(where):
        raise _none_at(where, problem)


def _unreachable(where: str) -> str:
    """Why nobody can be reached there; empty if somebody can."""
    host, _, port = where.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH_S).close()
    except (OSError, ValueError, OverflowError) as error:
        return why(error)
    return ""


def _head_at(where: str) -> str:
    """The head's address, as far as this process is connected to it: not by a proxy (``ray://``), and not to a cluster
    that ends with this process."""
    import ray

    if where == LOCAL or where.startswith("ray://"):
        return ""
    return str(ray.get_runtime_context().gcs_address) if where == AUTO else where


def _gives_token() -> bool:
    return os.environ.get(_MODE, "").lower() == "token"


def _alive(found: list[dict[str, Any]], leaving: Mapping[str, str]) -> Iterator[ClusterNode]:
    for node in found:
        cores = int(node.get("Resources", {}).get("CPU", 0))
        if node.get("Alive") and cores > 0:
            name = node.get("Labels", {}).get(HOST_LABEL) or node.get("NodeManagerHostname") or node["NodeID"]
            identity = str(node["NodeID"])
            yield ClusterNode(identity, str(name), cores, leaving.get(identity, ""))


@contextmanager
def own_signals() -> Iterator[None]:
    """Ray sets a handler of SIGTERM where it connects; what signals do is for COLT to say."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _lost(error: BaseException) -> HostLost:
    return HostLost(_in_words(error), _cause(error))


def _cause(error: BaseException) -> Cause:
    if type(error).__name__ == "OutOfMemoryError" or _OF_MEMORY.search(str(error)):
        return Cause.MEMORY
    return Cause.TAKEN if getattr(error, "preempted", False) else Cause.DEATH


def _in_words(error: BaseException) -> str:
    """Why, in one line: Ray's own texts have many."""
    if known := _WORDS.get(_cause(error)):
        return known
    text = str(error)
    if cause := _CAUSE.search(text):
        return " ".join((cause[1] or "it was ended").split())[:300]
    if _OF_RPC.search(text):
        return "the connection to it was lost"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
