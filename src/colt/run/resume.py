"""A run that broke off, was interrupted or came to its end goes on in its own directory.

lock      nobody else works on it
read      config, program and recording; all but a torn last line has to be whole
require   the program, the target, the versions and the machine of the run                            same.py
run       the main job: recorded answers as far as they reach, then live ones (:mod:`colt.world.world`)

Nothing is written before the first live answer. From there on recording and journal grow, and the other files take the
place of older ones when the run ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import msgspec

from colt import events
from colt.errors import ArgumentError, InputError, ReplayError
from colt.events import Emit, Event
from colt.measure.base import Fate
from colt.plan import Plan, recorded_pace
from colt.run.budget import Overdrawn
from colt.run.finish import Result
from colt.run.loop import run as run_plan
from colt.run.replay import as_begun, read_config, read_plan
from colt.run.same import require_program, require_same, require_same_options
from colt.store.directory import CONFIG, PROGRAM, RECEIPT, RECORDING, WORKINGS, RunDirectory
from colt.store.receipt import load_receipt
from colt.strategies.base import StrategyMaker
from colt.strategies.tree import TREE
from colt.util.text import counted
from colt.util.waiting import told_of_waiting
from colt.world.answers import Allowance, MeasuredAnswer
from colt.world.calls import NoCalls
from colt.world.parts import current
from colt.world.recording import Recording, read_recording
from colt.world.world import ENDED_EARLY, Finishing, Resumed

_HELPS = {"trials": "trials", "records": "trials", "seconds": "seconds", "roofline": "until_roofline"}
"""For each reason why a run comes to its end, the option that makes it go on."""

_OF_A_MODEL = "that of a whole model goes on when the same `colt compile` is given with --run again"
_ANOTHER = "`colt resume DIR --fleet ADDRESS` goes on with another cluster, of the same processor"


class View(Protocol):
    """A listener that shows nothing while it is muted, but keeps up with what happens."""

    muted: bool

    def __call__(self, event: Event) -> None: ...


def resume(
    run: str | Path,
    program: Any = None,
    *,
    trials: int | None = None,
    seconds: float | None = None,
    until_roofline: float | None = None,
    max_usd: Decimal | float | None = None,
    max_calls: int | None = None,
    max_tokens: int | None = None,
    max_seconds: float | None = None,
    fleet: str | None = None,
    on_event: Sequence[Emit] = (),
) -> Result:
    """Go on with a run that was killed, interrupted, or has come to its end and is given more.

    What it has measured and been answered is taken from its recording. A request to a language model that was under way
    when it died counts as spent; a trial that was is measured again.

    Parameters
    ----------
    run
        The directory of the run.
    program
        The program of the run, as :func:`colt.tune` takes it, to be compared with the recorded one. A file of Python is
        run. If left out, none is, and the recorded program is taken.
    trials, seconds, until_roofline, max_usd, max_calls, max_tokens, max_seconds
        Options of :func:`colt.tune` that take the place of those of the run, which count what it has taken already.
    fleet
        The address of the cluster to go on with, for a run on a fleet; the run's own if left out.
    on_event
        Called with every event of :mod:`colt.events`, beginning with the first one of the run.

    Raises
    ------
    InputError
        There is no such run, another process works on it, nothing is left to do, its recording is damaged, or program,
        target, versions or machine are others; the message says which.
    MeasureError
        The untuned program does not run any more, or no worker starts.
    """
    given = {
        "trials": trials,
        "seconds": seconds,
        "until_roofline": until_roofline,
        "max_usd": max_usd,
        "max_calls": max_calls,
        "max_tokens": max_tokens,
        "max_seconds": max_seconds,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    return go_on(Path(run), changes, program, on_event, fleet=fleet)


def go_on(
    folder: Path,
    changes: dict[str, Any],
    program: Any = None,
    on_event: Sequence[Emit] = (),
    views: Sequence[View] = (),
    fleet: str | None = None,
) -> Result:
    """See :func:`resume`. ``views`` are muted as far as the recording reaches."""
    with ExitStack() as stack:
        asked, recording = _opened(folder, program, stack, fleet=fleet)
        before = recording.allowance or asked.allowance
        allowance = _changed(before, changes)
        asked.allowing(allowance)  # it has to go with the rest of the plan
        more = _require_something_to_do(folder, recording, before, allowance)
        world = Resumed(recording, allowance=allowance, more=more)
        try:
            (result,) = _run(folder, asked, recording, world, on_event, views)
        except Overdrawn as overdrawn:
            measured = charged(recording)
            raise InputError(
                f"{folder} has measured {counted(measured, 'trial')} already and begun {overdrawn.charged - measured} "
                f"more; --trials takes {overdrawn.charged} or more"
            ) from None
        return result


def to_the_end(plan: Plan, strategy: StrategyMaker = TREE, on_event: Sequence[Emit] = ()) -> list[Result]:
    """Go on, if anything is left to do, with a run whose plan and strategy are known, in the plan's directory.

    Raises as :func:`resume`.
    """
    folder = plan.run_dir
    assert folder is not None
    with ExitStack() as stack:
        asked, recording = _opened(folder, None, stack, plan)
        if told := _as_it_began(folder, plan.allowance, recording.allowance):
            for listen in on_event:
                listen(events.Noted(told))
        world = Resumed(recording, allowance=recording.allowance)
        return _run(folder, asked, recording, world, on_event, strategy=strategy)


def _as_it_began(folder: Path, given: Allowance, had: Allowance | None) -> str:
    """What is said of a budget that is given now and is another than the run began with, which it keeps; empty if it is
    the same."""
    now, then = msgspec.structs.asdict(given), {} if had is None else msgspec.structs.asdict(had)
    others = [f"{name} {_limit(was)}, not {_limit(now[name])}" for name, was in then.items() if was != now[name]]
    if not others:
        return ""
    return (
        f"{folder} keeps the budget that it was begun with: {', '.join(others)}; with another directory all begins anew"
    )


def _limit(value: object) -> str:
    return "without a limit" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def finish(
    folder: Path,
    program: Any = None,
    on_event: Sequence[Emit] = (),
    views: Sequence[View] = (),
    fleet: str | None = None,
) -> Result:
    """Make receipt and kernel of a run that broke off. Nothing new is searched, and no language model is asked.

    ``program`` is that of the run and ``fleet`` a cluster, as for :func:`resume`, which says what is raised.
    """
    with ExitStack() as stack:
        asked, recording = _opened(folder, program, stack, fleet=fleet)
        if recording.finished and (folder / RECEIPT).exists():
            raise InputError(f"{folder} holds a finished run; there is nothing left to finish")
        world = Finishing(recording, replace(current(), calls=NoCalls))
        (result,) = _run(folder, asked, recording, world, on_event, views)
        return result


def _opened(
    folder: Path, program: Any, stack: ExitStack, plan: Plan | None = None, fleet: str | None = None
) -> tuple[Plan, Recording]:
    """Lock and read a run. Its plan is the one that it began with, or ``plan`` at the pace that the run has; on the
    cluster ``fleet``, if that is given."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a run directory")
    for name in (CONFIG, RECORDING) if plan is not None and plan.of_model else (CONFIG, RECORDING, PROGRAM):
        if not (folder / name).is_file():
            of_model = f"; {_OF_A_MODEL}" if name == PROGRAM else ""
            raise InputError(f"{folder} holds no run that can go on: there is no {name}{of_model}")
    stack.enter_context(RunDirectory.locked(folder))
    recording = read_recording(folder / RECORDING, unfinished=True)
    if plan is None or not plan.of_model:
        require_program(folder, recording)
    if plan is None:
        asked = read_plan(folder, recording.edition)
    else:
        asked = replace(plan, pace=recorded_pace(read_config(folder)))
    asked = asked.on_cluster(fleet)
    require_same(folder, asked, recording, program)
    if plan is not None:
        require_same_options(folder, asked, read_config(folder))
    return replace(as_begun(asked, recording), run_dir=folder), recording


