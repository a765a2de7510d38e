"""Programs in a user's Python file: imports it as their own code and picks a PrimFunc or an IRModule from it."""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import linecache
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import tvm
from tvm.tirx import PrimFunc

from colt.errors import InputError
from colt.util.streams import stdout_to_stderr

_EXPECTED = "a PrimFunc, an IRModule, or a function without required arguments that returns one of these"
_numbers = itertools.count()

_HINTS = (
    ("SBlockRealize", "Perhaps @T.prim_func lacks s_tir=True, which T.sblock needs"),
    (
        r"'tir'|tvm\.(script\.)?tir\b",
        "That is the spelling of an older TVM. Today: from tvm.script import tirx as T, from tvm import tirx",
    ),
    (
        r"no attribute '(block|block_attr)'",
        "That is the spelling of an older TVM. Today: T.sblock, under @T.prim_func(s_tir=True)",
    ),
    ("'create_schedule'", "Older TVM's te schedules are gone. Give the program itself: te.create_prim_func([...])"),
    ("'arith'", "That is the spelling of an older TVM. Today: tvm.sym"),
)
"""What to say about an error whose text has the pattern."""


INPUTS = "colt_inputs"
"""What a file may define beside its program: ranges or arrays by name, or a function of a random generator that returns
these."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a file has."""

    program: Any
    """A PrimFunc or an IRModule."""
    inputs: Any
    """What it says of inputs, see :mod:`colt.tvm.programs.inputs`; ``None`` if nothing."""


def load_from_file(path: Path, attribute: str | None) -> Loaded:
    """The PrimFunc or IRModule that ``attribute`` of the file is or returns; if not named, the only one it defines.
    With it what the file says of inputs.

    The file is run each time. While it runs, and while a function of it is called, its folder is on ``sys.path``, and
    what it prints goes to standard error: standard output is ours.

    Raises
    ------
    InputError
        There is no such file, it fails, or it has no such program; the message says where, or lists what it has.
    """
    if not path.is_file():
        raise InputError(f"{path} is {'a folder' if path.is_dir() else 'not a file'}; expected is a Python file")
    path = Path(os.path.abspath(path))  # as Python and TVM report it in errors
    with _import_folder(path.parent), stdout_to_stderr():
        module = _run(path)
        name = attribute or _only_program(path, module)
        if name not in vars(module):
            raise InputError(f"{path} does not define {name}; {_offer(module)}")
        program = _program(path, name, vars(module)[name])
        return Loaded(program, _inputs(path, vars(module).get(INPUTS)))


def called_from_file(path: Path, attribute: str, wanted: str) -> Any:
    """What a function of the user's file returns, or what the name is if it is no function. The file is run as in
    :func:`load_from_file`; ``wanted`` says in words what is expected. Raises :class:`InputError`."""
    if not path.is_file():
        raise InputError(f"{path} is {'a folder' if path.is_dir() else 'not a file'}; expected is a Python file")
    path = Path(os.path.abspath(path))
    with _import_folder(path.parent), stdout_to_stderr():
        module = _run(path)
        if attribute not in vars(module):
            raise InputError(f"{path} does not define {attribute}; expected is {wanted}")
        found = vars(module)[attribute]
        if not inspect.isfunction(found):
            return found
        try:
            return found()
        except (Exception, SystemExit) as error:
            raise _refusal(path, f"{attribute}() fails", error) from error


class _FreshLoader(SourceFileLoader):
    """Compiles the file each time: cached bytecode goes stale for files edited twice within a second."""

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


@contextmanager
def _import_folder(folder: Path) -> Iterator[None]:
    before = list(sys.path)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = before


