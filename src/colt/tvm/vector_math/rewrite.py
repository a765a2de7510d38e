"""The pass: calls of transcendental functions become the straight-line code of :data:`FUNCTIONS`.

It is for CPUs and for scheduled programs: the code is long, and scheduling primitives and cost models should not have
to look at it. Only stored values are rewritten, not the indices that they depend on.

TVM's LLVM backend restricts lets in two ways. It refuses lets in the values of other lets, so the steps of an inner
call come before those of the outer call. And it simplifies every value with all names replaced by their values, which
takes exponential time for nested functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, partial
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.target import codegen

from colt.tvm.vector_math.functions import Function, replaced_by
from colt.tvm.vector_math.straight_line import SCALING, Leaves, Steps, StraightLine, close
from colt.tvm.vector_math.vectors import written_out

_BRANCH = "if_then_else"
_EMULATED = ("bfloat16", "float8", "float6", "float4")
"""For a store to these types, TVM writes out the rounding before it vectorises, and the value then occurs twice. A let
that occurs twice is an error there."""
_CPU = "llvm"
_MOST_LEAVES = 100_000
"""The limit for the code of nested functions with all names replaced; TVM takes about a second for that many."""


def rewrite(mod: Any, scales: bool = False, vectors: Collection[int] = ()) -> Any:
    """The module with vector math; ``mod`` itself if there is nothing to replace. ``scales``: see :func:`scales_on`.
    ``vectors``: see :func:`vectors_on`.

    Calls on float32 are replaced, and those on float16, which are computed in float32 and rounded once. These stay:
    calls on other types or on constants, values stored as bfloat16 or narrower, all but two or three calls of a nest,
    calls in branches inside the arguments of other calls, and functions for targets other than CPUs.
    """
    changed = {
        variable: _Rewritten(written_out(function, vectors), scales, vectors)
        for variable, function in mod.functions.items()
        if is_for_cpu(function)
    }
    changed = {variable: rewritten for variable, rewritten in changed.items() if rewritten.counts}
    if not changed:
        return mod
    result = mod.clone()
    for variable, rewritten in changed.items():
        result.update_func(variable, rewritten.function)
    return result


def scales_on(target: Any) -> bool:
    """Whether the target multiplies by powers of two in one instruction, as AVX-512 does. LLVM calls libm elsewhere."""
    return target.kind.name == _CPU and bool(codegen.target_has_features("avx512f", target))


def vectors_on(target: Any) -> frozenset[int]:
    """The lengths of vectors, in elements, that the target multiplies by powers of two which are floats themselves. It
    takes two instructions less than powers of integers, and LLVM has it for whole registers alone."""
    if not scales_on(target):
        return frozenset()
    short = bool(codegen.target_has_features("avx512vl", target))
    return frozenset(length for length in SCALING if short or length == max(SCALING))


def count_calls(mod: Any) -> Mapping[str, int]:
    """How many calls of each function :func:`rewrite` replaces; functions that are not called are left out."""
    counts: Counter[str] = Counter()
    for function in mod.functions.values():
        if is_for_cpu(function):
            counts += _Rewritten(function).counts
    return counts


def is_for_cpu(function: Any) -> bool:
    """Whether the function is a program for a CPU, or for no target in particular."""
    if not isinstance(function, tirx.PrimFunc):
        return False
    target = function.attrs.get("target")
    return target is None or target.kind.name == _CPU


class _Rewritten:
    """``function`` with its calls replaced, and ``counts`` of the replaced calls by name."""

    def __init__(self, function: Any, scales: bool = False, vectors: Collection[int] = ()) -> None:
        self._scales = scales
        self._vectors = vectors
        self.counts: Counter[str] = Counter()
        self._steps: Steps | None = None
        """The steps to the outermost value that is being rewritten; ``None`` outside of one."""
        self._leaves = Leaves()
        body = tvm_ffi.structural_mutate(function.body, (tirx.BufferStore, self._store))
        self.function = function.with_body(body) if self.counts else function

    def _store(self, store: Any, mutator: Any) -> Any:
        before = self.counts.total()
        if str(store.buffer.dtype).startswith(_EMULATED):
            return store
        rules = (
            (tvm.ir.TensorLoad, lambda load, mutator: load),
            (tvm.ir.Call, self._call),
            (tirx.Select, self._select),
            (tirx.Let, self._let),
        )
        value = tvm_ffi.structural_mutate(store.value, rules)
        if self.counts.total() == before:
            return store
        return tirx.BufferStore(store.buffer, value, store.indices, store.span)

    def _call(self, call: Any, mutator: Any) -> Any:
        if str(getattr(call.op, "name", "")).endswith(_BRANCH):
            return self._branches(call, call.args, tirx.if_then_else, mutator)
        function = replaced_by(call)
        if function is None:
            return mutator.default_mutate(call)
        return self._with_steps(lambda steps: self._replaced(call, function, steps, mutator))

    def _select(self, select: Any, mutator: Any) -> Any:
        parts = (select.condition, select.true_value, select.false_value)
        return self._branches(select, parts, tirx.Select, mutator)

    def _let(self, let: Any, mutator: Any) -> Any:
        """Rewrite a let of the program. In the value of another let it becomes a step, like those made here."""

        def bind() -> tuple[Any, Any]:
            step = let.var, mutator.mutate(let.value)
            self._leaves.learn([step])
            return step

        def nested(steps: Steps) -> Any:
            steps.append(bind())
            return mutator.mutate(let.body)

        def outermost(steps: Steps) -> Any:
            return tirx.Let(*bind(), self._apart(partial(mutator.mutate, let.body)))

        return self._with_steps(outermost if self._steps is None else nested)

    def _branches(self, node: Any, parts: Sequence[Any], make: Callable[..., Any], mutator: Any) -> Any:
        """Put a condition's steps before it, but leave a branch's inside: the branch may be all that guards a load."""
        if self._steps is not None:
            return node

        def chosen(steps: Steps) -> Any:
            condition = mutator.mutate(parts[0])
            return make(condition, *(self._apart(partial(mutator.mutate, part)) for part in parts[1:]))

        return self._with_steps(chosen)

    def _replaced(self, call: Any, function: Function, steps: Steps, mutator: Any) -> Any:
        (argument,) = map(mutator.mutate, call.args)
        if self._leaves.count(argument) * _uses(function) > _MOST_LEAVES or _has_let(argument):
            return tvm.ir.Call(call.op, [argument], call.attrs, ret_ty=call.ty, span=call.span)
        self.counts[function.name] += 1
        before = len(steps)
        result = self._expand(function, argument, steps)
        self._leaves.learn(steps[before:])
        return result

    def _expand(self, function: Function, argument: Any, steps: Steps) -> Any:
        dtype = argument.ty.dtype
        code = StraightLine(dtype.lanes, steps, self._scales, dtype.lanes in self._vectors)
        x = code.let("x", argument if str(dtype).startswith("float32") else argument.astype(code.float_type))
        result = function.expand(code, x)
        return result if str(dtype) == code.float_type else result.astype(str(dtype))

    def _with_steps(self, make: Callable[[Steps], Any]) -> Any:
        """The value that ``make`` returns, with its steps around it unless they belong to an outer value."""
        if self._steps is not None:
            return make(self._steps)
        steps: Steps = []
        self._steps = steps
        result = make(steps)
        self._steps = None
        return close(steps, result)

    def _apart(self, make: Callable[[], Any]) -> Any:
        """The value that ``make`` returns, with its own steps inside."""
        outer, self._steps = self._steps, None
        result = make()
        self._steps = outer
        return result


@cache
def _uses(function: Function) -> int:
    """How often the argument occurs in the function's code with all names replaced."""
    steps: Steps = []
    result = function.expand(StraightLine(1, steps), tirx.Var("x", "float32"))
    leaves = Leaves()
    leaves.learn(steps)
    return leaves.count(result)


def _has_let(value: Any) -> bool:
    return tvm_ffi.structural_walk(value, (tirx.Let, tvm_ffi.VisitInterrupt)) is not None