def _changed(before: Allowance, changes: dict[str, Any]) -> Allowance:
    try:
        return Allowance.of({**msgspec.structs.asdict(before), **changes})
    except ValueError as error:
        raise InputError(str(error)) from None


def _require_something_to_do(folder: Path, recording: Recording, before: Allowance, now: Allowance) -> bool:
    """Whether the run is given more than it had. Raises :class:`InputError` if it has ended and that does not help."""
    measured = charged(recording)
    if now.trials is not None and now.trials != before.trials and now.trials <= measured:
        raise InputError(f"{folder} has measured {counted(measured, 'trial')} already; --trials takes more than that")
    raised = [name for name in _HELPS.values() if _is_more(getattr(now, name), getattr(before, name))]
    if recording.finished and (folder / RECEIPT).exists():
        reason = load_receipt(folder).stop_reason
        if reason not in ENDED_EARLY and _HELPS.get(reason) not in raised:
            raise InputError(f"{folder} has come to its end: {_end_in_words(reason, before)}")
    return bool(raised)


def charged(recording: Recording) -> int:
    """How many of the trials that a run has measured count against its budget: skipped ones do not, unless they are the
    most (:attr:`colt.search.trials.Trials.charged`)."""
    fates = [line.answer.fate for line in recording.lines if isinstance(line.answer, MeasuredAnswer)]
    measured = len(fates) - 1  # the untuned program is no trial
    skipped = fates.count(Fate.SKIPPED)
    return measured - min(skipped, measured - skipped)


def _is_more(now: float | None, before: float | None) -> bool:
    return before is not None and (now is None or now > before)


def _end_in_words(reason: str, had: Allowance) -> str:
    if reason not in _HELPS:
        return "no schedule is left to be tried"
    value = getattr(had, _HELPS[reason])
    flag = f"--{_HELPS[reason].replace('_', '-')}"
    return f"it stopped at its {value:g} {reason}; to go on, give it more ({flag} above {value:g})"


def _run(
    folder: Path,
    plan: Plan,
    recording: Recording,
    world: Resumed,
    on_event: Sequence[Emit],
    views: Sequence[View] = (),
    strategy: StrategyMaker = TREE,
) -> list[Result]:
    listeners = [*on_event, *(_muted(view, world) for view in views)]
    if recording.torn:
        everyone: list[Emit] = [*on_event, *views]  # none is muted yet: this is new
        for listen in everyone:
            listen(events.Noted(f"the last line of {folder / RECORDING} is torn and left out"))

    def waits(text: str) -> None:
        for view in views:
            view.muted = False  # until the next event
        told: list[Emit] = [*on_event, *views]
        for listen in told:
            listen(events.Began(text))

    try:
        with told_of_waiting(waits, instead=False):
            return run_plan(plan, listeners, strategy=strategy, world=world, after=recording)
    except ArgumentError as error:
        if error.name != "fleet":
            raise
        raise ArgumentError("fleet", f"{error.problem}; {_ANOTHER}") from None
    except ReplayError as error:
        anew = f"; without {WORKINGS} all of it is worked out anew" if (folder / WORKINGS).exists() else ""
        raise InputError(f"{folder} cannot go on: the search does not go as it is recorded: {error}{anew}") from None


def _muted(view: View, world: Resumed) -> Callable[[Event], None]:
    def listen(event: Event) -> None:
        view.muted = world.recorded
        view(event)

    return listen