def _run(path: Path) -> ModuleType:
    """Import the file under a name of its own, which it keeps, as pickles and TVMScript look modules up by name."""
    name = re.sub(r"\W", "_", f"colt_user_{next(_numbers)}_{path.stem}")
    spec = importlib.util.spec_from_loader(name, _FreshLoader(name, str(path)))
    if spec is None or spec.loader is None:
        raise InputError(f"{path} cannot be imported")
    linecache.checkcache(str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _refusal(path, "does not load", error) from error
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _is_program(value: Any) -> bool:
    return isinstance(value, PrimFunc | tvm.IRModule)


def _programs(module: ModuleType) -> list[str]:
    """Names of the programs in a module, one name for each."""
    found: dict[int, str] = {}
    for name, value in vars(module).items():
        if _is_program(value) and not name.startswith("_"):
            found.setdefault(id(value), name)
    return list(found.values())


def _functions(module: ModuleType) -> list[str]:
    """Names of the functions that the module itself defines."""
    return [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and name != INPUTS
    ]


def _offer(module: ModuleType) -> str:
    candidates = _programs(module) + _functions(module)
    listed = f"it defines {', '.join(candidates)}" if candidates else "it defines no program"
    return f"{listed} (accepted is {_EXPECTED})"


def _only_program(path: Path, module: ModuleType) -> str:
    programs = _programs(module)
    if len(programs) > 1:
        raise InputError(f"{path} defines several programs, {', '.join(programs)}: say which, as {path}:{programs[0]}")
    if not programs:
        functions = _functions(module)
        named = f"; to use what a function returns, name it, as {path}:{functions[0]}" if functions else ""
        raise InputError(f"{path} defines no PrimFunc and no IRModule{named}")
    return programs[0]


def _program(path: Path, name: str, value: Any) -> Any:
    if _is_program(value):
        return value
    where = f"{path}:{name}"
    if not callable(value) or isinstance(value, type):
        raise InputError(f"{where} is of type {_type_name(value)}; accepted is {_EXPECTED}")
    needed = [
        parameter.name
        for parameter in inspect.signature(value).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if needed:
        raise InputError(f"{where} needs the arguments {', '.join(needed)}; accepted is {_EXPECTED}")
    try:
        result = value()
    except (Exception, SystemExit) as error:
        raise _refusal(path, f"{name}() fails", error) from error
    if not _is_program(result):
        raise InputError(f"{where}() returns {_type_name(result)}; accepted is {_EXPECTED}")
    return result


def _inputs(path: Path, value: Any) -> Any:
    """A function of the file's fails as the file does."""
    if not callable(value):
        return value

    def called(rng: Any) -> Any:
        with _import_folder(path.parent), stdout_to_stderr():
            try:
                return value(rng)
            except (Exception, SystemExit) as error:
                raise _refusal(path, f"{INPUTS}(rng) fails", error) from error

    return called


def _type_name(value: Any) -> str:
    return type(value).__name__


def _refusal(path: Path, what: str, error: BaseException) -> InputError:
    """The error to raise, with the line of the user's file that is to blame, and what it says."""
    message = str(error).strip()
    line = _line_of(path, error, message)
    place = f", line {line}" if line else ""
    source = linecache.getline(str(path), line).strip() if line else ""
    shown = f"\n    {source}" if source else ""
    return InputError(f"{path} {what}{place}: {_summary(error, message)}{shown}")


def _summary(error: BaseException, message: str) -> str:
    if isinstance(error, SystemExit):
        return f"it exits by itself (SystemExit: {error.code})"
    if isinstance(error, SyntaxError):
        return f"{_type_name(error)}: {error.msg}"
    hint = next((told for pattern, told in _HINTS if re.search(pattern, message)), None)
    return _what_tvm_says(error, message) + (f"\n    {hint}" if hint else "")


def _what_tvm_says(error: BaseException, message: str) -> str:
    if ill_formed := re.search(r"Well-formedness check failed: (.*)", message):
        return f"the program is not well formed: {ill_formed[1]}"
    return f"{_type_name(error)}: " + re.split(r"\n\s*--> ", message)[0].removeprefix("error: ").strip()


def _line_of(path: Path, error: BaseException, message: str) -> int | None:
    """The last line of the file that was being run, or that the parser of Python or TVMScript complains of."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    if script := re.search(r"--> (.+):(\d+):\d+", message):
        return int(script[2]) if script[1] == str(path) else None
    lines: list[int] = []
    trace = error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == str(path):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return lines[-1] if lines else None
