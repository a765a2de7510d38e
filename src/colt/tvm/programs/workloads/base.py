"""What a workload is. Free of TVM, so that listing workloads is quick."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from colt.errors import InputError
from colt.tvm.programs.arguments import Argument, min_bytes_of

Array = NDArray[Any]
ShapeT = TypeVar("ShapeT")


@dataclass(frozen=True, slots=True)
class Workload(Generic[ShapeT]):
    """A named program at two sizes; ``ShapeT`` is the frozen dataclass of its extents.

    Wherever a method takes ``size`` it takes the name of a size or a ``ShapeT`` of one's own.
    """

    name: str
    description: str
    """One line."""
    sizes: Mapping[str, ShapeT]
    """``small`` tunes in seconds, ``paper`` is the real layer."""
    make_module: Callable[[ShapeT], Any]
    """The program as an ``IRModule`` with one PrimFunc ``main``: inputs first, the output last."""
    count_flops: Callable[[ShapeT], int]
    compute: Callable[..., Array]
    """numpy's version: takes the inputs in order, returns the output."""
    constants: tuple[str, ...] = ()
    """The names of the arguments that are the same in every call, such as weights."""
    rounds: float = 0.0
    """The error, relative to the largest element, that a result may have beside the tolerance of its type, since the
    program rounds what it computes on the way, and ``compute`` does not. TVM itself may leave that out, or not."""
    peers_round: float = 0.0
    """The same of libraries, whose results may have fewer bits than the program's."""

    def shape(self, size: str | ShapeT) -> ShapeT:
        """The extents of a size. Raises :class:`~colt.errors.InputError` for an unknown name."""
        if not isinstance(size, str):
            return size
        if size not in self.sizes:
            raise InputError(f"workload {self.name} has no size {size!r}; it has {' and '.join(self.sizes)}")
        return self.sizes[size]

    def build(self, size: str | ShapeT) -> Any:
        """The untuned program, a ``tvm.IRModule``."""
        return self.make_module(self.shape(size))

    def flops(self, size: str | ShapeT) -> int:
        """Floating-point operations of the contractions, a multiply-add counted as 2.

        Softmax, activations and padding are left out, as is usual for these layers: they are below 3 % of the work.
        """
        return self.count_flops(self.shape(size))

    def arguments(self, size: str | ShapeT) -> tuple[Argument, ...]:
        """Inputs, then the output."""
        from colt.tvm.programs.roles import arguments_of  # this module stays free of TVM

        return arguments_of(self.build(size)["main"])

    def min_bytes(self, size: str | ShapeT) -> int:
        """Bytes that memory must move at least: each input and the output once."""
        return min_bytes_of(self.arguments(size))

    def reference(self, inputs: Sequence[Array]) -> Array:
        """The output for these inputs by numpy; the extents are those of the inputs."""
        return self.compute(*inputs)
