"""Arguments that are the same in every call, such as weights: what depends on them alone is computed ahead.

A program names them in its function's attribute :data:`CONSTANTS`. Schedules keep the attribute and the program's
parameters. :func:`split` cuts a scheduled program in two: ``pack`` computes whatever nests depend on constants only,
such as an operand in another layout, and ``packed`` does the rest with what ``pack`` has left. So whatever a schedule
makes of a constant is its own choice, in stock sketches too, and needs no mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm.ir import StringImm
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import AttrStmt, BufferStore, For, PrimFunc

from colt.errors import InputError
from colt.tvm.dots.shims import IMPORT
from colt.tvm.programs.arguments import Argument, Role
from colt.tvm.programs.nests import nests_of, sequence, whole
from colt.tvm.programs.walks import walk
from colt.util.text import did_you_mean

CONSTANTS = "colt.constants"
"""The attribute: a list of the parameters' names."""
WHOLE, PACK, PACKED = "main", "pack", "packed"
"""The functions of an exported library: the program as it was given, and its two parts."""


@dataclass(frozen=True, slots=True)
class Split:
    """A program in two parts. ``pack`` takes the parameters with the numbers ``constants`` and then what it leaves;
    ``packed`` takes those with the numbers ``rest`` and then what ``pack`` has left: arrays of the shapes and types
    ``between``."""

    pack: PrimFunc
    packed: PrimFunc
    constants: tuple[int, ...]
    rest: tuple[int, ...]
    between: tuple[tuple[tuple[int, ...], str], ...]

    def module(self, pack: str, packed: str) -> tvm.IRModule:
        """Both functions by these names."""
        named = {pack: self.pack, packed: self.packed}
        return tvm.IRModule({name: function.with_attr("global_symbol", name) for name, function in named.items()})


def constants_of(function: PrimFunc) -> tuple[str, ...]:
    """The names of the function's constant parameters."""
    return tuple(str(name) for name in (function.attrs or {}).get(CONSTANTS, ()))


def with_constants(module: tvm.IRModule, names: Sequence[str], arguments: Iterable[Argument]) -> tvm.IRModule:
    """The program with these arguments constant. Raises :class:`InputError` for one that is not there or is written."""
    roles = {argument.name: argument.role for argument in arguments}
    for name in names:
        if name not in roles:
            raise InputError(f"constants: there is no argument {name!r}; {did_you_mean(name, list(roles))}")
        if roles[name] is not Role.INPUT:
            raise InputError(f"constants: the program writes {name}, so it is not the same in every call")
    if tuple(names) == constants_of(module["main"]):
        return module
    function = module["main"]
    marked = function.with_attr(CONSTANTS, list(dict.fromkeys(names))) if names else function.without_attr(CONSTANTS)
    return tvm.IRModule({"main": marked})


def split(module: tvm.IRModule) -> Split | None:
    """The program in two parts; ``None`` if no nest of it depends on constants alone."""
    function = module["main"]
    statements, ahead = nests_of(function), computed_ahead(function)
    if not ahead:
        return None
    known = [*function.params, *function.body.block.alloc_buffers]
    touched = [_touched(statement, known) for statement in statements]
    parts = [n for n in range(len(statements)) if n in ahead], [n for n in range(len(statements)) if n not in ahead]
    made = _among(known, [buffer for n in parts[0] for buffer in touched[n][1]])
    used = _among(known, [buffer for n in parts[1] for one in touched[n] for buffer in one])
    between = _among(made, used)
    read = _among(function.params, [buffer for n in parts[0] for buffer in touched[n][0]])
    rest = _among(function.params, used)
    number = {buffer: n for n, buffer in enumerate(function.params)}
    return Split(
        pack=_part(function, [statements[n] for n in parts[0]], [*read, *between], known),
        packed=_part(function, [statements[n] for n in parts[1]], [*rest, *between], known),
        constants=tuple(number[buffer] for buffer in read),
        rest=tuple(number[buffer] for buffer in rest),
        between=tuple((tuple(int(n) for n in buffer.shape), str(buffer.dtype)) for buffer in between),
    )


def computed_ahead(function: PrimFunc) -> set[int]:
    """Which of the nests of a program depend on constants alone, by number."""
    names, statements = constants_of(function), nests_of(function)
    if not names or not statements:
        return set()
    local = list(function.body.block.alloc_buffers)
    touched = [_touched(statement, [*function.params, *local]) for statement in statements]
    return _ahead(touched, [p for p in function.params if str(p.name) in names], local)


Touched = tuple[list[Any], list[Any]]
"""The buffers that a statement reads, and those that it writes."""


def _touched(statement: Any, known: Sequence[Any]) -> Touched:
    reads: list[Any] = []
    writes: list[Any] = []

    def enter(block: Any) -> None:
        reads.extend(region.source for region in block.reads)
        writes.extend(region.source for region in block.writes)

    walk(
        statement,
        (SBlock, enter),
        (tvm.ir.TensorLoad, lambda load: reads.append(load.source)),
        (BufferStore, lambda store: writes.append(store.buffer)),
    )
    return _among(known, reads), _among(known, writes)


def _importing(body: Any, function: PrimFunc) -> Any:
    """The statement with an import of what it calls, unless it imports that itself."""
    called: list[str] = []

    def visit(call: Any) -> None:
        called.extend(str(one.value) for one in call.args[:1] if isinstance(one, StringImm))

    walk(body, (tvm.ir.Call, visit))
    missing = [
        text
        for text in _imports(function.body)
        if text not in _imports(body) and any(f"@{name}(" in text for name in called)
    ]
    return AttrStmt(StringImm(""), IMPORT, StringImm("".join(missing)), body) if missing else body


def _imports(statement: Any) -> list[str]:
    """The LLVM IR that loops of a statement import, each text once."""
    found: dict[str, None] = {}

    def visit(loop: Any) -> None:
        if IMPORT in loop.annotations:
            found.setdefault(str(loop.annotations[IMPORT]))

    walk(statement, (For, visit))
    return list(found)


def _among(known: Iterable[Any], found: Sequence[Any]) -> list[Any]:
    return [buffer for buffer in known if any(buffer.same_as(one) for one in found)]


def _ahead(touched: Sequence[Touched], constants: Sequence[Any], local: Sequence[Any]) -> set[int]:
    """The statements that depend on constants alone, and whose results nothing else writes."""
    found: set[int] = set()
    ready = list(constants)
    for number, (reads, writes) in enumerate(touched):
        others = [buffer for n, (_, there) in enumerate(touched) if n != number for buffer in there]
        inputs = [buffer for buffer in reads if not _among([buffer], writes)]
        own = len(_among(local, writes)) == len(writes) and not _among(writes, others)
        if own and inputs and len(_among(inputs, ready)) == len(inputs):
            found.add(number)
            ready += writes
    return found


def _part(function: PrimFunc, statements: Sequence[Any], params: Sequence[Any], known: Sequence[Any]) -> PrimFunc:
    """A function of these statements; buffers that are no parameters of it are allocated in it, and the LLVM IR that
    they call is brought along, which a loop of another part may have imported."""
    body = _importing(sequence(statements), function)
    reads, writes = _touched(body, known)
    local = [one for one in _among(known, [*reads, *writes]) if not _among([one], params)]
    regions = [[whole(one) for one in _among(params, side)] for side in (reads, writes)]
    root = SBlock([], *regions, "root", body, None, local, [], function.body.block.annotations)
    attributes = {key: value for key, value in function.attrs.items() if key != CONSTANTS}
    part = PrimFunc(list(params), SBlockRealize([], True, root))
    return part.with_attrs(attributes) if attributes else part
