"""What a run is to do: all that the user asked for, checked and resolved before anything is started or written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from colt.errors import InputError
from colt.options import Budget, SearchConfig, SpaceKind
from colt.proposers.experts import builtin
from colt.proposers.poolfile import PoolSpec
from colt.run.calling import Calling, read_pool, resolved_config
from colt.run.roofline import why_no_roofline
from colt.store.directory import RunDirectory
from colt.tvm.devices.assumed import ResolvedTarget, resolve_board_target
from colt.tvm.devices.host import available_cores, resolve_target
from colt.tvm.programs.source import Program, load_program
from colt.tvm.workers import Board

MOST_BOARD_THREADS = 1024
MOST_SEED = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, all of it checked."""

    spec: str
    """The program as the user named it; its own name if it was given as an object."""
    program: Program
    target: Any
    threads: int
    pool: PoolSpec
    budget: Budget
    seed: int
    config: SearchConfig
    run_dir: Path | None
    exact_math: bool = False
    """Whether schedules keep the untuned program's calls of exp and the like, see :mod:`colt.tvm.vector_math`."""
    board: Board | None = None
    """Where kernels run, if not on this machine."""
    assumptions: tuple[str, ...] = ()
    """What the user did not say of the board, in words."""
    space: SpaceKind = SpaceKind.COLT
    calling: Calling = field(default_factory=Calling)

    def to_config(self, method: str) -> dict[str, object]:
        """For the run directory's ``config.toml``; ``method`` names how the run decides what to measure."""
        run: dict[str, object] = {"program": self.spec, "name": self.program.name, "method": method}
        run |= {"trials": self.budget.trials, "seed": self.seed}
        if self.program.size is not None:
            run["size"] = self.program.size
        if self.budget.seconds is not None:
            run["seconds"] = self.budget.seconds
        if self.budget.until_roofline is not None:
            run["until_roofline"] = self.budget.until_roofline
        run |= {"threads": self.threads, "target": str(self.target)}
        run["exact_math"] = self.exact_math
        if self.board is not None:
            run |= {"rpc": self.board.address, "key": self.board.key}
        if self.space is not SpaceKind.COLT:
            run["space"] = str(self.space)
        if self.pool.models:
            run |= self.calling.to_mapping()
        return {"run": run, "search": self.config.to_mapping(), "member": self.pool.to_tables()}


def plan(
    program: Any,
    *,
    size: str | None = None,
    target: Any = None,
    pool: str | Path | Sequence[str] = builtin.DEFAULT,
    trials: int = 64,
    seconds: float | None = None,
    until_roofline: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    config: SearchConfig | None = None,
    run_dir: str | Path | None = None,
    exact_math: bool = False,
    rpc: str | None = None,
    key: str | None = None,
    max_usd: Decimal | float | None = None,
    max_calls: int | None = None,
    max_tokens: int | None = None,
    max_seconds: float | None = None,
    strict_pool: bool = False,
    keep_paying: bool = False,
) -> Plan:
    """Check and resolve what the user asked for. Raises :class:`InputError`."""
    board = Board.parse(rpc, key)
    where = _resolve(target, threads, board)
    if type(seed) is not int or not 0 <= seed <= MOST_SEED:
        raise InputError(f"seed is {seed!r}; it takes an integer from 0 to {MOST_SEED}")
    if type(exact_math) is not bool:
        raise InputError(f"exact_math is {exact_math!r}; it takes True or False")
    members = read_pool(pool)
    calling = Calling.checked(members, max_usd, max_calls, max_tokens, max_seconds, strict_pool, keep_paying)
    budget = Budget(trials, seconds, until_roofline)
    if run_dir is not None:
        if not str(run_dir):
            raise InputError("the run directory has an empty name")
        RunDirectory.require_free(Path(run_dir))
    loaded = load_program(program, size)
    if until_roofline is not None and board is not None:
        raise InputError(f"until_roofline is {until_roofline}, but the peaks of a board are not known")
    if until_roofline is not None and (why := why_no_roofline(loaded)) is not None:
        raise InputError(f"until_roofline is {until_roofline}, but {loaded.name} has no share of the roofline: {why}")
    return Plan(
        program if isinstance(program, str) else loaded.name,
        loaded,
        where.target,
        where.threads,
        members,
        budget,
        seed,
        resolved_config(config, members),
        None if run_dir is None else Path(run_dir),
        exact_math,
        board,
        where.assumptions,
        calling=calling,
    )


def _resolve(target: Any, threads: int | None, board: Board | None) -> ResolvedTarget:
    """What to compile for, and the threads that kernels use. Raises :class:`InputError`."""
    here = board is None
    most = available_cores() if here else MOST_BOARD_THREADS
    if threads is not None and (type(threads) is not int or not 1 <= threads <= most):
        limit = f"{most}, the cores of this machine" if here else f"{most}"
        raise InputError(f"threads is {threads!r}; it takes an integer from 1 to {limit}")
    if not here:
        return resolve_board_target(target, threads)
    return ResolvedTarget(resolve_target(target, threads or most), threads or most)
