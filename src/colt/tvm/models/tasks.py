"""The different functions of a model, as programs to be tuned: equal ones once."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tvm
from tvm import relax
from tvm.ir import GenericConst
from tvm.s_tir.stmt import SBlock
from tvm.tirx import PrimFunc

from colt.tvm.programs.constants import CONSTANTS
from colt.tvm.programs.naming import substituted, with_block
from colt.tvm.programs.program import fingerprint, module_of_function
from colt.tvm.programs.walks import mutated

_OF_THE_GRAPH = ("op_pattern", "layout_free_buffers")
"""Attributes of a function that say how it came about, not what it computes."""
_LONGEST_NAME = 48
_ANCHOR = re.compile(r"conv|matmul|dense|attention|softmax|norm|pool|sum|mean|max\b|min\b|cumsum")
"""How operators begin that others are fused into."""
_PLACEHOLDERS = "layout_free_placeholders"
"""An annotation of blocks that holds a buffer, which is compared by address: no record of such a function is found."""


@dataclass(frozen=True, slots=True)
class ModelTask:
    """A program of the model."""

    name: str
    module: tvm.IRModule
    """Its function is ``main``; arguments that are weights in every call are constant."""
    functions: tuple[str, ...]
    """Those of the model that are this program."""
    calls: int
    """How often one run of the model calls it."""
    inputs: int
    """How many of its parameters it takes; the others it writes."""

    @property
    def key(self) -> str:
        """Identifies it, whatever its arguments, buffers and loops are called."""
        return fingerprint(self.module)


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A call of a function in the model, with its arguments."""

    function: str
    arguments: tuple[Any, ...]


def calls_of(model: tvm.IRModule) -> list[ModelCall]:
    """All calls of functions over tensors, in the order of the program."""
    found: list[ModelCall] = []

    def visit(node: Any) -> None:
        if isinstance(node, tvm.ir.Call) and getattr(node.op, "name", "") == "relax.call_tir":
            function, arguments = node.args[:2]
            found.append(ModelCall(str(function.name_hint), tuple(arguments.fields)))

    relax.analysis.post_order_visit(model["main"], visit)
    return found


def tasks_of(model: tvm.IRModule) -> list[ModelTask]:
    """The model's programs, in the order in which they are first called. What only reshapes is none."""
    calls: dict[str, list[ModelCall]] = {}
    for call in calls_of(model):
        calls.setdefault(call.function, []).append(call)
    found: dict[str, ModelTask] = {}
    for name, of_function in calls.items():
        function = model[name]
        if not isinstance(function, PrimFunc) or relax.analysis.has_reshape_pattern(function):
            continue
        module = _program(function, [_constant_in_all(of_function, n) for n in range(len(of_function[0].arguments))])
        key = fingerprint(module)
        before = found.get(key) or ModelTask(_short(name, found), module, (), 0, len(of_function[0].arguments))
        count = before.calls + len(of_function)
        found[key] = replace(before, functions=(*before.functions, name), calls=count)
    return list(found.values())


def _short(name: str, found: Mapping[str, ModelTask]) -> str:
    """A name that fits into a table, and is none of those found: TVM joins the names of all operators that it fuses."""
    operators = name.removeprefix("fused_").split("_")
    if len(name) > _LONGEST_NAME:
        anchor = next((one for one in operators if _ANCHOR.match(one)), operators[0])
        name = f"{anchor[: _LONGEST_NAME // 2]}_and_more"
    taken = {task.name for task in found.values()}
    others = (f"{name}_{number}" for number in itertools.count(2))
    return next(one for one in itertools.chain([name], others) if one not in taken)


def _constant_in_all(calls: Sequence[ModelCall], number: int) -> bool:
    return all(isinstance(call.arguments[number], GenericConst) for call in calls)


def _program(function: PrimFunc, constant: Sequence[bool]) -> tvm.IRModule:
    """The function as a program: its parameters are called after what they are, so that equal ones are equal."""
    names, counts = list[str](), dict[str, int]()
    for number in range(len(function.params)):
        kind = "y" if number >= len(constant) else "w" if constant[number] else "x"
        count = counts[kind] = counts.get(kind, 0) + 1
        names.append(f"{kind}{count}")
    changed = {old: tvm.ir.Var(name, old.ty) for old, name in zip(function.params, names, strict=True)}
    plain = _without_placeholders(function)
    for attribute in (*_OF_THE_GRAPH, CONSTANTS):
        plain = plain.without_attr(attribute)
    renamed = substituted(plain, changed)
    constants = [name for name in names if name.startswith("w")]
    return module_of_function(renamed.with_attr(CONSTANTS, constants) if constants else renamed)


def _without_placeholders(function: PrimFunc) -> PrimFunc:
    def plain(block: Any, mutator: Any) -> Any:
        new = mutator.default_mutate(block)
        if _PLACEHOLDERS not in new.annotations:
            return new
        return with_block(new, annotations={k: v for k, v in new.annotations.items() if k != _PLACEHOLDERS})

    return function.with_body(mutated(function.body, (SBlock, plain)))
