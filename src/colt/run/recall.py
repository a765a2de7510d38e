"""What is known of a program before it is tuned, and how a run begins from it.

look up    records of this program on this kind of machine; or of relatives, the nearest first   colt.records
adopt      as schedules of this run's space, with the nearest legal values                       tvm/space/adopt.py
measure    before anything else: a record is never believed. Relatives' schedules in turn with those that the run would
           have begun with by itself: what bad ones cost is their trials, and no others

What was looked up is an answer of the world, so that a replay needs no store.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from colt import events
from colt.errors import IllegalEdit, InputError, Rejected
from colt.knobs import Schedule
from colt.machine import Hardware
from colt.plan import Plan
from colt.records.elsewhere import Won, won_elsewhere
from colt.records.record import UNDATED, Key, MachineKey, RecordsError, StoredRecord, Versions
from colt.records.store import Matches, Store, nearest
from colt.run.context import Run
from colt.run.promise import MOST_RELATIVES, Adopted, most_promising, suited
from colt.run.task import Begun, Task
from colt.run.verify import check_leader, confirm_roofline
from colt.search.types import Trial
from colt.tvm.briefing.recipes import recipes
from colt.tvm.metaschedule.imports import read_source
from colt.tvm.programs.identity import program_key
from colt.tvm.programs.source import Program
from colt.tvm.space.adopt import Adopter
from colt.util.text import in_us
from colt.util.version import versions
from colt.world.answers import Lead, Recalled

BY_RECORDS, BY_RELATIVE = "records", "relative"
"""Who trials of what was known, and of relatives, are credited to."""
MOST_KNOWN = 4
"""How many records of a program are measured again: the best."""
MOST_OF_MODEL = 2
"""The same of each program of a model that is compiled from records alone, of which there may be many."""
_LEADS_ALONE = 11
"""Up to this edition relatives' schedules were measured before the run looked for any of its own."""
_HOPEFUL = 12
"""Up to this edition relatives' schedules were measured, however little they promised."""
_AS_ADOPTED = 16
"""Up to this edition relatives' schedules were measured as adopted, without regard to which sketches they are of."""
MOST_ADOPTED, ADOPTED_OF_ONE = 16, 8
"""So many schedules of relatives are adapted, of one program at most the latter; the most promising are measured."""


def record_key(run: Run, task: Task) -> Key:
    """What records of the task are found by."""
    return key_of(run.plan, run.hardware, task.program)


def key_of(plan: Plan, hardware: Hardware, program: Program) -> Key:
    """What records of a program are found by, that is tuned by this plan on this hardware."""
    target = json.loads(str(plan.target))
    target.pop("num-cores", None)  # kernels use as many threads as the key says
    machine = MachineKey(
        target=json.dumps(target, sort_keys=True),
        features=" ".join(hardware.vector_flags) or "those of the target",
        threads=plan.threads,
        exact_math=plan.exact_math,
    )
    return Key(program=program_key(program.module), machine=machine, versions=Versions(tvm=versions()["apache-tvm"]))


def recall(run: Run, task: Task) -> None:
    """Look up what is known and open the tree with it.

    Raises :class:`InputError` if the run is to compile from records alone and there are none.
    """
    if run.plan.recalls:
        run.emit(events.Began("looking for what is known"))
        key, machine = record_key(run, task), run.hardware.fingerprint()
        asked = f"what is known of {key.program.structure}"
        found = run.world.take(asked, Recalled, lambda: _look_up(run.plan, key, machine))
        for note in found.notes:
            run.note(note)
        leads = found.leads if run.plan.budget.trials else tuple(lead for lead in found.leads if lead.known)
        if run.plan.from_records:
            leads = leads[:MOST_OF_MODEL]
        task.begun = _adopt(run, task, leads)
        task.dispatcher.desk.elsewhere = recipes(task.tvm_space, found.elsewhere)
    if not run.plan.budget.trials and not task.begun.schedules and not run.plan.of_model:
        raise InputError(
            f"trials is 0, which compiles from records alone, but none is known of {task.program.name} on "
            f"{run.plan.device.place}; give trials to tune it"
        )


def measure_leads(run: Run, task: Task, next_batch: Callable[[Run, Task, int], list[Trial]]) -> None:
    """Measure what the task begins from. These are trials like any other."""
    schedules, own = task.begun.schedules, list[Trial]()
    if run.plan.budget.trials:
        schedules = schedules[: run.stop.trials_left]
    if not schedules:
        return
    run.emit(events.Began("measuring what is known again"))
    if task.begun.joins:
        left = run.stop.trials_left - len(schedules)
        own = next_batch(run, task, left) if left else []
        schedules = tuple(task.search.lead([(schedule, BY_RELATIVE) for schedule in schedules]))
    leads = task.search.trials.take(schedules)
    if task.begun.joins and run.world.edition > _AS_ADOPTED:  # some may be what the run begins with by itself
        task.begun = replace(task.begun, relatives=sum(trial.proposed_by == BY_RELATIVE for trial in leads))
    results = list(task.measure(run, _in_turn(leads, own)))
    check_leader(run, task, results)
    with run.watch("searching"):
        task.search.tell(results)
    confirm_roofline(run, task)


def _in_turn(leads: Sequence[Trial], own: Sequence[Trial]) -> list[Trial]:
    return [one for pair in zip_longest(leads, own) for one in pair if one is not None]


