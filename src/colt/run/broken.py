"""A run that broke off, finished from what it had measured.

read      config, program and recording; all but a torn last line has to be whole
require   the machine and the versions that the run had
search    as :mod:`colt.run.replay` does, up to where the recording ends; then verify, compare and export, live
keep      the new files take the place of the old ones, the receipt last: until then nothing of the old run is lost
"""

from __future__ import annotations

import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from colt.errors import InputError, ReplayError
from colt.events import Emit
from colt.machine import Hardware, detect
from colt.plan import MADE_WITH, Plan
from colt.run.finish import Result
from colt.run.loop import run
from colt.run.replay import read_plan
from colt.store.directory import CONFIG, JOURNAL, PROGRAM, RECEIPT, RECORDING, read_file
from colt.util.files import in_use
from colt.util.version import versions
from colt.world.answers import Looked
from colt.world.calls import NoCalls
from colt.world.parts import current
from colt.world.recording import Recording, read_recording
from colt.world.world import Finishing

_FOLDER = ".finish-"
"""How the name of the folder begins, within the run's, that the new files are written to."""
_LAST = (JOURNAL, RECORDING, RECEIPT)
_SAME = ("cpu", "cpu_identity", "architecture", "cores", "simd", "l1d", "l2", "l3", "flags")
"""Fields of :class:`Hardware` that schedules depend on."""
_ANY = ("python",)
"""Versions that nothing depends on here."""


def finish_broken(folder: Path, on_event: Sequence[Emit] = ()) -> Result:
    """Make receipt and kernel of a run that broke off. Nothing new is searched, and no language model is asked.

    Raises
    ------
    InputError
        There is no such run, it is finished or still running, its recording is damaged, or machine or versions are not
        those that it had; the message says which.
    MeasureError
        The untuned program does not run any more, or no worker starts.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no run directory")
    if (folder / RECEIPT).exists():
        raise InputError(f"{folder} holds a finished run; there is nothing left to finish")
    for name in (CONFIG, RECORDING, PROGRAM):
        if not (folder / name).is_file():
            raise InputError(f"{folder} holds no run that can be finished: there is no {name}")
    with in_use(folder / RECORDING) as busy:
        if busy:
            raise InputError(f"{folder} is in use by a run that goes on")
        plan, recording = read_plan(folder), read_recording(folder / RECORDING, unfinished=True)
        _require_same(folder, plan, recording)
        for left in folder.glob(f"{_FOLDER}*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=_FOLDER, dir=folder) as temporary:
            result = _finish(folder, replace(plan, run_dir=Path(temporary)), recording, on_event)
            _keep(Path(temporary), folder)
    return replace(result, run_dir=folder)


def _finish(folder: Path, plan: Plan, recording: Recording, on_event: Sequence[Emit]) -> Result:
    world = Finishing(recording, replace(current(), calls=NoCalls))
    try:
        (result,) = run(plan, on_event, world=world)
    except ReplayError as error:
        raise InputError(f"{folder} cannot be finished: the search does not go as it is recorded: {error}") from None
    if result.storage_failure is not None:
        raise result.storage_failure
    return result


def _keep(new: Path, folder: Path) -> None:
    """Move what was written. A kernel that was written before the run broke off stays."""
    names = [path.name for path in new.iterdir() if path.name not in (CONFIG, *_LAST)]
    for name in (*names, *_LAST):
        os.replace(new / name, folder / name)


def _require_same(folder: Path, plan: Plan, recording: Recording) -> None:
    """Raise :class:`InputError` where what is measured now would not belong to what was measured then."""
    made_with = tomllib.loads(read_file(folder / CONFIG).decode("utf-8")).get(MADE_WITH, {})
    differences = list(_other_versions(made_with))
    seen = recording.lines[0].answer if recording.lines else None
    if isinstance(seen, Looked) and plan.device.address is None:
        differences += _other_machine(seen.hardware, detect())
    if differences:
        raise InputError(f"{folder} cannot be finished here: {'; '.join(differences)}")


def _other_versions(made_with: object) -> Iterator[str]:
    then = made_with if isinstance(made_with, dict) else {}
    for name, version in versions().items():
        if name not in _ANY and then.get(name) != version:
            yield f"it was made with {name} {then.get(name, 'of unknown version')}, this is {version}"


def _other_machine(then: Hardware, now: Hardware) -> Iterator[str]:
    for name in _SAME:
        was, is_now = getattr(then, name), getattr(now, name)
        if was != is_now:
            shown = "the machine's flags differ" if name == "flags" else f"{name} was {was}, here it is {is_now}"
            yield shown
