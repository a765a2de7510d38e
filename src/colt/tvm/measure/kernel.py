"""A program built for the target, and one with arguments bound."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import tvm
from tvm.target import Target
from tvm.tirx import PrimFunc


class Kernel:
    """A built program. Building includes LLVM's work on first look-up of the function."""

    def __init__(self, module: tvm.IRModule, target: Target) -> None:
        entry_function(module)
        self.library: Any = tvm.tirx.build(module, target=target)
        self._function: Any = self.library["main"]

    def __call__(self, arguments: Sequence[Any]) -> None:
        self._function(*arguments)

    def bind(self, arguments: Sequence[Any]) -> BoundKernel:
        """The kernel with arguments, for timing."""
        return BoundKernel(self, arguments)


class BoundKernel:
    """Implements :class:`~colt.tvm.measure.timing.Runnable`."""

    def __init__(self, kernel: Kernel, arguments: Sequence[Any]) -> None:
        self._kernel = kernel
        self._arguments = arguments

    def once(self) -> float:
        """One run, timed from here; the call itself costs a few microseconds."""
        start = perf_counter()
        self._kernel(self._arguments)
        return (perf_counter() - start) * 1e6

    def repeated(self, number: int, repeats: int) -> list[float]:
        """TVM's own timing loop, which runs the kernel once before it starts."""
        evaluator = self._kernel.library.time_evaluator("main", tvm.cpu(0), number=number, repeat=repeats)
        return [seconds * 1e6 for seconds in evaluator(*self._arguments).results]


def entry_function(module: tvm.IRModule) -> PrimFunc:
    """The module's only function. Raises ValueError unless that is a PrimFunc named main."""
    names = [variable.name_hint for variable in module.get_global_vars()]
    if names != ["main"] or not isinstance(module["main"], PrimFunc):
        raise ValueError(f"the module holds {names}; one PrimFunc main is needed")
    return module["main"]