def _adopt(run: Run, task: Task, leads: Sequence[Lead]) -> Begun:
    adopted: list[Adopted] = []
    finders: dict[Schedule, str] = {}
    refused: list[str] = []
    space, scorer, as_adopted = task.tvm_space, task.search.setup.scorer, run.world.edition <= _AS_ADOPTED
    adopter = Adopter(space)
    with run.watch("realising"):
        for lead in leads:
            try:
                schedule = adopter.adopt(lead.words, lead.trace, relative=not lead.known)
            except (IllegalEdit, Rejected) as error:
                refused.append(str(error))
            else:
                if not lead.known and not as_adopted:
                    schedule = suited(schedule, space, scorer)
                adopted.append(Adopted(lead, schedule))
                if lead.known:
                    finders.setdefault(schedule, lead.by)
    if refused:
        run.note(f"{len(refused)} of {len(leads)} recorded schedules cannot be carried out here, such as: {refused[0]}")
    chosen = most_promising(adopted, scorer, _own_us(run, task), by_sketch=not as_adopted)
    if adopted and not chosen:
        run.note("no relative's schedule promises to be nearly as fast as what the run begins with by itself")
    joins = not run.plan.of_model and run.world.edition > _LEADS_ALONE and not finders
    if joins:
        schedules = list(dict.fromkeys(one.schedule for one in chosen))
    else:
        schedules = task.search.lead([(one.schedule, BY_RECORDS if one.lead.known else BY_RELATIVE) for one in chosen])
    count = sum(schedule in finders for schedule in schedules)
    known_us = min((one.lead.latency_us for one in chosen if one.lead.known), default=math.inf)
    return Begun(tuple(schedules), count, len(schedules) - count, len(refused), finders, known_us, joins)


def _own_us(run: Run, task: Task) -> float | None:
    """What is predicted of the best schedule that the run begins with by itself, if it begins with any."""
    if run.world.edition <= _HOPEFUL:
        return None
    return min((node.facts.predicted_us or math.inf for node in task.search.tree.root.children), default=None)


def _look_up(plan: Plan, key: Key, machine: str) -> Recalled:
    notes: list[str] = []
    known: list[StoredRecord] = []
    relatives: list[StoredRecord] = []
    if plan.options.begin_from is not None:
        source = Path(str(plan.options.begin_from))
        read = read_source(source)
        notes += [f"of {source} something is left out: {why}" for why in read.refused[:1]]
        theirs = read.matches()
        of_program = [one.record for one in theirs if _is_of_program(one.record, key)]
        of_others = [one.record for one in nearest(theirs, key) if not _is_of_program(one.record, key)]
        if not of_program and not of_others:
            notes.append(f"{source} knows nothing of this program, nor of a relative")
        known += sorted(of_program, key=lambda record: record.rank)
        relatives += of_others
    if plan.records is not None and not plan.options.fresh:
        try:
            store = Store(plan.records)
            for matches in (store.known(key), store.relatives(key)):
                found = [one.record for one in matches.records]
                known += [record for record in found if _is_of_program(record, key)]
                relatives += [record for record in found if not _is_of_program(record, key)]
                notes += _unreadable(plan.records, matches)
        except RecordsError as error:
            notes.append(f"records are not used: {error}")
    elsewhere: list[Won] = []
    if plan.records is not None and plan.pool.models and not plan.options.fresh:
        with suppress(RecordsError):  # it was noted above
            elsewhere = won_elsewhere([one.record for one in Store(plan.records).of_machine(key).records], key)
    leads = [_lead(record, machine, True) for record in known[:MOST_KNOWN]]
    if not leads:
        leads = [_lead(record, machine, False) for record in _dealt(relatives)]
    return Recalled(leads=tuple(leads), notes=(*notes, *_told(leads, len(known))), elsewhere=tuple(elsewhere))


def _is_of_program(record: StoredRecord, key: Key) -> bool:
    """Whether the record has that very key, or is of the program and does not say what machine it is of."""
    if record.key == key:
        return True
    return record.key.program.structure == key.program.structure and not record.key.machine.features


def _dealt(relatives: Sequence[StoredRecord]) -> Iterator[StoredRecord]:
    """The first few of each relative, the nearest relative first."""
    counts: dict[str, int] = {}
    total = 0
    for record in relatives:
        structure = record.key.program.structure
        counts[structure] = counts.get(structure, 0) + 1
        if counts[structure] <= ADOPTED_OF_ONE and total < MOST_ADOPTED:
            total += 1
            yield record


def _lead(record: StoredRecord, machine: str, known: bool) -> Lead:
    return Lead(
        known=known,
        program=record.name,
        by=record.origin.by,
        when=record.origin.when,
        run=record.origin.run,
        latency_us=record.latency_us,
        verified=record.verified,
        same_machine=record.machine == machine,
        predicted_us=record.predicted_us,
        structure=record.key.program.structure,
        words=record.words,
        trace=None if record.stock is None else record.stock.trace,
    )


def _told(leads: Sequence[Lead], known: int) -> Iterator[str]:
    if not leads:
        return
    best = leads[0]
    proven = "" if best.verified else ", not verified"
    if best.when == UNDATED:  # nor does it say on which machine
        said = f"{in_us(best.latency_us)}{proven}, from the database {best.run}"
    else:
        where = "" if best.same_machine else " on another machine"
        said = f"{in_us(best.latency_us)}{where}{proven}, by {best.by} on {best.when[:10]}"
    if known:
        yield f"this program is known: {known} records, the best {said}; it is measured again first"
    else:
        names = ", ".join(dict.fromkeys(lead.program for lead in leads))
        most = f", {MOST_RELATIVES} at most" if len(leads) > MOST_RELATIVES else ""
        yield f"relatives of this program are known ({names}): their most promising schedules are measured first{most}"


def _unreadable(path: Path, matches: Matches) -> list[str]:
    return [f"{matches.unreadable} records in {path} cannot be read"] if matches.unreadable else []
