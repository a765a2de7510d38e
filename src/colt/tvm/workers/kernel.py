"""A program built for the target, and one with arguments bound."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Generic, Protocol, TypeVar

import tvm
import tvm_ffi
from tvm.target import Target
from tvm.tirx import PrimFunc

from colt.machine.queueing import waited_seconds
from colt.tvm.programs.constants import PACK, PACKED, WHOLE, Split, constants_of, split
from colt.tvm.space.recent import Recent
from colt.tvm.workers.access import analyse
from colt.tvm.workers.layout import Layouts
from colt.tvm.workers.producers import Produced, Write, bytes_of, copied
from colt.tvm.workers.timing import Clocked, Runnable

MOST_COPIES = 256
"""At most so many copies of a program's weights take turns."""


class BoundKernel(Runnable, Protocol):
    """A kernel with arguments."""

    def run(self) -> None:
        """Exactly one run, not timed; where memory can be had anew, in new workspaces."""
        ...


class Kernel(Protocol):
    """A built program."""

    def bind(self, arguments: Sequence[Any], apart_bytes: int | None = None) -> BoundKernel:
        """The kernel with arguments, ready to run; see :attr:`~colt.measure.base.Limits.apart_bytes`."""
        ...


class LocalKernel:
    """A program built for this process, and run in ``layouts``. Building includes LLVM's work on first look-up.

    What depends on its constants alone is computed when arguments are bound, and no part of a run.
    """

    def __init__(
        self,
        module: tvm.IRModule,
        target: Target,
        layouts: Layouts,
        library: Any = None,
        write: Callable[[], Write] | None = None,
    ) -> None:
        """``library`` is what another process has built of the module, if it has. ``write`` makes what writes inputs
        ahead of calls that are apart."""
        function = entry_function(module)
        self._function = function
        self._write = write
        self._constants = frozenset(constants_of(function))
        self._names = tuple(str(param.name) for param in function.params)
        self._split = split(module)
        parts = module if self._split is None else self._split.module(PACK, WHOLE)
        self.library = tvm.tirx.build(parts, target=target) if library is None else library
        self.function: Any = self.library[WHOLE]
        self.layouts = layouts

    def bind(self, arguments: Sequence[Any], apart_bytes: int | None = None) -> LocalBoundKernel:
        """The kernel with arguments, for timing."""
        taken = arguments if self._split is None else self._packed(self._split, arguments)
        if not apart_bytes:
            return LocalBoundKernel(self, [taken])
        assert self._write is not None
        inputs = Produced(self._write(), [taken[place] for place in self._inputs])
        return LocalBoundKernel(self, in_turn(taken, self._weights, apart_bytes), inputs)

    @property
    def _numbers(self) -> Sequence[int]:
        """The numbers of the program's arguments that the kernel itself takes, which come first."""
        return range(len(self._names)) if self._split is None else self._split.rest

    @property
    def _inputs(self) -> list[int]:
        """The places of what another kernel has written, and this one only reads."""
        access = analyse(self._function)
        read = access.read - access.written
        return [
            place
            for place, number in enumerate(self._numbers)
            if number in read and self._names[number] not in self._constants
        ]

    @property
    def _weights(self) -> frozenset[int]:
        """The places of the arguments that are weights, packed or not, among those that the kernel itself takes."""
        numbers = self._numbers
        given = [place for place, number in enumerate(numbers) if self._names[number] in self._constants]
        packed = () if self._split is None else range(len(numbers), len(numbers) + len(self._split.between))
        return frozenset([*given, *packed])

    def _packed(self, parts: Split, arguments: Sequence[Any]) -> Sequence[Any]:
        """What the kernel itself takes."""
        between = [tvm.runtime.empty(shape, dtype) for shape, dtype in parts.between]
        self.library[PACK](*(arguments[number] for number in parts.constants), *between)
        return [*(arguments[number] for number in parts.rest), *between]


def in_turn(arguments: Sequence[Any], weights: Collection[int], apart_bytes: int) -> list[list[Any]]:
    """The arguments as often as it takes for the weights among them to have so many bytes together, each time with
    other copies of these; at most :data:`MOST_COPIES` times."""
    own = sum(bytes_of(arguments[number]) for number in weights)
    copies = min(MOST_COPIES, math.ceil(apart_bytes / own)) if own else 1
    turns = [list(arguments)]
    for _ in range(1, copies):
        turns.append([copied(one) if number in weights else one for number, one in enumerate(arguments)])
    return turns


