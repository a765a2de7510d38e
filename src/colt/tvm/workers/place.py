"""Where kernels run: in the worker itself, or on a board. A worker treats both alike."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import tvm
from tvm import IRModule
from tvm.target import Target

from colt.machine import detect
from colt.machine.queueing import QueueWatch
from colt.tvm.programs.arrays import Array
from colt.tvm.programs.constants import split
from colt.tvm.workers.arguments import ArgumentCache, to_device
from colt.tvm.workers.kernel import Kernel, KernelCache, LocalKernel, build_library
from colt.tvm.workers.layout import Layouts
from colt.tvm.workers.messages import Stage
from colt.tvm.workers.noise import Gauge
from colt.tvm.workers.producers import Write, producer
from colt.tvm.workers.reference import reference_arguments, reference_program
from colt.tvm.workers.stacks import stack_filler


class Place(Protocol):
    """Where the kernels of one worker run."""

    @property
    def arguments(self) -> ArgumentCache:
        """What kernels are timed with; another one after :meth:`connect`."""
        ...

    @property
    def remote(self) -> bool:
        """Whether it takes a connection."""
        ...

    @property
    def address(self) -> str:
        """Where it is; empty for this machine."""
        ...

    def connect(self, allowed: Mapping[Stage, float]) -> Sequence[str]:
        """Prepare for a request that may spend so many seconds in each stage; returns what the user should know.

        Raises
        ------
        :class:`~colt.tvm.workers.board.BoardLost`
            There is no connection to be had.
        """
        ...

    def allow(self, seconds: float) -> None:
        """Let the next stage take so long; soon after that it is ended there."""
        ...

    def rest(self) -> None:
        """A request is done; another may follow."""
        ...

    def lost(self) -> bool:
        """Whether what is running there is gone, so that a new connection is needed."""
        ...

    def build(self, module: IRModule) -> Kernel:
        """The program built; one that is built already is kept."""
        ...

    def adopt(self, module: IRModule, library: bytes) -> None:
        """Keep a program that another machine has built."""
        ...

    def tensor(self, array: Array) -> Any:
        """A tensor there, holding a copy."""
        ...

    def gauge(self) -> Gauge:
        """Tells how quiet the machine is."""
        ...

    def export(self, module: IRModule, path: Path, timed: bool = False) -> None:
        """Write the program as a library, on the worker's own disk; as it is ``timed``, or for whoever calls it."""
        ...


class ThisProcess:
    """Kernels run in the worker: a crash or a hang of theirs is the worker's."""

    remote = False
    address = ""

    def __init__(self, target: Target, threads: int, kernels: int, cache_bytes: int) -> None:
        self.arguments = ArgumentCache(cache_bytes)
        self._target = target
        self._threads = threads
        self._layouts = Layouts(self._fill_stacks)
        build = partial(LocalKernel, target=target, layouts=self._layouts, write=self._write)
        self._kernels: KernelCache[LocalKernel] = KernelCache(build, kernels)
        self._gauge: Gauge | None = None
        self._filler: LocalKernel | None = None
        self._producer: LocalKernel | None = None

    def connect(self, allowed: Mapping[Stage, float]) -> Sequence[str]:
        """Nothing is needed."""
        return ()

    def allow(self, seconds: float) -> None:
        """The parent watches, and ends the whole process."""

    def rest(self) -> None:
        """Nothing is held."""

    def lost(self) -> bool:
        """Never: kernels run in the process that asks."""
        return False

    def build(self, module: IRModule) -> LocalKernel:
        return self._kernels.get(module)

    def adopt(self, module: IRModule, library: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="colt-kernels-") as folder:
            path = Path(folder) / "kernel.so"
            path.write_bytes(library)
            loaded = tvm.runtime.load_module(str(path))
        self._kernels.put(module, LocalKernel(module, self._target, self._layouts, loaded, self._write))

    def tensor(self, array: Array) -> Any:
        return to_device(array)

    def gauge(self) -> Gauge:
        if self._gauge is None:
            simd = detect().simd
            kernel = LocalKernel(reference_program(self._threads, simd), self._target, self._layouts)
            arguments = [to_device(array) for array in reference_arguments(self._threads, simd)]
            reference = kernel.bind(arguments)
            self._gauge = Gauge(lambda: reference.once().us, partial(QueueWatch, self._layouts.crews))
        return self._gauge

    def _fill_stacks(self) -> None:
        if self._filler is None:
            self._filler = LocalKernel(stack_filler(self._threads), self._target, self._layouts)
        self._filler.function()

    def _write(self) -> Write:
        if self._producer is None:
            self._producer = LocalKernel(producer(self._threads), self._target, self._layouts)
        return cast(Write, self._producer.function)

    def export(self, module: IRModule, path: Path, timed: bool = False) -> None:
        # Objects may be for another processor, on which a built kernel would have to be compiled for its first use.
        kept = timed or (path.suffix != ".tar" and split(module) is None)
        library = self.build(module).library if kept else build_library(module, self._target)
        library.export_library(str(path))
