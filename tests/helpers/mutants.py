"""Faults put into a program on purpose. Each maker yields modules with one fault of its kind, named after its place.

They are as a compiler's faults would be: a loop too short, an index beside the right one, a value kept in too few bits,
iterations that are not independent run in parallel. Works on untuned programs and on schedules alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import tvm
import tvm_ffi
from tvm import s_tir, tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx.buffer import is_buffer_var

from colt.tvm.programs.nests import mentions
from colt.tvm.programs.program import module_of_function

Mutants = Iterator[tuple[str, Any]]


def dropped_terms(module: Any, shift: str = "") -> Mutants:
    """The innermost loop over terms of a sum ends one early."""
    for name, loop in _loops(module, tirx.IterVar.CommReduce, shift):
        yield f"{name}.{loop.loop_var.name}", _shorter(module, loop)


def unwritten_tails(module: Any, shift: str = "") -> Mutants:
    """The innermost loop over the elements of a result, final or not, ends one early."""
    for name, loop in _loops(module, tirx.IterVar.DataPar, shift):
        yield f"{name}.{loop.loop_var.name}", _shorter(module, loop)


def shifted_indices(module: Any, shift: str = "") -> Mutants:
    """A load is of the next element, at the end of the last one."""
    function = module["main"]
    loads: list[Any] = []

    def block(node: Any) -> None:
        if not isinstance(node.body, tirx.BufferStore):
            return

        def load(found: Any) -> None:
            own = found.source.same_as(node.body.buffer)
            place = f"{node.body.buffer.name}<{found.source.name}"
            if not own and not _cancels(shift, place) and _long(found) is not None:
                loads.append(found)

        if not _cancels(shift, str(node.body.buffer.name)):
            tvm_ffi.structural_walk(node.body.value, (tvm.ir.TensorLoad, load))

    tvm_ffi.structural_walk(function.body, (SBlock, block), order="pre")
    for number, chosen in enumerate(loads):
        place = _long(chosen)
        assert place is not None
        index, extent = chosen.indices[place], int(chosen.source.shape[place])
        indices = list(chosen.indices)
        indices[place] = tirx.Min(index + 1, tirx.const(extent - 1, str(index.ty.dtype)))

        def replace(node: Any, mutator: Any) -> Any:
            return tirx.BufferLoad(node.source, indices) if node.same_as(chosen) else mutator.default_mutate(node)  # noqa: B023

        yield (
            f"{chosen.source.name}#{number}",
            _with_body(module, tvm_ffi.structural_mutate(function.body, (tvm.ir.TensorLoad, replace))),
        )


def fewer_bits(module: Any, shift: str = "") -> Mutants:
    """What is stored, or what is loaded, passes through float16 where float32 was asked for."""
    function = module["main"]

    def rounded(value: Any) -> Any:
        return value.astype("float16").astype("float32")

    stored: list[Any] = []
    tvm_ffi.structural_walk(function.body, (tirx.BufferStore, lambda node: stored.append(node)))
    for parameter in function.params:
        if str(parameter.dtype) != "float32" or any(node.buffer.same_as(parameter) for node in stored):
            continue

        def load(node: Any, mutator: Any) -> Any:
            node = mutator.default_mutate(node)
            return rounded(node) if node.source.same_as(parameter) else node  # noqa: B023

        body = tvm_ffi.structural_mutate(function.body, (tvm.ir.TensorLoad, load))
        yield f"load {parameter.name}", _with_body(module, body)
    wide = [node for node in stored if str(node.buffer.dtype) == "float32"]
    for number, chosen in enumerate(wide):
        if _cancels(shift, str(chosen.buffer.name)):
            continue
        if isinstance(chosen.value, tirx.FloatImm):
            continue

        def store(node: Any, mutator: Any) -> Any:
            if not node.same_as(chosen):  # noqa: B023
                return mutator.default_mutate(node)
            return tirx.BufferStore(node.buffer, rounded(node.value), node.indices)

        yield (
            f"store {chosen.buffer.name}#{number}",
            _with_body(module, tvm_ffi.structural_mutate(function.body, (tirx.BufferStore, store))),
        )


def races(module: Any, shift: str = "") -> Mutants:
    """The terms of a sum are added up by several threads in the same place."""
    for name in _sums(module, shift):
        schedule = s_tir.Schedule(module)
        block = schedule.get_sblock(name)
        axes = schedule.get(block).iter_vars
        loops = schedule.get_loops(block)
        if len(loops) != len(axes):
            continue
        terms = [loop for loop, axis in zip(loops, axes, strict=True) if axis.iter_type == tirx.IterVar.CommReduce]
        others = [loop for loop in loops if loop not in terms]
        schedule.reorder(*terms, *others)
        schedule.decompose_reduction(block, terms[0])
        chosen = schedule.get(terms[0])
        yield name, _replaced(schedule.mod, chosen, kind=tirx.ForKind.PARALLEL)


KINDS: dict[str, Callable[..., Mutants]] = {
    "a term dropped": dropped_terms,
    "a tail unwritten": unwritten_tails,
    "an index off by one": shifted_indices,
    "float16 for float32": fewer_bits,
    "a race": races,
}


def _cancels(shift: str, place: str) -> bool:
    return bool(shift and re.search(shift, place))


def _sums(module: Any, shift: str) -> list[str]:
    found: list[str] = []

    def block(node: Any) -> None:
        reduces = any(axis.iter_type == tirx.IterVar.CommReduce for axis in node.iter_vars)
        if reduces and not _cancels(shift, str(node.name_hint)):
            found.append(str(node.name_hint))

    tvm_ffi.structural_walk(module["main"].body, (SBlock, block), order="pre")
    return found


def _loops(module: Any, kind: int, shift: str) -> list[tuple[str, Any]]:
    """For each block, the innermost loop of more than one iteration that an axis of that kind follows."""
    function = module["main"]
    found: list[tuple[str, Any]] = []
    around: list[Any] = []

    def visit(statement: Any) -> None:
        def loop(node: Any) -> tvm_ffi.WalkResult:
            around.append(node)
            visit(node.body)
            around.pop()
            return tvm_ffi.WalkResult.SKIP

        def realize(node: Any) -> tvm_ffi.WalkResult:
            chosen = _chosen(node)
            if chosen is not None:
                found.append((str(node.block.name_hint), chosen))
            visit(node.block.body)
            return tvm_ffi.WalkResult.SKIP

        tvm_ffi.structural_walk(statement, ((tirx.For, loop), (SBlockRealize, realize)), order="pre")

    def _chosen(node: Any) -> Any:
        block = node.block
        if _cancels(shift, str(block.name_hint)):
            return None
        values = [v for axis, v in zip(block.iter_vars, node.iter_values, strict=True) if axis.iter_type == kind]
        for loop in reversed(around):
            long = isinstance(loop.extent, tirx.IntImm) and int(loop.extent) > 1
            if long and any(mentions(value, loop.loop_var) for value in values):
                return loop
        return None

    visit(function.body)
    return found


def _shorter(module: Any, loop: Any) -> Any:
    return _replaced(module, loop, extent=loop.extent - 1)


def _replaced(module: Any, loop: Any, extent: Any = None, kind: Any = None) -> Any:
    def change(node: Any, mutator: Any) -> Any:
        if not node.loop_var.same_as(loop.loop_var):
            return mutator.default_mutate(node)
        return tirx.For(
            node.loop_var,
            node.min,
            node.extent if extent is None else extent,
            node.kind if kind is None else kind,
            node.body,
            node.thread_binding,
            node.annotations,
        )

    return _with_body(module, tvm_ffi.structural_mutate(module["main"].body, (tirx.For, change)))


def _with_body(module: Any, body: Any) -> Any:
    return module_of_function(module["main"].with_body(body))


def _long(load: Any) -> int | None:
    """The last axis that has more than one element."""
    if not is_buffer_var(load.source):
        return None
    places = [place for place, extent in enumerate(load.source.shape) if int(extent) > 1]
    return places[-1] if places else None
