"""From what a user names to a program: a workload, a Python file, or an object in hand."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tvm
from tvm import s_tir
from tvm.tirx import For, PrimFunc
from tvm_ffi import structural_equal

from colt.errors import InputError
from colt.knobs import EDITION
from colt.tvm.programs import workloads
from colt.tvm.programs.arguments import Argument, Role, min_bytes_of
from colt.tvm.programs.constants import constants_of, with_constants
from colt.tvm.programs.emptiness import with_sums_set, without_nothing
from colt.tvm.programs.foreign import foreign_loops_plain
from colt.tvm.programs.inputs import UserInputs, user_inputs
from colt.tvm.programs.naming import named_apart
from colt.tvm.programs.nests import in_root
from colt.tvm.programs.normal import normal_form
from colt.tvm.programs.out_of_bounds import require_in_bounds
from colt.tvm.programs.program import module_of_function
from colt.tvm.programs.roles import arguments_of
from colt.tvm.programs.user_file import load_from_file
from colt.tvm.programs.walks import walk
from colt.tvm.programs.workloads.base import Array, Workload
from colt.tvm.programs.wraps import wraps_chosen
from colt.tvm.space.tunable import require_tunable
from colt.util.files import read_file

_OWN = "a program of your own is path/to/file.py:name, where name is a PrimFunc, an IRModule, or a function giving one"
_DEFAULT_SIZE = "small"
_FORM_TIMED = 5
"""The last edition whose normal form was timed as the untuned program."""
_WRAPPING = 2
"""The last edition with indices that wrap around."""
_FILE = re.compile(r"(?P<path>.*\.py)(?P<named>:(?P<attribute>.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Program:
    """A program to be tuned, not scheduled yet.

    ``module`` holds the one PrimFunc ``main``, whose arguments do not overlap. ``flops`` is the workload's count of
    its contractions, or TVM's estimate of all arithmetic, or ``None`` if neither knows. ``min_bytes`` counts each
    argument once for being read and once for being written. ``size``, ``workload`` and ``reference`` (inputs to
    output, by numpy) are there for workloads only.
    """

    name: str
    module: Any = field(repr=False)
    arguments: tuple[Argument, ...]
    flops: int | None
    min_bytes: int
    size: str | None = None
    workload: Workload[Any] | None = field(default=None, repr=False)
    reference: Callable[[Sequence[Array]], Array] | None = field(default=None, repr=False)
    given: Any = field(default=None, repr=False)
    """The module as the user wrote it, if ``module`` is its normal form (:mod:`colt.tvm.programs.normal`). Only its
    names are unique, sums over nothing are set to their initial value, and indices that wrap around are choices."""
    own_inputs: Any = field(default=None, repr=False)
    """What the user's file says of inputs, not checked yet."""
    inputs: UserInputs | None = field(default=None, repr=False)
    """What the user says of inputs; all others are drawn."""
    form: str = ""
    """What the form is called, if ``module`` has other sums than ``given`` (:mod:`colt.tvm.forms`)."""

    def untuned(self, edition: int) -> Any:
        """The module that speed-ups are over: what the user wrote. Up to the fifth edition of the design space it is
        its normal form, which was as fast then; and so it is where that only has a block around it."""
        if self.given is None or edition <= _FORM_TIMED:
            return self.module
        same = structural_equal(in_root(self.given["main"]), self.module["main"])
        return self.module if same else self.given


def why_no_roofline(program: Program) -> str | None:
    """Why the program has no share of the roofline; ``None`` if it has one."""
    if not program.flops:
        return "how many operations it takes is not known"
    others = sorted({argument.dtype for argument in program.arguments} - {"float32"})
    return f"the measured FMA peak is of float32, it uses {', '.join(others)}" if others else None


def load_program(spec: str | os.PathLike[str] | Any, size: str | None = None) -> Program:
    """Load what ``spec`` names.

    It is a workload's name, ``path/to/file.py:name``, ``path/to/file.py`` if the file defines one program only, a
    PrimFunc, or an IRModule. ``size`` is for workloads (default ``small``).

    Raises
    ------
    InputError
        There is no such program, or it cannot be tuned; the message says why and what is accepted.
    """
    if isinstance(spec, PrimFunc | tvm.IRModule):
        return _own_program(spec, None, size)
    if not isinstance(spec, str | os.PathLike):
        raise InputError(f"a program cannot be a {type(spec).__name__}; give a workload's name, or {_OWN}")
    text = os.fspath(spec).strip()
    file = _FILE.fullmatch(text)
    if file is None:
        return _workload_program(text, size)
    if file["named"] and not file["attribute"]:
        raise InputError(f"{text!r} names nothing after the colon; {_OWN}")
    path = Path(file["path"]).expanduser()
    loaded = load_from_file(path, file["attribute"])
    return replace(_own_program(loaded.program, file["attribute"] or path.stem, size), own_inputs=loaded.inputs)


