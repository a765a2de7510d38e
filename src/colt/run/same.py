"""What a run that goes on has to have in common with the run that it was: program, target, versions, machine.

What is measured now would not belong to what was measured then otherwise. Everything that differs is named.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from colt.errors import InputError
from colt.machine import Hardware, detect
from colt.options import BUDGET, UNNAMED
from colt.plan import BESIDE, RUN, SEARCH, Plan
from colt.proposers.members import TABLE
from colt.run.saved import saved_module
from colt.store.directory import CONFIG, PROGRAM, RECORDING
from colt.tvm.programs.program import fingerprint
from colt.tvm.programs.source import load_program, source_digest
from colt.util.version import versions
from colt.world.answers import Looked
from colt.world.recording import GOES_ON, SCHEMA, Recording

_SAME = ("cpu", "cpu_identity", "architecture", "cores", "simd", "l1d", "l2", "l3", "flags")
"""Fields of :class:`Hardware` that schedules depend on."""
_NO_OPTIONS = (*BUDGET, *BESIDE, "target")
"""What the table of the run has beside options that have to be the same: the target is compared as such."""
_MAY_MOVE = ("records", "begin_from", "fleet")
_ANY = ("python",)
"""Versions that nothing depends on here."""


def require_program(folder: Path, recording: Recording) -> None:
    """Raise :class:`InputError` if the program in the folder is not that of the recording.

    This is found out before a plan is made of it: another program may be one that no plan can be made of.
    """
    if recording.header.program not in ("", fingerprint(saved_module(folder / PROGRAM))):
        raise InputError(f"{folder} cannot go on here: {PROGRAM} holds another program than was measured")


def require_same(folder: Path, plan: Plan, recording: Recording, program: Any = None) -> None:
    """Raise :class:`InputError` unless the run of that folder can go on here.

    ``program`` is what the user names as its program. It is loaded, which runs a Python file. Otherwise none is run: a
    file that the config names has to be the same to the letter if it is there.
    """
    header = recording.header
    if recording.schema < GOES_ON:
        raise InputError(
            f"{folder} cannot go on: it was recorded by an earlier version of COLT (schema {recording.schema}, now "
            f"{SCHEMA}), which did not write down all that this takes; colt replay and colt show work"
        )
    differences = list(_other_versions(header.versions))
    if header.target != str(plan.target):
        differences.append(f"the target in {CONFIG} is {plan.target}, in {RECORDING} it is {header.target}")
    if header.program != " ".join(map(_identity, plan.programs)):
        differences.append("the program is another than was measured")
    if not plan.of_model:
        differences += _other_source(plan, header.program, program)
    seen = recording.lines[0].answer if recording.lines else None
    if isinstance(seen, Looked) and plan.device.address is None:
        differences += _other_machine(seen.hardware, detect())
    if differences:
        raise InputError(f"{folder} cannot go on here: {'; '.join(differences)}")


def require_same_options(folder: Path, plan: Plan, config: Mapping[str, Any]) -> None:
    """Raise :class:`InputError`, which names what differs, unless the plan's options are those of the folder's config.

    What the run may spend is as it began, whatever is given; its cluster and its records may have another address.
    """
    now = tomllib.loads(tomli_w.dumps(plan.to_config("")))
    differences = list[str]()
    for table, absent in ((RUN, {}), (SEARCH, UNNAMED)):
        then = {**absent, **_table(folder, config, table)}
        for name in sorted(then.keys() | now[table].keys()):
            was, is_now = then.get(name), now[table].get(name)
            moved = name in _MAY_MOVE and was is not None and is_now is not None
            if was != is_now and name not in _NO_OPTIONS and not moved:
                differences.append(f"{name} was {_in_words(was)}, now it is {_in_words(is_now)}")
    if config.get(TABLE) != now[TABLE]:
        differences.append("the pool was another")
    if differences:
        raise InputError(f"{folder} was begun with other options: {'; '.join(differences)}")


def _table(folder: Path, config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    if not isinstance(found, dict):
        raise InputError(f"{folder / CONFIG} has no table {name}")
    return found


def _in_words(value: object) -> str:
    return "left out" if value is None else repr(value)


def _identity(program: Any) -> str:
    return fingerprint(program.given or program.module)


def _other_source(plan: Plan, identity: str, program: Any) -> Iterator[str]:
    if program is not None:
        if _identity(load_program(program, plan.options.size)) != identity:
            yield f"{program} is another program than that of the run, which is in {PROGRAM}"
        return
    now = source_digest(plan.spec)
    if now and plan.source and now != plan.source:
        yield (
            f"{plan.spec.rpartition(':')[0] or plan.spec} has changed since the run began; if the program is still the "
            f"same, name it ({plan.spec}), so that it is compared with that of the run"
        )


def _other_versions(then: Mapping[str, str]) -> Iterator[str]:
    for name, version in versions().items():
        if name not in _ANY and then.get(name) != version:
            yield f"it was made with {name} {then.get(name, 'of unknown version')}, this is {version}"


def _other_machine(then: Hardware, now: Hardware) -> Iterator[str]:
    for name in _SAME:
        was, is_now = getattr(then, name), getattr(now, name)
        if was != is_now:
            yield "the machine's flags differ" if name == "flags" else f"{name} was {was}, here it is {is_now}"
