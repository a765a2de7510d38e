"""Sums of integers that begin with what would be added to them: ``C[i, j] = P[i, j] - s[i]``, where P is a sum.

The block that adds it reads something else than the sum, so no schedule can bring the sum's register tiles to their
place in it: all of P is stored and loaded again. If the sum begins with ``-s[i]``, the block is gone. The result is the
same to the last bit: integers are added modulo 2**32 in any order.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tvm
from tvm import tirx
from tvm.tirx import Add, BufferStore, Cast, IntImm, Mul, PrimFunc, Sub

from colt.tvm.programs.naming import substituted, with_block
from colt.tvm.programs.nests import PlainNest, covers, element, mentions, nests_of, with_nests
from colt.tvm.programs.walks import every

_WORDS = ("int32", "uint32")
_OPERATIONS: Mapping[Any, Callable[[Any, Any], Any]] = {Add: operator.add, Sub: operator.sub, Mul: operator.mul}


def corrections_first(func: PrimFunc, chosen: Callable[[str], bool]) -> PrimFunc:
    """The function with such additions made first, for the sums whose blocks' names are ``chosen``; ``func`` itself if
    there are none."""
    nests, gone = nests_of(func), []
    for place in range(len(nests)):
        found = _sum_of(nests, place, list(func.body.block.alloc_buffers))
        if found is None or not chosen(str(found[1].block.name_hint)):
            continue
        source, total, addition = found
        gone.append(total.block.body.buffer)
        nests[place] = _begun(total, addition)
        nests[source] = None
    if not gone:
        return func
    changed = with_nests(func, [nest for nest in nests if nest is not None])
    outer = changed.body.block
    kept = [one for one in outer.alloc_buffers if not any(one.same_as(buffer) for buffer in gone)]
    return changed.with_body(type(changed.body)([], True, with_block(outer, alloc_buffers=kept)))


def _sum_of(nests: Sequence[Any], place: int, local: Sequence[Any]) -> tuple[int, PlainNest, PlainNest] | None:
    """The place of the sum that the nest at ``place`` adds something to, the sum, and the addition; ``None`` if the
    nest is something else, or the sum is needed elsewhere too."""
    addition = None if nests[place] is None else PlainNest.of(nests[place])
    store = None if addition is None else addition.block.body
    if addition is None or addition.block.init is not None or not isinstance(store, BufferStore):
        return None
    if not covers(store, addition) or len(store.indices) != len(addition.block.iter_vars):
        return None
    others = _loads(store.value)
    for load in others:
        buffer = load.source
        if not any(buffer.same_as(one) for one in local) or not _adds_to(store.value, load) or len(others) == 1:
            continue
        if not all(a.same_as(b) for a, b in zip(load.indices, store.indices, strict=True)):
            continue
        users = [number for number, nest in enumerate(nests) if nest is not None and mentions(nest, buffer)]
        total = PlainNest.of(nests[users[0]]) if len(users) == 2 and users[1] == place else None
        if total is not None and _is_sum(total, buffer) and _may_wait(nests[users[0] + 1 : place], total):
            return users[0], total, addition
    return None


def _loads(value: Any) -> list[Any]:
    return every(value, tvm.ir.TensorLoad)


def _adds_to(value: Any, load: Any) -> bool:
    """Whether the value is this load and what is added to it or subtracted from it, modulo 2**32."""
    if str(value.ty) not in _WORDS:
        return False
    if value.same_as(load):
        return True
    if isinstance(value, Cast):
        return _adds_to(value.value, load)
    if not isinstance(value, Add | Sub):
        return False
    left, right = (any(one.source.same_as(load.source) for one in _loads(part)) for part in (value.a, value.b))
    if left and not right:
        return _adds_to(value.a, load)
    return isinstance(value, Add) and right and not left and _adds_to(value.b, load)


def _is_sum(nest: PlainNest, buffer: Any) -> bool:
    """Whether the nest sums up the elements of the buffer, from zero."""
    block, store = nest.block, nest.block.body
    if not isinstance(store, BufferStore) or not isinstance(block.init, BufferStore):
        return False
    zero = isinstance(block.init.value, IntImm) and int(block.init.value) == 0
    return zero and store.buffer.same_as(buffer) and covers(store, nest) and isinstance(store.value, Add)


def _may_wait(between: Sequence[Any], total: PlainNest) -> bool:
    """Whether the sum can as well be made after these nests."""
    written = [
        region.source for nest in map(PlainNest.of, filter(None, between)) if nest for region in nest.block.writes
    ]
    plain = all(nest is None or PlainNest.of(nest) is not None for nest in between)
    return plain and not any(mentions(total.block, buffer) for buffer in written)


def _begun(total: PlainNest, addition: PlainNest) -> Any:
    """The sum, beginning with what the addition adds, in the addition's buffer."""
    block, store, first = total.block, total.block.body, addition.block.body
    axes = dict(zip(first.indices, store.indices, strict=True))
    reads = [element(load.source, load.indices) for load in _loads(first.value)]
    own = store.buffer
    value = substituted(_in_int32(first.value, own), axes)
    new = with_block(
        block,
        reads=[
            *(substituted(one, axes) for one in reads if not one.source.same_as(own)),
            *block.reads,
        ],
        init=BufferStore(own, value, store.indices),
    )
    realize = type(total.realize)(list(total.realize.iter_values), True, new)
    return substituted(total.around(realize, list(total.realize.iter_values)), {own: first.buffer})


def _in_int32(value: Any, own: Any) -> Any:
    """The value in signed arithmetic, with zero in place of elements of ``own``. TVM promises LLVM that unsigned
    numbers do not wrap around, and below zero they do."""
    if isinstance(value, tvm.ir.TensorLoad) and value.source.same_as(own):
        return tirx.const(0, "int32")
    if isinstance(value, IntImm):
        return tirx.const((int(value) + 2**31) % 2**32 - 2**31, "int32")
    if isinstance(value, Cast) and str(value.value.ty) in _WORDS:
        return _in_int32(value.value, own)
    if type(value) in _OPERATIONS:
        return _OPERATIONS[type(value)](_in_int32(value.a, own), _in_int32(value.b, own))
    return value if str(value.ty) == "int32" else Cast("int32", value)
