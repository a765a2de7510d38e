"""What a run is to do: everything the user asked for, checked and resolved before anything is started or written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from colt.errors import ArgumentError, InputError
from colt.knobs import EDITION
from colt.measure.base import Pace
from colt.measure.batches import trials_at_once
from colt.options import BUDGET, MODELS, PRESETS, UNNAMED, Budget, SearchConfig, SpaceKind, TuneOptions, as_said
from colt.proposers.language.alternatives import alternatives_per_call
from colt.proposers.language.money import Ceilings
from colt.proposers.members import TABLE, PoolSpec
from colt.proposers.poolfile import read_pool
from colt.records.file import require_ours
from colt.records.place import records_path
from colt.records.sources import require_source
from colt.store.directory import RunDirectory
from colt.tvm.devices.base import Device
from colt.tvm.devices.fleet import FleetDevice
from colt.tvm.devices.host import available_cores
from colt.tvm.devices.resolve import recorded_device, resolve_device
from colt.tvm.programs.inputs import recorded_inputs
from colt.tvm.programs.source import (
    Program,
    load_program,
    saved_program,
    source_digest,
    why_no_roofline,
    with_constant_arguments,
    with_inputs,
)
from colt.util.declared import OptionError, options_of, takes
from colt.util.output import require_folder
from colt.util.text import did_you_mean, why
from colt.world.answers import Allowance

DECLARED = options_of(TuneOptions)
"""The options of a run."""
STORED = {name: one for name, one in DECLARED.items() if one.stored}
"""Those that its config file has."""
RUN, SEARCH, PACE, INPUTS, MADE_WITH = "run", "search", "pace", "inputs", "made_with"
"""Tables of the config file, beside those of members."""
HERE = Path()
BESIDE = ("program", "source", "name", "method", "space")
"""What the table of the run has beside the options."""


@dataclass(frozen=True)
class Plan:
    """What is to be done, all of it checked: the options as the user gave them, and what they resolve to."""

    spec: str
    """The program as the user named it; its own name if it was given as an object."""
    programs: tuple[Program, ...]
    """At least one."""
    options: TuneOptions
    device: Device
    """Where kernels run."""
    pool: PoolSpec
    config: SearchConfig
    run_dir: Path | None = None
    records: Path | None = None
    """The file of records to begin from and to add to."""
    may_make_records: bool = True
    """Whether that file is made if there is none: not for the plan of a stranger's run, which may name any path."""
    space: SpaceKind = SpaceKind.COLT
    pace: Pace = field(default_factory=Pace)
    """How long the end of the run takes; other than usual only in tests."""
    source: str = ""
    """A digest of the user's file, if the program is from one."""
    calls: tuple[int, ...] = ()
    """How often a run of the model calls each program, if they are those of one model."""

    weight_bytes: int = 0
    """What all weights of the model take."""
    form_of: tuple[int, ...] = ()
    """For each program of a model the place of the one that it computes in another form, or its own. The model needs
    one of them."""

    @property
    def of_model(self) -> bool:
        """Whether the programs are those of one model, which is judged as a whole."""
        return bool(self.calls)

    @property
    def from_records(self) -> bool:
        """Whether a model is compiled from what is known: nothing is tried."""
        return self.of_model and not self.budget.trials

    @property
    def trials_each(self) -> int:
        """About how many trials a program gets."""
        return max(1, self.budget.trials // len(self.programs)) if self.of_model else self.budget.trials

    @property
    def program(self) -> Program:
        """The program of a plan that has only one."""
        (program,) = self.programs
        return program

    @property
    def target(self) -> Any:
        """What to compile for."""
        return self.device.target

    @property
    def threads(self) -> int:
        """The threads that kernels use."""
        return self.device.threads

    @cached_property
    def budget(self) -> Budget:
        """When the run stops."""
        return Budget(self.options.trials, self.options.seconds, self.options.until_roofline)

    @cached_property
    def ceilings(self) -> Ceilings:
        """What the run may spend on language models."""
        usd = self.options.max_usd
        exact = None if usd is None else Decimal(str(usd))
        return Ceilings(exact, self.options.max_calls, self.options.max_tokens, self.options.max_seconds)

    @property
    def allowance(self) -> Allowance:
        """What the run may take, as it is recorded."""
        return Allowance.of({name: getattr(self.options, name) for name in BUDGET})

    def allowing(self, allowance: Allowance) -> Plan:
        """The same plan with another budget. Raises :class:`InputError` if it does not go with the rest of the plan."""
        given = msgspec.structs.asdict(allowance)
        options = replace(self.options, **given)
        _require_use_of_models(options, self.pool)
        for program in self.programs:
            _require_roofline(options, program, self.device)
        return replace(self, options=options)

    def on_cluster(self, address: str | None) -> Plan:
        """The same plan on the fleet of the cluster there, unless that is left out.

        Raises :class:`InputError` if it is no address, or this is not the plan of a run on a fleet.
        """
        if address is None:
            return self
        if not isinstance(self.device, FleetDevice):
            raise ArgumentError("fleet", f"goes with runs on a fleet; this one measures on {self.device.place}")
        device = self.device.elsewhere(address)
        return replace(self, device=device, options=replace(self.options, fleet=address))

    @property
    def calls_at_once(self) -> int:
        """How many calls may be under way: as many as wanted, but no more than all endpoints together take."""
        return min(self.config.calls_in_flight, sum(member.concurrency for member in self.pool.models))

    @property
    def seed(self) -> int:
        """Seeds everything random."""
        return self.options.seed

    @property
    def recalls(self) -> bool:
        """Whether the run looks for something to begin from."""
        return self.options.begin_from is not None or (self.records is not None and not self.options.fresh)

    @property
    def exact_math(self) -> bool:
        """Whether schedules keep the untuned program's calls of exp and the like, see :mod:`colt.tvm.vector_math`."""
        return self.options.exact_math

    @property
    def strict_pool(self) -> bool:
        """Whether the run stops when no model can be asked."""
        return self.options.strict_pool

    @property
    def keep_paying(self) -> bool:
        """Whether models are asked even if their proposals are no better than those that cost nothing."""
        return self.options.keep_paying

    def to_config(self, method: str) -> dict[str, object]:
        """For the run directory's ``config.toml``; ``method`` names how the run decides what to measure.

        All stored options are there, as they were resolved, except for those that are ``None``.
        """
        resolved = {"size": self.programs[0].size, "target": str(self.target), "threads": self.threads}
        resolved |= self.device.to_config()
        begin_from = self.options.begin_from
        resolved["records"] = None if self.records is None else str(self.records)
        resolved["begin_from"] = None if begin_from is None else str(begin_from)
        names = ", ".join(program.name for program in self.programs)
        run: dict[str, object] = {"program": self.spec, "name": names, "method": method}
        run |= {name: resolved.get(name, getattr(self.options, name)) for name in STORED}
        if self.space is not SpaceKind.COLT:
            run["space"] = str(self.space)
        if self.source:
            run["source"] = self.source
        given = {name: value for name, value in run.items() if value is not None}
        tables: dict[str, object] = {RUN: given, SEARCH: self.config.to_mapping(), TABLE: self.pool.to_tables()}
        for one in self.programs:
            if one.inputs is not None:
                tables[INPUTS] = one.inputs.to_config(one.arguments)
        return tables if self.pace == Pace() else {**tables, PACE: asdict(self.pace)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], module: Any, folder: Path = HERE, edition: int = EDITION) -> Plan:
        """The plan of a finished run, without its directory; ``module`` is the untuned program as it was saved, and
        ``folder`` has the arrays that the user gave. ``edition`` is that of its design space.

        All of it may be a stranger's. Nothing of this machine has a say in it. Raises :class:`InputError`.
        """
        tables = {RUN: config.get(RUN), SEARCH: config.get(SEARCH), TABLE: config.get(TABLE)}
        _require_known("table", config, [*tables, PACE, INPUTS, MADE_WITH])
        run, search, members = tables.values()
        if not isinstance(run, dict) or not isinstance(search, dict) or not _are_tables(members):
            raise InputError(f"it needs the tables {RUN} and {SEARCH}, and a list of {TABLE} tables")
        _require_known("option", run, [*BESIDE, *STORED])
        for name in ("program", "name", "method", "target", "threads"):
            if name not in run:
                raise InputError(f"the table {RUN} has no {name}")
        for name in ("program", "name", "method", "target"):
            if not isinstance(run[name], str):
                raise InputError(f"{name} takes text")
        if not isinstance(run.get("source", ""), str):
            raise InputError("source takes text")
        space = run.get("space", SpaceKind.COLT)
        if space not in list(SpaceKind):
            raise InputError(f"space is {space!r}; it takes one of {', '.join(SpaceKind)}")
        for name in ("records", "begin_from"):
            if not isinstance(run.get(name, ""), str):
                raise InputError(f"{name} takes text")
        options = TuneOptions(**{name: run[name] for name in STORED if name in run})
        program = saved_program(module, run["name"], options.size, edition)
        arguments, function = program.arguments, program.module["main"]
        inputs = recorded_inputs(config.get(INPUTS), folder, arguments, function)
        records = Path(run["records"]) if "records" in run else None
        return cls(
            spec=run["program"],
            programs=(replace(program, inputs=inputs),),
            options=options,
            device=recorded_device(
                run["target"], run["threads"], options.rpc, options.key, options.fleet, options.fleet_cpu
            ),
            pool=PoolSpec.from_tables(members),
            config=SearchConfig.from_mapping({**UNNAMED, **search}),
            records=records,
            may_make_records=records == records_path(),
            space=SpaceKind(space),
            pace=recorded_pace(config),
            source=run.get("source", ""),
        )


