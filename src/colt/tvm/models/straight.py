"""A model as one function that calls its kernels, one after the other.

TVM's virtual machine makes every tensor between two kernels anew, finds each weight in a tuple, and forgets each
variable by an instruction of its own. Whatever calls the same kernels with the same memory each time needs none of
this: all tensors between kernels lie in one workspace, as TVM has planned it, weights are told by their addresses, and
what is left is the calls. The kernels' arguments are written into the workspace once; a call writes those pointers only
that are another call's: of inputs and outputs.

Models whose sizes are open, and those that call what they are not linked with, stay with the machine.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import relax, tirx
from tvm.ir import GlobalVar
from tvm.relax import transform
from tvm.tirx import Evaluate, IntImm, PrimFunc

from colt.tvm.models.library import ALIGNMENT, BEGIN, ROOM, RUN
from colt.tvm.programs.arguments import DTYPE_BYTES
from colt.tvm.programs.nests import sequence

_WORD = "int64"
_WORDS = 6
"""What a tensor takes as DLPack has it, of 8 bytes each: data, device, form, shape, strides, offset. Its shape lies
behind that."""
_ON_CPU = 1
_CODES = {"int": 0, "uint": 1, "float": 2, "bfloat": 4, "bool": 6}
"""Kinds of types as DLPack has them."""
_ITSELF, _DATA, _SHAPE = range(3)
"""Fields of a tensor as TVM counts them, of which the first is the tensor."""
_SYMBOL = "__tvm_ffi_"
"""How the names of functions begin in object files. A call by name is to a function that TVM's code generator has seen,
and it declares any other by the name as it is: so the first call of what is linked names it as the object file does."""


def straight(model: tvm.IRModule, kernels: Collection[str]) -> dict[str, PrimFunc]:
    """Its functions by their names; none for a model that is no such sequence. The last parameter of its ``main`` is a
    tuple of all weights. ``kernels`` are functions that it calls by name and is linked with."""
    passes = (
        transform.RewriteDataflowReshape(),
        transform.ToNonDataflow(),
        transform.RemovePurityChecking(),
        transform.CallTIRRewrite(),
        transform.StaticPlanBlockMemory(),
    )
    planned = tvm.transform.Sequential(passes)(model)
    try:
        return _Sequence(planned, kernels).functions()
    except _NotStraight:
        return {}


class _NotStraight(Exception):
    """There is something in the model that no sequence of calls is."""


@dataclass(frozen=True, eq=False)
class _Room:
    """Some memory, of the workspace or an output."""

    size: int


@dataclass(frozen=True)
class _Memory:
    """Where a tensor lies: in ``base``, so many bytes from its beginning. ``base`` is the buffer of an input, the
    number of a weight, or :class:`_Room`."""

    base: Any
    offset: int = 0


@dataclass(frozen=True)
class _Tensor:
    """A tensor that a kernel is called with."""

    memory: _Memory
    shape: tuple[int, ...]
    dtype: str

    @property
    def form(self) -> int:
        """How many axes it has, and its type, in one word: each number in the bits that DLPack has it in."""
        kind = self.dtype.rstrip("0123456789")
        bits = 8 * DTYPE_BYTES[self.dtype]
        return len(self.shape) | _CODES[kind] << 32 | bits << 40 | 1 << 48


class _Sequence:
    def __init__(self, model: tvm.IRModule, kernels: Collection[str]) -> None:
        self._model = model
        self._kernels = kernels
        main = model["main"]
        *inputs, weights = main.params
        self._weights = len(weights.ty.fields)
        self._inputs = [_buffer(f"input{number}", one.ty) for number, one in enumerate(inputs)]
        self._known: dict[Any, Any] = {one: _Memory(buffer) for one, buffer in zip(inputs, self._inputs, strict=True)}
        self._known[weights] = tuple(_Memory(number) for number in range(self._weights))
        self._rooms: list[_Room] = []
        self._calls: list[tuple[str, list[_Tensor]]] = []
        for block in main.body.blocks:
            for binding in block.bindings:
                self._known[binding.var] = self._value(binding.value)
        result = self._value(main.body.body)
        self._results = list(result) if isinstance(result, tuple) else [result]
        types = list(main.ret_ty.fields) if isinstance(main.ret_ty, relax.TupleType) else [main.ret_ty]
        self._outputs = [_buffer(f"output{number}", one) for number, one in enumerate(types)]

    def functions(self) -> dict[str, PrimFunc]:
        """The functions by their names."""
        bases = [one.base for one in self._results if isinstance(one, _Memory)]
        owned = len(bases) == len(self._outputs) == len(set(bases)) and all(one in self._rooms for one in bases)
        if not owned or not self._calls or any(one.offset for one in self._results):
            raise _NotStraight
        tensors = list(dict.fromkeys(one for _, given in self._calls for one in given))
        ends = list(itertools.accumulate((_WORDS + len(one.shape) for one in tensors), initial=0))
        at = dict(zip(tensors, ends, strict=False))
        places, size = dict[Any, int](), _whole_lines(8 * ends[-1])
        for room in self._rooms:
            if room not in bases:
                places[room] = size
                size += _whole_lines(room.size)
        addresses = tirx.decl_buffer((max(1, self._weights),), _WORD, "addresses")
        workspace = tirx.decl_buffer((size // 8,), _WORD, "workspace")
        begin, run = list[Any](), list[Any]()
        symbols = {name: f"{_SYMBOL}{name}" for name in self._kernels}
        for tensor, first in at.items():
            there = tirx.address_of(workspace[first])
            form = [_ON_CPU, tensor.form, 0, 0, 0, *tensor.shape]
            begin += [_stored(workspace, first + n, _word(one)) for n, one in enumerate(form, start=1)]
            begin.append(_pointed(there, _SHAPE, tirx.address_of(workspace[first + _WORDS])))
            base, offset = tensor.memory.base, tensor.memory.offset
            if isinstance(base, int):
                begin.append(_stored(workspace, first, addresses[base]))
            elif base in places:
                begin.append(_pointed(there, _DATA, tirx.address_of(workspace[(places[base] + offset) // 8])))
            else:
                data = self._outputs[bases.index(base)] if isinstance(base, _Room) else base
                run.append(_pointed(there, _DATA, tirx.address_of(data)))
        for name, given in self._calls:
            pointers = [_tensor_there(tirx.address_of(workspace[at[one]])) for one in given]
            run.append(Evaluate(tirx.call_cpacked(symbols.pop(name, name), *pointers)))
        told = tirx.decl_buffer((1,), _WORD, "bytes")
        return {
            RUN: _function(RUN, [*self._inputs, workspace, *self._outputs], run),
            BEGIN: _function(BEGIN, [addresses, workspace], begin),
            ROOM: _function(ROOM, [told], [_stored(told, 0, _word(size))]),
        }

    def _value(self, expr: Any) -> Any:
        """What an expression is: memory, a room, or a tuple of such."""
        if isinstance(expr, relax.Tuple):
            return tuple(map(self._value, expr.fields))
        if isinstance(expr, relax.TupleGetItem):
            return self._value(expr.tuple_value)[expr.index]
        if isinstance(expr, tvm.ir.Call):
            return self._called(expr)
        try:
            return self._known[expr]
        except (KeyError, TypeError):
            raise _NotStraight from None

    def _called(self, call: Any) -> Any:
        name, arguments = getattr(call.op, "name", ""), list(call.args)
        if isinstance(call.op, GlobalVar | relax.ExternFunc):
            return self._kernel(call)
        if name == "relax.memory.alloc_storage":
            return self._room(math.prod(_numbers(arguments[0])))
        if name == "relax.memory.alloc_tensor":
            storage, (offset,) = self._value(arguments[0]), _numbers([arguments[1]])
            return _Memory(storage, offset)
        if name == "relax.builtin.alloc_tensor":
            return _Memory(self._room(_bytes(call.ty)))
        if name == "relax.reshape":
            _shape(call.ty)
            return self._value(arguments[0])
        raise _NotStraight

    def _room(self, size: int) -> _Room:
        room = _Room(size)
        self._rooms.append(room)
        return room

    def _kernel(self, call: Any) -> tuple[()]:
        if isinstance(call.op, relax.ExternFunc):
            known, name = call.op.global_symbol in self._kernels, call.op.global_symbol
        else:
            known, name = isinstance(self._model[call.op], PrimFunc), call.op.name_hint
        memory = [self._value(one) for one in call.args]
        if not known or not all(isinstance(one, _Memory) for one in memory):
            raise _NotStraight
        types = [one.ty for one in call.args]
        tensors = [_Tensor(one, tuple(_shape(ty)), str(ty.dtype)) for one, ty in zip(memory, types, strict=True)]
        self._calls.append((name, tensors))
        return ()


def _numbers(exprs: Any) -> list[int]:
    """Expressions of known values, or a shape, as numbers."""
    values = list(getattr(exprs, "values", exprs))
    values = [getattr(one, "value", one) for one in values]
    if not all(isinstance(one, int | IntImm) for one in values):
        raise _NotStraight
    return [int(one) for one in values]


def _shape(ty: Any) -> list[int]:
    shape = getattr(ty, "shape", None)
    if shape is None:
        raise _NotStraight
    return _numbers(shape)


def _bytes(ty: Any) -> int:
    dtype = str(getattr(ty, "dtype", ""))
    if dtype not in DTYPE_BYTES:
        raise _NotStraight
    return math.prod(_shape(ty)) * DTYPE_BYTES[dtype]


def _buffer(name: str, ty: Any) -> Any:
    _bytes(ty)
    return tirx.decl_buffer(_shape(ty), str(ty.dtype), name)


def _function(name: str, parameters: Sequence[Any], statements: Sequence[Any]) -> PrimFunc:
    return PrimFunc(parameters, sequence(statements)).with_attr("global_symbol", name)


def _whole_lines(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _word(value: Any) -> Any:
    return IntImm(_WORD, value) if isinstance(value, int) else value


def _stored(workspace: Any, place: int, value: Any) -> Any:
    return tirx.BufferStore(workspace, value, [place])


def _pointed(tensor: Any, field: int, pointer: Any) -> Any:
    """A field of the tensor there is a pointer."""
    return Evaluate(tirx.tvm_struct_set(tensor, 0, field, pointer))


def _tensor_there(pointer: Any) -> Any:
    """A pointer to a tensor, so that kernels know it for one."""
    return tirx.call_intrin("handle", "tirx.tvm_struct_get", pointer, 0, _ITSELF)
