"""Random programs over tensors, each built twice from the same steps: as tensor expressions, and with NumPy.

A value is a tensor expression together with what it should hold: in float64, and rounded to its type after every step.
How far the two are apart tells how far a kernel may be off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te, tirx

from tests.helpers.operators.case import TOLERANCES, numpy_dtype
from tests.helpers.operators.reported import largest_of, nothing_yet

Array = NDArray[Any]
EXTENTS = (1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 32, 64)
DTYPES = ("float32", "float16", "bfloat16", "float64", "int8", "uint8", "int32", "int64", "bool")
LARGEST = 1 << 14
"""Elements of a tensor at most."""
Step = tuple[int, int, int]
"""What to do, and two numbers that say how; any integers will do."""


@dataclass(frozen=True)
class Value:
    """A tensor of the program; ``wide`` is what it holds exactly, ``narrow`` with rounding."""

    tensor: Any
    wide: Array
    narrow: Array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.wide.shape

    @property
    def dtype(self) -> str:
        return str(self.tensor.dtype)

    @property
    def floats(self) -> bool:
        return "float" in self.dtype

    @property
    def large(self) -> bool:
        """Whether one more step might overflow an integer of 32 bits, which means nothing in C."""
        return not self.floats and bool((np.abs(self.wide.astype(np.int64)) > 1 << 12).any())

    def allowed(self) -> float:
        """How far an element may be off."""
        if not self.floats or not self.wide.size:
            return 0.0
        off = np.abs(self.wide - self.narrow.astype(np.float64))
        off, wide = off[np.isfinite(off)], np.abs(self.wide)[np.isfinite(self.narrow)]
        return float(TOLERANCES[self.dtype] * wide.max(initial=0.0) + 4 * off.max(initial=0.0))

    def error(self, found: Array) -> float:
        """How far the farthest element is off; what overflows the type counts for nothing."""
        if not self.floats:
            return float((found != self.narrow).any())
        sound = np.isfinite(self.narrow)
        return float(np.abs(np.where(sound, found.astype(np.float64) - self.wide, 0.0)).max(initial=0.0))


@dataclass
class Program:
    """Steps carried out so far."""

    rng: np.random.Generator
    arguments: list[Any] = field(default_factory=list)
    given: list[Array] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, dtype: int, extents: list[int], steps: list[Step], several: bool) -> Program:
        """The program of these numbers, of which any will do. With ``several`` all results are outputs."""
        program = cls(np.random.default_rng(len(steps)))
        shape = tuple(EXTENTS[number % len(EXTENTS)] for number in extents)
        while np.prod(shape) > LARGEST:
            shape = shape[1:]
        program.values = [program.input(shape, DTYPES[dtype % len(DTYPES)])]
        for kind, one, other in steps:
            act = ACTIONS[kind % len(ACTIONS)]
            made = act(program, program.values[-1], one, other)
            if made is not None and not made.large:
                program.values.append(made)
                program.done.append(act.__name__)
        if len(program.values) == 1:
            program.values.append(negative(program, program.values[0], 0, 0))
        program.outputs = program.values[1:] if several else program.values[-1:]
        return program

    def function(self) -> Any:
        """The program for TVM."""
        return te.create_prim_func([*self.arguments, *(output.tensor for output in self.outputs)])

    def input(self, shape: tuple[int, ...], dtype: str) -> Value:
        if "float" in dtype:
            array = self.rng.uniform(-1, 1, shape)
        else:
            array = self.rng.integers(0, 2 if dtype == "bool" else 4, shape)
        return self.argument(array.astype(numpy_dtype(dtype)), dtype)

    def argument(self, array: Array, dtype: str) -> Value:
        tensor = te.placeholder(array.shape, dtype, name=f"x{len(self.arguments)}")
        self.arguments.append(tensor)
        self.given.append(array)
        return Value(tensor, array.astype(np.float64) if "float" in dtype else array, array)

    def result(self, compute: Callable[..., Any], wide: Array, narrow: Array, dtype: str) -> Value:
        """A value whose elements are those of ``compute``, a function of their indices."""
        tensor = te.compute(wide.shape, compute, name=f"v{len(self.values)}")
        assert str(tensor.dtype) == dtype, (tensor.dtype, dtype)
        kept = numpy_dtype(dtype)
        return Value(tensor, wide if "float" in dtype else wide.astype(kept), narrow.astype(kept))


def _both(value: Value, act: Callable[[Array], Array]) -> tuple[Array, Array]:
    with np.errstate(all="ignore"):
        return act(value.wide), act(value.narrow.astype(np.float64) if value.floats else value.narrow)


def _arithmetic(value: Value) -> bool:
    return value.dtype != "bool"


# ---- element by element ----


def negative(program: Program, x: Value, one: int, other: int) -> Value:
    if x.dtype == "bool":
        return program.result(lambda *at: tirx.Not(x.tensor(*at)), ~x.wide, ~x.narrow, "bool")
    zero = tirx.const(0, x.dtype)
    return program.result(lambda *at: zero - x.tensor(*at), *_both(x, lambda a: (a * 0 - a).astype(a.dtype)), x.dtype)


def bounded(program: Program, x: Value, one: int, other: int) -> Value | None:
    if not _arithmetic(x):
        return None
    if x.floats and other % 2:
        return program.result(lambda *at: te.tanh(x.tensor(*at)), *_both(x, np.tanh), x.dtype)
    limit = tirx.const(1, x.dtype)
    return program.result(
        lambda *at: te.max(x.tensor(*at), limit), *_both(x, lambda a: np.maximum(a, 1).astype(a.dtype)), x.dtype
    )


_BINARY: tuple[tuple[Callable[[Any, Any], Any], Callable[[Array, Array], Array]], ...] = (
    (lambda a, b: a + b, np.add),
    (lambda a, b: a - b, np.subtract),
    (lambda a, b: a * b, np.multiply),
    (te.max, np.maximum),
    (te.min, np.minimum),
)


def combined(program: Program, x: Value, one: int, other: int) -> Value | None:
    """With an argument that is broadcast along some of the axes, or with an earlier value of the same shape."""
    if not _arithmetic(x):
        return None
    symbolic, numeric = _BINARY[one % len(_BINARY)]
    same = [value for value in program.values if (value.shape, value.dtype) == (x.shape, x.dtype)]
    if other % 3 == 0:
        y, kept = same[other % len(same)], [True] * len(x.shape)
    else:
        kept = [bool(other >> axis & 1) for axis in range(len(x.shape))]
        y = program.input(tuple(n for n, keep in zip(x.shape, kept, strict=True) if keep), x.dtype)
    spread = tuple(n if keep else 1 for n, keep in zip(x.shape, kept, strict=True))

    def compute(*at: Any) -> Any:
        return symbolic(x.tensor(*at), y.tensor(*(i for i, keep in zip(at, kept, strict=True) if keep)))

    with np.errstate(all="ignore"):
        wide = numeric(x.wide, y.wide.reshape(spread))
        narrow = numeric(_computable(x), _computable(y).reshape(spread))
    return program.result(compute, wide, narrow, x.dtype)


def _computable(value: Value) -> Array:
    return value.narrow.astype(np.float64) if value.floats else value.narrow


def compared(program: Program, x: Value, one: int, other: int) -> Value | None:
    """A truth about integers: about floats, rounding may change it."""
    if x.floats or not _arithmetic(x):
        return None
    limit = tirx.const(2, x.dtype)
    return program.result(lambda *at: x.tensor(*at) < limit, x.wide < 2, x.narrow < 2, "bool")


def cast(program: Program, x: Value, one: int, other: int) -> Value | None:
    dtypes = [name for name in DTYPES if name not in (x.dtype, "bool") and ("float" in name or not x.floats)]
    wanted = dtypes[one % len(dtypes)]
    wide = x.wide.astype(np.float64 if "float" in wanted else numpy_dtype(wanted))
    return program.result(lambda *at: x.tensor(*at).astype(wanted), wide, x.narrow.astype(numpy_dtype(wanted)), wanted)


# ---- moving ----


def transposed(program: Program, x: Value, one: int, other: int) -> Value | None:
    rank = len(x.shape)
    if rank < 2:
        return None
    order = [(axis + 1 + one) % rank for axis in range(rank)]
    places = [order.index(axis) for axis in range(rank)]
    return program.result(
        lambda *at: x.tensor(*(at[place] for place in places)), *_both(x, lambda a: a.transpose(order)), x.dtype
    )


def strided(program: Program, x: Value, one: int, other: int) -> Value | None:
    if not x.shape:
        return None
    axis, step = one % len(x.shape), other % 3 + 1
    back = bool(other % 2)
    extent = x.shape[axis]
    count = (extent + step - 1) // step
    slices = tuple(
        slice(None, None, -step if back else step) if a == axis else slice(None) for a in range(len(x.shape))
    )
    assert x.wide[slices].shape[axis] == count

    def compute(*at: Any) -> Any:
        there = extent - 1 - at[axis] * step if back else at[axis] * step
        return x.tensor(*at[:axis], there, *at[axis + 1 :])

    return program.result(compute, *_both(x, lambda a: a[slices]), x.dtype)


def padded(program: Program, x: Value, one: int, other: int) -> Value | None:
    if not x.shape:
        return None
    axis, width = one % len(x.shape), other % 3 + 1
    extent = x.shape[axis]
    if x.wide.size // extent * (extent + 2 * width) > LARGEST:
        return None
    nothing = tirx.const(0, x.dtype)

    def compute(*at: Any) -> Any:
        there = at[axis] - width
        inside = tirx.all(there >= 0, there < extent)
        return tirx.if_then_else(inside, x.tensor(*at[:axis], there, *at[axis + 1 :]), nothing)

    widths = [(width, width) if a == axis else (0, 0) for a in range(len(x.shape))]
    return program.result(compute, *_both(x, lambda a: np.pad(a, widths)), x.dtype)


def gathered(program: Program, x: Value, one: int, other: int) -> Value | None:
    if not x.shape:
        return None
    axis, count = one % len(x.shape), EXTENTS[other % len(EXTENTS)]
    if x.wide.size // x.shape[axis] * count > LARGEST:
        return None
    dtype = "int64" if other % 2 else "int32"
    ids = program.argument(program.rng.integers(0, x.shape[axis], count).astype(dtype), dtype)

    def compute(*at: Any) -> Any:
        return x.tensor(*at[:axis], ids.tensor[at[axis]], *at[axis + 1 :])

    return program.result(compute, *_both(x, lambda a: np.take(a, ids.wide, axis)), x.dtype)


# ---- reducing ----


def reduced(program: Program, x: Value, one: int, other: int) -> Value | None:
    """A sum, or the largest or smallest, over one axis or all."""
    if not x.shape or not _arithmetic(x):
        return None
    rank = len(x.shape)
    over = tuple(range(rank)) if other % 4 == 0 else (one % rank,)
    symbolic, numeric = ((te.sum, np.sum), (te.max, np.max), (te.min, np.min))[other % 3]
    axes = {axis: te.reduce_axis((0, x.shape[axis]), name=f"k{len(program.values)}_{axis}") for axis in over}

    def compute(*at: Any) -> Any:
        left = iter(at)
        return symbolic(
            x.tensor(*(axes[a] if a in axes else next(left) for a in range(rank))), axis=list(axes.values())
        )

    def total(array: Array) -> Array:
        found = numeric(array, axis=over, dtype=array.dtype) if numeric is np.sum else numeric(array, axis=over)
        return np.asarray(found)

    wide, narrow = _both(x, total)
    if numeric is np.sum:  # sums in few bits drift
        terms = np.sqrt(np.prod([x.shape[axis] for axis in over]))
        narrow = _drifted(x, over, wide, narrow, float(terms))
    return program.result(compute, wide, narrow, x.dtype)


def _drifted(x: Value, over: tuple[int, ...], wide: Array, narrow: Array, steps: float) -> Array:
    if not x.floats:
        return narrow
    rounding = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}[x.dtype]
    return narrow + np.sum(np.abs(x.wide), axis=over) * rounding * steps


def product(program: Program, x: Value, one: int, other: int) -> Value | None:
    """A matrix product with an argument, whichever way that lies."""
    if len(x.shape) != 2 or not _arithmetic(x):
        return None
    (rows, terms), columns, turned = x.shape, EXTENTS[one % len(EXTENTS)], bool(other % 2)
    if rows * columns > LARGEST or terms * columns > LARGEST:
        return None
    y = program.input((columns, terms) if turned else (terms, columns), x.dtype)
    k = te.reduce_axis((0, terms), name=f"k{len(program.values)}")

    def compute(i: Any, j: Any) -> Any:
        return te.sum(x.tensor[i, k] * (y.tensor[j, k] if turned else y.tensor[k, j]), axis=k)

    right = y.wide.T if turned else y.wide
    with np.errstate(all="ignore"):
        wide = (x.wide @ right).astype(x.wide.dtype)
        narrow = wide if not x.floats else _computable(x) @ right
    if x.floats:
        terms_apart = replace(x, wide=np.abs(x.wide)[:, None, :] * np.abs(right.T)[None])
        narrow = _drifted(terms_apart, (2,), wide, narrow, float(np.sqrt(terms)))
    return program.result(compute, wide, narrow, x.dtype)


def where_largest(program: Program, x: Value, one: int, other: int) -> Value | None:
    """A reduction over pairs, of integers: of floats, rounding may change which is largest. Both are results."""
    if not x.shape or x.floats or not _arithmetic(x):
        return None
    axis = one % len(x.shape)
    k = te.reduce_axis((0, x.shape[axis]), name=f"k{len(program.values)}")
    reduce = te.comm_reducer(largest_of, nothing_yet, name=f"v{len(program.values)}")

    def compute(*at: Any) -> Any:
        return reduce((tirx.Cast("int32", k.var), x.tensor(*at[:axis], k, *at[axis:])), axis=k)

    shape = x.shape[:axis] + x.shape[axis + 1 :]
    places, largest = te.compute(shape, compute, name=f"v{len(program.values)}")
    found = x.wide.argmax(axis).astype("int32")
    program.values.append(Value(places, found, found))
    return Value(largest, x.wide.max(axis), x.narrow.max(axis))


ACTIONS: tuple[Callable[[Program, Value, int, int], Value | None], ...] = (
    negative,
    bounded,
    combined,
    compared,
    cast,
    transposed,
    strided,
    padded,
    gathered,
    reduced,
    product,
    where_largest,
)