def checked(program: Any, options: TuneOptions) -> Plan:
    """Check the options with each other and with the program, and resolve them. Raises :class:`InputError`."""
    resolved = _resolved(options)
    marked = with_constant_arguments(load_program(program, options.size), _constants(options))
    loaded = with_inputs(marked, options.inputs, options.seed)
    _require_roofline(options, loaded, resolved.device)
    spec = program if isinstance(program, str) else loaded.name
    return replace(resolved, spec=spec, programs=(loaded,), source=source_digest(program))


def checked_model(
    name: str,
    programs: Sequence[Program],
    calls: Sequence[int],
    options: TuneOptions,
    weight_bytes: int = 0,
    form_of: Sequence[int] | None = None,
) -> Plan:
    """The plan of tuning all programs of a model within one budget. ``calls`` says how often a run of the model calls
    each, ``weight_bytes`` what all weights of it take, ``form_of`` which are other forms of which; none if left out.
    Raises :class:`InputError`."""
    return replace(
        _resolved(options),
        spec=name,
        programs=tuple(programs),
        calls=tuple(calls),
        weight_bytes=weight_bytes,
        form_of=tuple(range(len(programs)) if form_of is None else form_of),
    )


def _resolved(options: TuneOptions) -> Plan:
    """The options checked with each other and resolved: a plan, but for its programs."""
    device = device_of(options)
    pool = read_pool(options.pool)
    _require_use_of_models(options, pool)
    config = _search_config(options.config, pool, options.boards)
    if options.run_dir is not None:
        if not str(options.run_dir):
            raise InputError("the run directory has an empty name")
        RunDirectory.require_free(Path(options.run_dir))
    return Plan(
        spec="",
        programs=(),
        options=options,
        device=device,
        pool=pool,
        config=config,
        run_dir=None if options.run_dir is None else Path(options.run_dir),
        records=_records(options),
    )


