"""A run's kernel as a file of the user's, and how to call it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colt.errors import InputError
from colt.store.directory import KERNEL, KERNEL_OBJECTS, PROGRAM, WINNER
from colt.store.output import require_output
from colt.store.receipt import Receipt, TensorShape
from colt.util.text import variable_names

if TYPE_CHECKING:
    from colt.tvm.programs.domains import Domain, Domains


def export_kernel(run: Path, receipt: Receipt, output: Path) -> Path:
    """Copy the run's verified kernel to ``output``, or build it from the saved module if it is missing or broken.

    An ``output`` that ends in ``.tar`` becomes objects, which TVM links where it loads them.

    Raises
    ------
    InputError
        The run has neither, or ``output`` cannot be written.
    ExportError
        Building is needed and fails.
    """
    require_output(output)
    require_suffix(output)
    from colt.tvm.devices.assumed import resolve_board_target
    from colt.tvm.devices.host import resolve_target
    from colt.tvm.programs.export import export_module, takes_arguments
    from colt.tvm.workers import OBJECTS

    linked = output.suffix != OBJECTS
    kernel = run / (KERNEL if linked else KERNEL_OBJECTS)
    if kernel.is_file() and (not linked or takes_arguments(kernel, _shapes(receipt))):
        _copy(kernel, output)
        return output
    module = _winner(run)
    if module is None:
        raise InputError(f"{run} holds neither a {KERNEL} that loads nor {WINNER}")
    if receipt.hardware.board is not None:
        target = resolve_board_target(receipt.target, receipt.threads).target
    else:
        target = resolve_target(receipt.target, receipt.threads)
    return export_module(module, target, receipt.threads, output)


def require_suffix(output: Path) -> None:
    """Raise :class:`InputError` unless the name says what kind of file a kernel is to become."""
    from colt.tvm.workers import OBJECTS

    if output.suffix not in (".so", OBJECTS):
        raise InputError(
            f"{output} does not end in .so or {OBJECTS}: a kernel is a shared library, or objects that TVM links"
        )


def _shapes(receipt: Receipt) -> list[tuple[tuple[int, ...], str]]:
    return [(argument.shape, argument.dtype) for argument in receipt.workload.arguments]


def _copy(source: Path, target: Path) -> None:
    """Copy completely or not at all."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            copied = Path(folder) / target.name
            shutil.copyfile(source, copied)
            os.replace(copied, target)
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror or error}") from None


def _check(receipt: Receipt) -> list[str]:
    """Lines that refuse a processor without the instructions that the kernel may use, before it is loaded: it would die
    of one."""
    from colt.tvm.devices.host import flags_needed, resolve_target

    needed = flags_needed(resolve_target(receipt.target, receipt.threads)) if receipt.hardware.board is None else ()
    if not needed:
        return []
    return [
        f'missing = set("{" ".join(needed)}".split()) - set(open("/proc/cpuinfo").read().split())',
        'assert not missing, f"the kernel needs a processor with {sorted(missing)}"',
    ]


def _calls(variables: Sequence[str], packing: Any) -> list[str]:
    """The lines that call the kernel."""
    if packing is None:
        return [f"kernel({', '.join(variables)})"]
    shapes = ", ".join(f'tvm.runtime.empty({shape}, "{dtype}")' for shape, dtype in packing.between)
    constants, rest = ([variables[n] for n in numbers] for numbers in (packing.constants, packing.rest))
    return [
        f"between = [{shapes}]",
        f'library["pack"]({", ".join(constants)}, *between)  # once',
        f'library["packed"]({", ".join(rest)}, *between)  # each call; library["main"] does both',
    ]


def _contents(argument: TensorShape, domain: Domain | None) -> tuple[str, str]:
    """The expression of an array for the argument, and what a comment says of its contents."""
    dtype = "ml_dtypes.bfloat16" if argument.dtype == "bfloat16" else f'"{argument.dtype}"'
    if domain is None:
        return f"np.zeros({argument.shape}, {dtype})", ""
    range_ = f", {'ascending ' if domain.order else ''}from {_number(domain.low)} to {_number(domain.high)}"
    if domain.low <= 0 <= domain.high:
        return f"np.zeros({argument.shape}, {dtype})", range_
    return f"np.full({argument.shape}, {_number(domain.low)}, {dtype})", range_


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


_OWN_NAMES = (
    *("os", "np", "tvm", "ml_dtypes", "open", "set", "sorted", "print"),
    *("kernel", "library", "between", "missing"),
)
"""What the printed lines call things of theirs."""


def packing_of(run: Path) -> Any:
    """The two parts of the run's winner, if it has constants (:class:`colt.tvm.programs.constants.Split`); ``None`` if
    not. Raises :class:`InputError` if the winner cannot be read."""
    from colt.tvm.programs.constants import split

    module = _winner(run)
    return None if module is None else split(module)


def _winner(run: Path) -> Any:
    """The winning program; ``None`` if its file is not there. Raises :class:`InputError` if it cannot be read."""
    from colt.run.saved import saved_module

    return saved_module(run / WINNER) if (run / WINNER).is_file() else None


def domains_of(run: Path) -> Domains:
    """Where the contents of each argument of the run's program have to lie for it to mean something; nothing if the
    program is not there. Raises :class:`InputError` if it cannot be read."""
    from colt.run.saved import saved_module
    from colt.tvm.programs.domains import domains
    from colt.tvm.workers.kernel import entry_function

    if not (run / PROGRAM).is_file():
        return ()
    return domains(entry_function(saved_module(run / PROGRAM)))


def loading_lines(library: Path, receipt: Receipt, packing: Any = None, domains: Domains = ()) -> str:
    """Python that loads the library and calls it with arrays of the right shapes. With ``packing``, what depends on the
    constants is computed once, before the calls.

    The arrays hold zeros, or the least value that ``domains`` allow: a divisor is not 0. An argument whose name is not
    free for a Python variable goes by another; a comment has its own.

    Raises
    ------
    InputError
        The receipt is not one that a run writes.
    """
    arguments = receipt.workload.arguments
    for argument in arguments:
        if not argument.name.isprintable() or not argument.dtype.isidentifier() or not argument.role.isprintable():
            raise InputError(f"the receipt's argument {argument.name!r} is not one that a run writes")
    loaded = f"tvm.runtime.load_module({json.dumps(str(library), ensure_ascii=False)})"
    lines = [
        "import os",
        f'os.environ.setdefault("TVM_NUM_THREADS", "{receipt.threads}")  # TVM would use half of the cores',
        'os.environ.setdefault("TVM_BIND_THREADS", "0")  # or one of them may share a core with the caller',
        "import numpy as np, tvm",
        *_check(receipt),
        f'kernel = {loaded}["main"]' if packing is None else f"library = {loaded}",
    ]
    if any(argument.dtype == "bfloat16" for argument in arguments):
        lines.insert(3, "import ml_dtypes")
    variables = variable_names([argument.name for argument in arguments], _OWN_NAMES)
    for number, (argument, variable) in enumerate(zip(arguments, variables, strict=True)):
        own = "" if variable == argument.name else f", {argument.name}"
        contents, range_ = _contents(argument, domains[number] if number < len(domains) else None)
        lines.append(f"{variable} = tvm.runtime.tensor({contents})  # {argument.role}{own}{range_}")
    lines += _calls(variables, packing)
    for argument, variable in zip(arguments, variables, strict=True):
        if argument.role != "input":
            lines.append(f"print({variable}.numpy())")
    return "\n".join(lines)
