"""The conditions that a function must meet to be tuned."""

from __future__ import annotations

from typing import Any

from tvm import s_tir
from tvm.tirx import BufferType, For, ForKind, IntImm, PrimFunc

from colt.errors import InputError
from colt.tvm.programs.arguments import DTYPE_BYTES, Role
from colt.tvm.programs.roles import arguments_of
from colt.tvm.programs.walks import walk

_SCHEDULED_LOOPS = {
    int(ForKind.PARALLEL): "parallel",
    int(ForKind.VECTORIZED): "vectorized",
    int(ForKind.THREAD_BINDING): "bound to GPU threads",
}


def require_tunable(func: PrimFunc, name: str) -> None:
    """Check that ``func`` (called ``name`` in messages) is an unscheduled function of tensors of constant shape.

    Raises
    ------
    InputError
        It is not; the message says why.
    """
    for attribute, meaning in (("tirx.is_scheduled", "already scheduled"), ("target", "bound to a target")):
        if func.attrs.get(attribute):
            raise InputError(f"{name} is {meaning} (it carries {attribute}); give the program before that")
    for parameter in func.params:
        _require_plain_tensor(parameter, name)
    _require_unscheduled_blocks(func, name)
    if all(argument.role is Role.INPUT for argument in arguments_of(func)):
        raise InputError(f"{name} writes to none of its arguments, so it has no output")


def _require_plain_tensor(parameter: Any, name: str) -> None:
    tensor, what = parameter.ty, f"argument {parameter.name} of {name}"
    if not isinstance(tensor, BufferType):
        raise InputError(f"{what} is {tensor}, not a tensor; only tensors are accepted")
    if not all(isinstance(extent, IntImm) for extent in tensor.shape):
        extents = ", ".join(map(str, tensor.shape))
        raise InputError(f"{what} has the dynamic shape ({extents}); a program is tuned for constant shapes")
    shape = [int(extent) for extent in tensor.shape]
    if 0 in shape:
        raise InputError(f"{what} is empty: its shape is {tuple(shape)}")
    if str(tensor.dtype) not in DTYPE_BYTES:
        raise InputError(f"{what} has the data type {tensor.dtype}; accepted are {', '.join(DTYPE_BYTES)}")
    if list(map(str, tensor.strides)) not in ([], list(map(str, _compact_strides(shape)))):
        raise InputError(f"{what} is strided; only compact row-major tensors are accepted")


def _compact_strides(shape: list[int]) -> list[int]:
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return strides[::-1]


def _require_unscheduled_blocks(func: PrimFunc, name: str) -> None:
    blocks: list[str] = []
    scheduled: list[str] = []

    def visit_loop(loop: Any) -> None:
        if int(loop.kind) in _SCHEDULED_LOOPS:
            scheduled.append(f"loop {loop.loop_var.name} is {_SCHEDULED_LOOPS[int(loop.kind)]}")

    def visit_block(block: Any) -> None:
        blocks.append(block.name_hint)

    walk(func.body, (For, visit_loop), (s_tir.SBlock, visit_block))
    if scheduled:
        raise InputError(f"{name} is already scheduled: {scheduled[0]}; give the program with plain loops")
    if len(blocks) < 2 and not set(blocks) - {"root"}:
        raise InputError(f"{name} has no blocks to schedule; wrap each computation in T.sblock, or write it with te")