def with_inputs(program: Program, given: Any, seed: int) -> Program:
    """The program with what the user says of its inputs: ``given``, or else what the file has that it is from.

    Raises :class:`InputError` if that does not fit it.
    """
    chosen = program.own_inputs if given is None else given
    if chosen is None:
        return program
    return replace(program, inputs=user_inputs(chosen, program.arguments, program.module["main"], seed))


def with_constant_arguments(program: Program, names: Sequence[str] | None) -> Program:
    """The program with the arguments of these names constant (:mod:`colt.tvm.programs.constants`); ``None`` leaves
    those that it says itself. Raises :class:`InputError` if one is not there, or is written."""
    if names is None:
        return program
    forms = {"module": program.module, "given": program.given}
    marked = {form: with_constants(one, names, program.arguments) for form, one in forms.items() if one is not None}
    return replace(program, **marked)


def source_digest(spec: object) -> str:
    """A digest of the Python file that ``spec`` names a program in; empty if it names none, or none that is there.

    The file is not run.
    """
    file = _FILE.fullmatch(os.fspath(spec).strip()) if isinstance(spec, str | os.PathLike) else None
    if file is None:
        return ""
    try:
        content = read_file(Path(file["path"]).expanduser())
    except OSError:
        return ""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def saved_program(module: tvm.IRModule, name: str, size: str | None, edition: int = EDITION) -> Program:
    """The program that a run has tuned: the saved ``module``, with what is known about the workload of that name.

    It is in the form of that ``edition`` of the design space.

    A program of the user's own has no ``size``; its file is not imported.

    Raises
    ------
    InputError
        There is no such workload, or the module cannot be tuned.
    """
    own = _own_program(module, name, None, edition)
    if size is None:
        return own
    known = _workload_program(name, size)
    saved = replace(known, module=own.module, given=own.given, arguments=own.arguments, min_bytes=own.min_bytes)
    return with_constant_arguments(saved, constants_of(own.module["main"]))


def _workload_program(name: str, size: str | None) -> Program:
    try:
        workload = workloads.get(name)
    except InputError as error:
        raise InputError(f"{error}; {_OWN}") from None
    size = size or _DEFAULT_SIZE
    written = workload.build(size)
    func = written["main"]
    normal = normal_form(func)
    changed = normal is not func
    arguments = arguments_of(func)
    program = Program(
        name=workload.name,
        module=module_of_function(normal) if changed else written,
        given=written if changed else None,
        arguments=arguments,
        flops=workload.flops(size),
        min_bytes=min_bytes_of(arguments),
        workload=workload,
        size=size,
        reference=workload.reference,
    )
    return with_constant_arguments(program, workload.constants)


def _own_program(source: Any, name: str | None, size: str | None, edition: int = EDITION) -> Program:
    if size is not None:
        raise InputError(
            f"size {size!r} is for workloads; a program of your own has the shapes that it is written with"
        )
    func = foreign_loops_plain(_only_function(source))
    name = name or str(func.attrs.get("global_symbol", "main"))
    require_tunable(func, name)
    require_in_bounds(func, name)
    meant = without_nothing(func)  # TVM leaves a sum over nothing unwritten: nothing can be compared with that
    if edition > _WRAPPING:
        meant = wraps_chosen(meant)  # TVM gets some of them wrong as they are written
    normal = normal_form(meant, edition)
    module = module_of_function(normal)
    arguments = arguments_of(module["main"])
    if all(argument.role is Role.INPUT for argument in arguments):
        raise InputError(f"{name} computes nothing: the loops around all that it writes are over nothing")
    given = None if normal is meant else module_of_function(named_apart(with_sums_set(meant)))
    program = Program(name, module, arguments, _estimated_flops(module), min_bytes_of(arguments), given=given)
    return with_constant_arguments(program, constants_of(func))


def _only_function(source: Any) -> PrimFunc:
    if isinstance(source, PrimFunc):
        return source
    functions = {variable.name_hint: function for variable, function in source.functions.items()}
    names = sorted(functions)
    if len(names) != 1:
        raise InputError(
            f"the IRModule holds {len(names)} functions ({', '.join(names)}); a program is a single PrimFunc"
        )
    (function,) = functions.values()
    if not isinstance(function, PrimFunc):
        raise InputError(f"function {names[0]} of the IRModule is a {type(function).__name__}; a program is a PrimFunc")
    return function


def _estimated_flops(module: tvm.IRModule) -> int | None:
    """TVM's estimate; ``None`` if it counts nothing, or would have to guess how often a loop runs."""
    unknown: list[Any] = []

    def visit_loop(loop: Any) -> None:
        if not isinstance(loop.extent, tvm.tirx.IntImm):
            unknown.append(loop)

    walk(module["main"].body, (For, visit_loop))
    return None if unknown else round(s_tir.analysis.estimate_tir_flops(module)) or None