@takes(TuneOptions)
def plan(program: Any, options: TuneOptions) -> Plan:
    """Check and resolve what the user asked for. Takes what :func:`colt.tune` takes. Raises :class:`InputError`."""
    return checked(program, options)


def device_of(options: TuneOptions) -> Device:
    """Where kernels run, and on how many threads."""
    most = available_cores()
    elsewhere = options.rpc is not None or options.fleet is not None
    if not elsewhere and options.threads is not None and options.threads > most:
        raise DECLARED["threads"].error(
            f"is {options.threads}; it takes an integer from 1 to {most}, the cores of this machine"
        )
    return resolve_device(
        options.target,
        options.threads,
        options.rpc,
        options.key,
        options.boards,
        options.fleet,
        options.fleet_cpu,
    )


def _records(options: TuneOptions) -> Path | None:
    """The file of records of the run. What the user names has to be usable; their usual one may turn out not to be."""
    for name in ("records", "begin_from"):
        given = getattr(options, name)
        if given is not None and (not isinstance(given, str | Path) or not str(given)):
            raise DECLARED[name].error(f"is {given!r}; it takes a path")
    if options.begin_from is not None:
        require_source(Path(options.begin_from))
    if not options.use_records:
        if options.records is not None:
            raise OptionError((DECLARED["records"], DECLARED["use_records"]), "exclude each other")
        found = None
    elif options.records is not None:
        found = Path(options.records)
        if found.exists():
            require_ours(found)
        else:
            require_folder(found.absolute().parent)
    else:
        found = records_path()
    if not options.trials and options.begin_from is None and (found is None or options.fresh):
        raise DECLARED["trials"].error("is 0, which compiles from records alone, but none are to be used")
    return found


