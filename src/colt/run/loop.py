"""The main job: tune a program, on one screen.

plan       check everything that the user asked for                                  planning.py
openings   the root's children: constructed and sampled schedules
ask        the paper's loop over the shared tree gives a batch of schedules          search/search.py
           while language models are thinking, with what built-in experts propose    asking.py
measure    a worker builds and times them; crashes and hangs cost one trial each     tvm/measure/
check      what would lead is compared with the untuned program first               leaders.py
tell       the tree is valued by what came back
finish     leaders verified, timed in turn with the untuned program, exported        finish.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from colt import events
from colt.events import Emit
from colt.knobs import Schedule
from colt.options import SearchConfig
from colt.plan import Plan, plan
from colt.proposers.experts import builtin
from colt.run.context import Run
from colt.run.finish import Result, finish
from colt.run.verify import check_leader, roofline_reached
from colt.search.types import Trial
from colt.world.world import Live, World

STALLED = 20
"""Batches in a row without a new schedule after which the space counts as exhausted."""


@dataclass(frozen=True, slots=True)
class Method:
    """How a run decides what to measure: everything else is the same for every method."""

    openings: Callable[[Run], Iterable[tuple[Schedule, str]]]
    """What the root's children are chosen from, each with who made it."""
    ask: Callable[[Run, int], list[Trial]]
    """Up to so many distinct schedules to measure next; none if nothing new is found."""
    name: str
    """For the run's config."""


TREE = Method(Run.openings, Run.ask, "tree")
"""The paper's search over the shared tree."""


def tune(
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
    on_event: Sequence[Emit] = (),
) -> Result:
    """Search for a fast schedule of a program, measure it on this machine or a board, verify it.

    Parameters
    ----------
    program
        A workload's name, ``"file.py:name"``, a PrimFunc, or an IRModule with one PrimFunc.
    size
        ``"small"`` or ``"paper"``, for workloads.
    target
        A TVM target, a tag, a mapping or JSON; this machine's cpu if left out. Of any architecture for a board.
    pool
        Names of built-in experts, or the path of a pool file (``docs/pool.md``).
    trials
        How many distinct schedules to measure.
    seconds
        Stop measuring after so much wall time, even if trials are left.
    until_roofline
        Stop measuring once the best schedule reaches this share of the roofline, such as 0.95; for programs over
        float32 whose number of operations is known.
    threads
        Threads for kernels; all cores of this machine, or the target's ``num-cores`` on a board, if left out.
    run_dir
        A new directory for journal, database, receipt and kernel; nothing is written if left out.
    exact_math
        Leave exp, tanh, erf and the like as they are, instead of computing them in vectors to a few units of the last
        place (:mod:`colt.tvm.vector_math`).
    rpc, key
        ``"host:port"`` of TVM's RPC tracker, and the key of the boards there on which kernels are to run.
    max_usd, max_calls, max_tokens, max_seconds
        What language models may cost at most, all of them together: dollars, requests, tokens in and out, and seconds
        after which none is asked any more. What a call may cost at worst is set aside before it is made.
    strict_pool
        Stop when no language model can be asked, instead of going on with the built-in experts alone.
    keep_paying
        Ask language models to the end, even if their proposals are no better than those that cost nothing.
    on_event
        Called with every event of :mod:`colt.events`.

    Raises
    ------
    InputError
        Something asked for is not usable; nothing was written then.
    MeasureError
        The untuned program does not build or run, no worker starts, or the board is not to be had.
    """
    return run(
        plan(
            program,
            size=size,
            target=target,
            pool=pool,
            trials=trials,
            seconds=seconds,
            until_roofline=until_roofline,
            seed=seed,
            threads=threads,
            config=config,
            run_dir=run_dir,
            exact_math=exact_math,
            rpc=rpc,
            key=key,
            max_usd=max_usd,
            max_calls=max_calls,
            max_tokens=max_tokens,
            max_seconds=max_seconds,
            strict_pool=strict_pool,
            keep_paying=keep_paying,
        ),
        on_event,
    )


def run(plan: Plan, on_event: Sequence[Emit] = (), method: Method = TREE, outside: World | None = None) -> Result:
    """Carry a plan out. ``outside`` answers what the plan does not; live if left out. Raises as :func:`tune`."""
    with Run(plan, on_event, outside or Live()) as session:
        baseline_us = session.measure_baseline()
        session.claim_directory(method.name)
        search = session.search
        search.open(method.openings(session), baseline_us)
        session.emit(events.Began("searching"))
        stalled = 0
        while (stop := _stop_reason(session, stalled)) is None:
            session.learn()
            left = plan.budget.trials - search.trials.charged
            with session.watch("searching"):
                batch = method.ask(session, min(plan.config.batch_size, left))
            stalled = 0 if batch else stalled + 1
            results = list(session.measure(batch))
            with session.watch("verifying"):
                check_leader(session, results)
            with session.watch("searching"):
                search.tell(results)
        session.explain_nothing()
        return finish(session, baseline_us, stop)


def _stop_reason(session: Run, stalled: int) -> str | None:
    if roofline_reached(session):
        return "roofline"
    if session.search.trials.charged >= session.plan.budget.trials:
        return "trials"
    if session.search.closed or stalled >= STALLED:
        return "exhausted"
    return session.stop_requested()