class LocalBoundKernel:
    """Implements :class:`BoundKernel`. Calls take ``turns`` of arguments one after the other; timed ones each follow
    one that writes the ``inputs``."""

    def __init__(self, kernel: LocalKernel, turns: Sequence[Sequence[Any]], inputs: Produced | None = None) -> None:
        self._kernel = kernel
        self._turns = turns
        self._turn = 0
        self._inputs = inputs

    def run(self) -> None:
        """See :meth:`BoundKernel.run`."""
        self._kernel.layouts.run_in_fresh_memory(self.call)

    def once(self) -> Clocked:
        """One run, timed from here; the call itself costs a few microseconds."""
        return self._kernel.layouts.run(partial(self._timed_calls, 1))

    def repeated(self, number: int, repeats: int) -> list[Clocked]:
        """Each in a layout of its own, by TVM's timing loop, which runs the kernel once before it starts."""
        return [self._average(number) for _ in range(repeats)]

    def _average(self, number: int) -> Clocked:
        self._kernel.layouts.change()
        average = self._loop if self._inputs is not None else self._evaluated
        return self._kernel.layouts.run(partial(average, number))

    def _evaluated(self, number: int) -> Clocked:
        arguments = self._turns[0]
        (us,) = evaluate(self._kernel.library, tvm.cpu(0), arguments, number, 1, before=_WARMED_UP)
        return _clocked(us, number)

    def _loop(self, number: int) -> Clocked:
        """TVM's timing loop calls with the same arguments each time, and nothing in between; this one costs less than a
        microsecond more."""
        self.call()
        return self._timed_calls(number)

    def call(self) -> None:
        """One run, and nothing else."""
        self._turn = (self._turn + 1) % len(self._turns)
        self._kernel.function(*self._turns[self._turn])

    def _timed_calls(self, number: int) -> Clocked:
        _note_waiting()
        seconds = 0.0
        for _ in range(number):
            if self._inputs is not None:
                self._inputs.again()
            start = perf_counter()
            self.call()
            seconds += perf_counter() - start
        return _clocked(seconds * 1e6 / number, number)


class _Waiting(threading.local):
    """When runs began that a thread times, and for how long it had waited for a core until then."""

    since = seconds = 0.0


_waiting = _Waiting()
_WARMED_UP = "colt.workers.warmed_up"
"""What TVM's timing loop calls after the run that is not counted."""


def _note_waiting(*arguments: object) -> None:
    _waiting.since = perf_counter()
    _waiting.seconds = waited_seconds()


tvm_ffi.register_global_func(_WARMED_UP, _note_waiting)


def _clocked(us: float, number: int) -> Clocked:
    """``number`` runs of ``us`` each, with what the thread has waited meanwhile: all that it has since waiting was
    noted, less what can have been before or after the runs."""
    waited_us = (waited_seconds() - _waiting.seconds) * 1e6 / number
    beside_us = (perf_counter() - _waiting.since) * 1e6 / number - us
    return Clocked(us, max(0.0, waited_us - max(0.0, beside_us)))


K = TypeVar("K", bound=Kernel)


class KernelCache(Generic[K]):
    """Builds programs and keeps the last ``size`` of them."""

    def __init__(self, build: Callable[[tvm.IRModule], K], size: int) -> None:
        self._build = build
        self._kept: Recent[int, K] = Recent(size)

    def get(self, module: tvm.IRModule) -> K:
        """The program built; equal programs are built once."""
        key = int(tvm_ffi.structural_hash(module))
        kernel = self._kept.get(key)
        if kernel is None:
            kernel = self._build(module)
            self._kept.put(key, kernel)
        return kernel

    def put(self, module: tvm.IRModule, kernel: K) -> None:
        """Keep a program that is built already."""
        self._kept.put(int(tvm_ffi.structural_hash(module)), kernel)


def build_library(module: tvm.IRModule, target: Target) -> Any:
    """The runtime module of a program, for any target that TVM compiles for. Raises ValueError and what TVM raises.

    A program with constants has its two parts beside the whole function, see :mod:`colt.tvm.programs.constants`.
    """
    entry_function(module)
    parts = split(module)
    if parts is not None:
        module = tvm.IRModule({**module.functions, **parts.module(PACK, PACKED).functions})
    return tvm.tirx.build(module, target=target)


def evaluate(
    library: Any, device: Any, arguments: Sequence[Any], number: int, repeats: int, before: str = ""
) -> list[float]:
    """``repeats`` averages over ``number`` runs each, in microseconds, by TVM's timing loop where the kernel is.
    ``before`` each repeat it calls the function of that name."""
    evaluator = library.time_evaluator("main", device, number=number, repeat=repeats, f_preproc=before)
    return [seconds * 1e6 for seconds in evaluator(*arguments).results]


def entry_function(module: tvm.IRModule) -> PrimFunc:
    """The module's only function. Raises ValueError unless that is a PrimFunc named main."""
    names = [variable.name_hint for variable in module.get_global_vars()]
    if names != ["main"] or not isinstance(module["main"], PrimFunc):
        raise ValueError(f"the module holds {names}; one PrimFunc main is needed")
    return module["main"]
