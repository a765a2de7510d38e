"""The configuration of a benchmark, checked. TVM is imported only to check it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from importlib.util import find_spec
from typing import NamedTuple

import msgspec

from colt.errors import ArgumentError, InputError
from colt.options import SpaceKind

OWN_SPACE = "own"
SPACES = (OWN_SPACE, *SpaceKind)
"""The values of ``space``: each strategy's own, or the same for all."""
MOST_SEEDS = 1000
MOST_FIRST = 64


class StrategyName(StrEnum):
    """The search methods that are compared."""

    STOCK = "stock"
    RANDOM = "random"
    MCTS = "mcts"
    ARCHITECT = "architect"
    COLT = "colt"


class Peer(StrEnum):
    """The libraries that winners are compared with."""

    NUMPY = "numpy"
    TORCH = "torch"
    SDPA = "sdpa"
    TORCH_COMPILE = "torch.compile"
    ONNX_RUNTIME = "onnxruntime"

    @property
    def package(self) -> str:
        """The package that computes it: NumPy's, or one of :data:`EXTRAS`."""
        return str(self) if self in (Peer.NUMPY, Peer.ONNX_RUNTIME) else "torch"


EXTRAS = {"torch": ("PyTorch", "bench"), "onnxruntime": ("ONNX Runtime", "onnx")}
"""The packages of peers that are optional: their names in words, and the extra that each comes with."""


NO_PEERS = "none"


class Cell(NamedTuple):
    """One search."""

    workload: str
    strategy: StrategyName
    seed: int

    def __str__(self) -> str:
        return f"{self.workload} {self.strategy} seed {self.seed}"


class BenchConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to run. :func:`checked` makes it; only benchmarks of equal configuration may share a directory."""

    workloads: tuple[str, ...]
    size: str
    strategies: tuple[StrategyName, ...]
    trials: int
    seeds: int
    """How many seeds: 0, 1, ..."""
    space: str
    warm_start: int
    peers: tuple[Peer, ...]
    threads: int
    """0 until hosts of the ``fleet`` have said how many cores they lend, see :meth:`with_threads`."""
    fleet: str = ""
    """The cluster on whose hosts searches measure; empty if they measure here."""

    def cells(self, workload: str) -> Iterator[Cell]:
        """All searches of a workload. Strategies take turns, so that a drifting machine affects all alike."""
        for seed in range(self.seeds):
            for strategy in self.strategies:
                yield Cell(workload, strategy, seed)

    def with_threads(self, lent: int, cores: int) -> BenchConfig:
        """With as many threads as hosts lend cores and this machine has, where winners are timed; as it is if the
        user has said how many."""
        return self if self.threads else msgspec.structs.replace(self, threads=min(lent, cores))

    def space_of(self, strategy: StrategyName) -> SpaceKind:
        """The space that the strategy searches."""
        if self.space != OWN_SPACE:
            return SpaceKind(self.space)
        return SpaceKind.METASCHEDULE if strategy is StrategyName.STOCK else SpaceKind.COLT


def checked(
    workloads: Sequence[str],
    *,
    size: str,
    strategies: Sequence[str] | None,
    trials: int,
    seeds: int,
    space: str,
    warm_start: int,
    peers: Sequence[str] | None,
    threads: int | None,
    fleet: str | None = None,
) -> BenchConfig:
    """Check and resolve what the user asked for.

    A group of workloads stands for its members; no workload stands for the group ``main``. ``strategies`` defaults to
    all, without stock on a ``fleet``, ``peers`` to all that are installed, ``threads`` to all cores;
    on a ``fleet`` they stay open until :meth:`BenchConfig.with_threads`.

    Raises
    ------
    InputError
        An argument is not usable; the message says what is accepted.
    """
    from colt.tvm.devices.host import available_cores

    _require_trials(trials)
    _require_whole("seeds", seeds, 1, MOST_SEEDS)
    _require_whole("warm-start", warm_start, 0, min(trials, MOST_FIRST))
    cores = available_cores()
    if threads is not None:
        _require_whole("threads", threads, 1, cores)
    if space not in SPACES:
        raise ArgumentError("space", f"is {space!r}; it takes one of {', '.join(SPACES)}")
    return BenchConfig(
        workloads=_workloads(workloads, size),
        size=size,
        strategies=_strategies(strategies, fleet),
        trials=trials,
        seeds=seeds,
        space=str(space),
        warm_start=warm_start,
        peers=_peers(peers),
        threads=threads or (cores if fleet is None else 0),
        fleet=fleet or "",
    )


def _strategies(wanted: Sequence[str] | None, fleet: str | None) -> tuple[StrategyName, ...]:
    usable = [name for name in StrategyName if fleet is None or name is not StrategyName.STOCK]
    if fleet is not None and StrategyName.STOCK in (wanted or ()):
        problem = "has stock, which measures on this machine alone: it does not go with fleet"
        raise ArgumentError("strategies", problem, ("fleet",))
    if wanted is None:
        return tuple(usable)
    return tuple(StrategyName(name) for name in _members("strategy", wanted, list(StrategyName)))


def _workloads(wanted: Sequence[str], size: str) -> tuple[str, ...]:
    from colt.tvm.programs import workloads

    found: list[str] = []
    for name in wanted or ("main",):
        found += workloads.names(name) if name in workloads.GROUPS else [name]
    for name in found:
        try:
            workload = workloads.get(name)
        except InputError as error:
            *most, last = workloads.GROUPS
            raise InputError(f"{error}; or the groups {', '.join(most)} and {last}") from None
        workload.shape(size)
    return tuple(dict.fromkeys(found))


def _peers(wanted: Sequence[str] | None) -> tuple[Peer, ...]:
    missing = [package for package in EXTRAS if find_spec(package) is None]
    if wanted is None:
        return tuple(peer for peer in Peer if peer.package not in missing)
    if list(wanted) == [NO_PEERS]:
        return ()
    peers = tuple(Peer(name) for name in _members("peer", wanted, list(Peer), f", or {NO_PEERS} alone"))
    for package in missing:
        lost, (name, extra) = [peer for peer in peers if peer.package == package], EXTRAS[package]
        if lost:
            raise InputError(
                f"{name} is not installed; {', '.join(lost)} cannot run: pip install -c constraints.txt '.[{extra}]'"
            )
    return peers


def _members(what: str, wanted: Sequence[str], known: Sequence[str], more: str = "") -> list[str]:
    for name in wanted:
        if name not in known:
            raise InputError(f"there is no {what} {name!r}; there are {', '.join(known)}{more}")
        if list(wanted).count(name) > 1:
            raise InputError(f"{what} {name!r} is named twice")
    return list(wanted)


def _require_trials(trials: int) -> None:
    """A run may have none and take what is known from records; there would be nothing to compare."""
    if type(trials) is not int or trials < 1:
        raise ArgumentError("trials", f"is {trials!r}; it takes an integer of at least 1")


def _require_whole(what: str, value: int, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ArgumentError(what, f"is {value!r}; it takes an integer from {low} to {high}")
