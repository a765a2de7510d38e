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
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import tvm
from tvm import tirx
from tvm.target import codegen

from colt.tvm.programs.naming import substituted
from colt.tvm.programs.program import Change, with_changed_bodies
from colt.tvm.programs.walks import every, mutated
from colt.tvm.vector_math.functions import Function, replaced_by
from colt.tvm.vector_math.straight_line import SCALING, Leaves, Steps, StraightLine, close
from colt.tvm.vector_math.vectors import calls, written_out

_BRANCH = "if_then_else"
_EMULATED = ("bfloat16", "float8", "float6", "float4")
"""For a store to these types, TVM writes out the rounding before it vectorises, and the value then occurs twice. A let
that occurs twice is an error there. So for the first of them the rounding is written out here, of a name."""
_CPU = "llvm"
_MOST_LEAVES = 100_000
"""The limit for the code of nested functions with all names replaced; TVM takes about a second for that many."""


def rewrite(mod: Any, scales: bool = False, vectors: Collection[int] = ()) -> Any:
    """The module with vector math; ``mod`` itself if there is nothing to replace. ``scales``: see :func:`scales_on`.
    ``vectors``: see :func:`vectors_on`.

    Calls on float32 are replaced, and those on float16, which are computed in float32 and rounded once. These stay:
    calls on other types or on constants, values stored as types of less than 16 bits, or as bfloat16 unless they are
    rounded from float32 as a whole, all but two or three calls of a nest, calls in branches inside the arguments of
    other calls, and functions for targets other than CPUs.
    """
    return with_changed_bodies(mod, rewriting(scales, vectors))


def rewriting(scales: bool = False, vectors: Collection[int] = (), rounds: bool = True) -> Change:
    """What :func:`rewrite` changes. ``rounds``: values that are rounded to bfloat16, too."""

    def change(function: tirx.PrimFunc, body: Any) -> Any:
        if not is_for_cpu(function) or not any(map(replaced_by, calls(body))):
            return body
        rewritten = _Rewritten(written_out(body, vectors), scales, vectors, rounds)
        return rewritten.body if rewritten.counts else body

    return change


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


def count_calls(mod: Any, rounds: bool = True) -> Mapping[str, int]:
    """How many calls of each function :func:`rewriting` replaces; functions that are not called are left out."""
    counts: Counter[str] = Counter()
    for function in mod.functions.values():
        if is_for_cpu(function):
            counts += _Rewritten(function.body, rounds=rounds).counts
    return counts


def is_for_cpu(function: Any) -> bool:
    """Whether the function is a program for a CPU, or for no target in particular."""
    if not isinstance(function, tirx.PrimFunc):
        return False
    target = function.attrs.get("target")
    return target is None or target.kind.name == _CPU


class _Rewritten:
    """``body`` with its calls replaced, and ``counts`` of the replaced calls by name."""

    def __init__(self, body: Any, scales: bool = False, vectors: Collection[int] = (), rounds: bool = True) -> None:
        self._scales = scales
        self._vectors = vectors
        self._rounds = rounds
        self.counts: Counter[str] = Counter()
        self._steps: Steps | None = None
        """The steps to the outermost value that is being rewritten; ``None`` outside of one."""
        self._leaves = Leaves()
        self.body = mutated(body, (tirx.BufferStore, self._store))

    def _store(self, store: Any, mutator: Any) -> Any:
        before, stored = self.counts.total(), store.value
        if not any(map(replaced_by, calls(stored))):
            return store
        if str(store.buffer.dtype).startswith(_EMULATED):
            stored = _rounded(stored) if self._rounds else None
        if stored is None:
            return store
        loads = tvm.ir.TensorLoad, lambda load, mutator: load
        others = (tvm.ir.Call, self._call), (tirx.Select, self._select), (tirx.Let, self._let)
        value = mutated(stored, loads, *others)
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
        code = _code(function, dtype.lanes, self._scales, dtype.lanes in self._vectors)
        is_single = str(dtype).startswith("float32")
        own, result = code.copied(argument if is_single else argument.astype(code.type))
        steps += own
        return result if is_single else result.astype(str(dtype))

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


def _rounded(value: Any) -> Any:
    """A float32 that is cast to bfloat16, rounded to the nearest, of two to the even one, as TVM does it: in whole
    numbers. ``None`` for any other value."""
    if not isinstance(value, tirx.Cast) or str(value.ty) != "bfloat16" or str(value.value.ty) != "float32":
        return None
    word = "uint32"
    bits = tirx.Var("bits", word)
    sixteen, half, one = (tirx.const(number, word) for number in (16, 0x7FFF, 1))
    up = half + tirx.bitwise_and(tirx.shift_right(bits, sixteen), one)
    high = tirx.Cast("uint16", tirx.shift_right(bits + up, sixteen))
    return tirx.Let(bits, tirx.reinterpret(word, value.value), tirx.reinterpret("bfloat16", high))


@dataclass(frozen=True, slots=True)
class _Code:
    """A function's code for ``x``, of that type, as a value in lets. To write it anew, operation by operation, would
    take longer than to copy it."""

    type: str
    x: Any
    value: Any

    def copied(self, argument: Any) -> tuple[Steps, Any]:
        """The steps and the result for an argument, with names of their own."""
        names = {let.var: tirx.Var(str(let.var.name), let.var.ty) for let in every(self.value, tirx.Let)}
        x = names[self.x] = tirx.Var(str(self.x.name), self.x.ty)
        steps, value = [(x, argument)], substituted(self.value, names)
        while isinstance(value, tirx.Let):
            steps.append((value.var, value.value))
            value = value.body
        return steps, value


@cache
def _code(function: Function, lanes: int, scales: bool = False, by_floats: bool = False) -> _Code:
    steps: Steps = []
    code = StraightLine(lanes, steps, scales, by_floats)
    x = tirx.Var("x", code.float_type)
    return _Code(code.float_type, x, close(steps, function.expand(code, x)))


@cache
def _uses(function: Function) -> int:
    """How often the argument occurs in the function's code with all names replaced."""
    steps, result = _code(function, 1).copied(tirx.Var("x", "float32"))
    leaves = Leaves()
    leaves.learn(steps)
    return leaves.count(result)


def _has_let(value: Any) -> bool:
    return bool(every(value, tirx.Let))