def _constants(options: TuneOptions) -> tuple[str, ...] | None:
    """The names of the constant arguments; ``None`` if the user gives none."""
    given = options.constants
    names = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
    if names is None:
        return None
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        raise DECLARED["constants"].error(f"is {given!r}; it takes names of arguments, with commas or in a list")
    return tuple(names)


def recorded_pace(config: Mapping[str, Any]) -> Pace:
    """The pace that :meth:`Plan.to_config` wrote. Raises :class:`InputError`."""
    try:
        return msgspec.convert(config.get(PACE, {}), Pace)
    except msgspec.ValidationError as error:
        raise InputError(f"the table {PACE} is not one of a run: {why(error)}") from None


def _search_config(asked: object, pool: PoolSpec, boards: int) -> SearchConfig:
    """The settings of the search. The preset, unless the user chose one, and the number of alternatives in a call
    follow from the pool; the size of batches from the number of boards."""
    if isinstance(asked, SearchConfig):
        config = asked
    elif asked is None or isinstance(asked, Mapping):
        preset = PRESETS["models" if pool.models else "default"]
        of_boards = {"batch_size": trials_at_once(boards)} if boards > 1 else {}
        config = SearchConfig.from_mapping({**preset, **of_boards, **as_said(asked or {})})
    else:
        wanted = "a SearchConfig, or settings by name"
        raise DECLARED["config"].error(f"is of type {type(asked).__name__}; it takes {wanted}")
    if config.proposals_per_call:
        return config
    return replace(config, proposals_per_call=alternatives_per_call(pool.models) if pool.models else 1)


def _require_use_of_models(options: TuneOptions, pool: PoolSpec) -> None:
    """Options for language models need some, and a ceiling of dollars needs prices."""
    given = [one for name, one in DECLARED.items() if one.group == MODELS and getattr(options, name) != one.default]
    if given and not pool.models:
        verb = "is" if len(given) == 1 else "are"
        raise OptionError(tuple(given), f"{verb} for pools with language models; this one has built-in experts alone")
    unpriced = [member for member in pool.models if member.prices is None]
    if options.max_usd is not None and unpriced:
        raise DECLARED["max_usd"].error(
            f"is {options.max_usd}, but the price of {unpriced[0].name} is not known ({unpriced[0].prices_from}); "
            "state prices in the pool file"
        )


def _require_roofline(options: TuneOptions, program: Program, device: Device) -> None:
    share = options.until_roofline
    if share is None:
        return
    if device.why_no_peaks is not None:
        raise DECLARED["until_roofline"].error(f"is {share}, but {device.why_no_peaks}")
    if (why := why_no_roofline(program)) is not None:
        raise DECLARED["until_roofline"].error(f"is {share}, but {program.name} has no share of the roofline: {why}")


def _require_known(what: str, given: Mapping[str, object], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise InputError(f"unknown {what} {name!r}; {did_you_mean(name, known)}")


def _are_tables(found: object) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(found, list) and all(isinstance(table, dict) for table in found)
