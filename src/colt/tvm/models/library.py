"""A compiled model's library, loaded and called."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm.runtime.vm import VirtualMachine
from tvm_ffi import Array

from colt.errors import InputError
from colt.tvm.devices.host import available_cores, set_unbound_threads
from colt.util.output import require_room_to_build, temporary_folder
from colt.util.text import named_line

_CPU, _HERE = 1, "the model runs on the CPU"
"""What DLPack calls the CPU, and what is said to others."""
_NO_MEMORY = (AttributeError, TypeError, ValueError, RuntimeError, BufferError)
"""What is raised for a tensor that has no memory to hand out."""
_FOLDER = "colt-model-"
RUN, BEGIN, ROOM = "colt_straight", "colt_straight_begin", "colt_straight_bytes"
"""The function that is a whole model, which takes inputs, a workspace, and outputs; one that is called once with the
addresses of the weights and each workspace; and one that writes how many bytes a workspace has to its only argument."""
Output = tuple[tuple[int, ...], str]
"""The shape of an output, and its type."""
_GO_ON = 0
"""What an observer of the virtual machine returns, so that the function is called."""
ALIGNMENT = 64
"""What kernels expect of the addresses of their arguments, in bytes."""


class _Thread(threading.local):
    """Whether this thread has a pool of TVM's, as each that calls kernels has; and whether the pool's threads were left
    behind by a fork, in which case a call would wait for them forever."""

    has_pool = False
    lost_pool = False


_THREAD = _Thread()
_LOST = (
    "this process was forked from one that had called a compiled model, whose threads do not live on in it: fork "
    "before the first call, or have processes started by spawn or forkserver"
)


def _forked() -> None:
    """The thread that forks is the only one of the new process."""
    _THREAD.lost_pool = _THREAD.has_pool


os.register_at_fork(after_in_child=_forked)


def require_pool() -> None:
    """Raises :class:`InputError` in a process that was forked where this thread had called a model."""
    if _THREAD.lost_pool:
        raise InputError(_LOST)


@dataclass(frozen=True, slots=True)
class Sample:
    """A call of a function of a library: all its arguments before and after it, those that it writes last."""

    before: Sequence[Any]
    after: Sequence[Any]
    seconds: float


class _Straight:
    """The model as one function: see ``straight.py``."""

    def __init__(self, module: Any, weights: Sequence[Any], outputs: Sequence[Output]) -> None:
        """``weights`` are to live as long as this, which has their addresses only."""
        self._run, self._begin, room = (module.get_function(one, query_imports=True) for one in (RUN, BEGIN, ROOM))
        told = tvm.runtime.tensor(np.zeros(1, np.int64))
        room(told)
        self.size = int(told.numpy()[0])
        addresses = [bytes_of(one).__array_interface__["data"][0] for one in weights]
        self._addresses = tvm.runtime.tensor(np.array(addresses or [0], np.int64))
        self._outputs = [(tvm_ffi.Shape(shape), tvm_ffi.dtype(dtype), tvm.cpu(), None) for shape, dtype in outputs]
        self._new = tvm.get_global_func("runtime.TVMTensorAllocWithScope")  # `empty` takes four times as long

    def workspace(self) -> Any:
        """Memory for what lies between kernels, of one call at a time."""
        found = tvm.runtime.empty((self.size // 8,), "int64")
        self._begin(self._addresses, found)
        return found

    def __call__(self, inputs: Sequence[Any], workspace: Any) -> list[Any]:
        found = [self._new(*one) for one in self._outputs]
        self._run(*inputs, workspace, *found)
        return found


class ModelLibrary:
    """The library with its weights. It may be called from several threads: each has a machine of its own."""

    def __init__(self, content: bytes, weights: Sequence[Any], threads: int, outputs: Sequence[Output] = ()) -> None:
        """``content`` is that of a shared library, whose kernels use so many threads; as many as there are cores, where
        these are fewer. ``outputs`` are those of a model whose sizes are known.

        Raises :class:`InputError` if it does not load, and :class:`StorageError` if it cannot be written to a temporary
        file, which the system loads it from.
        """
        threads = min(threads, available_cores())
        self._parallel = threads > 1
        set_unbound_threads(threads)
        with temporary_folder(_FOLDER) as folder:
            path = folder / "model.so"
            path.write_bytes(content)
            try:
                self._module = tvm.runtime.load_module(str(path))
            except (RuntimeError, OSError) as error:
                raise InputError(f"the model's library does not load: {error}") from None
        self._weights = Array(list(weights))
        self._local = threading.local()
        self._straight = None
        if outputs and self._module.implements_function(RUN, query_imports=True):
            self._straight = _Straight(self._module, weights, outputs)

    @property
    def is_straight(self) -> bool:
        """Whether a call is one function, rather than one of TVM's virtual machine."""
        return self._straight is not None

    @property
    def workspace_bytes(self) -> int:
        """What each thread that calls the function keeps for what lies between kernels; 0 where the machine does."""
        return 0 if self._straight is None else self._straight.size

    def __call__(self, *inputs: Any) -> list[Any]:
        """The outputs for these inputs: tensors of TVM, arrays of NumPy, or tensors of PyTorch.

        What is not compact, or does not lie at a multiple of :data:`ALIGNMENT` bytes, is copied: kernels are compiled
        for what does, and die of anything else.
        """
        return self.call(*map(ready, inputs))

    def call(self, *inputs: Any) -> list[Any]:
        """The same for inputs that kernels can take as they are. Where the machine is called, tensors of PyTorch among
        them make those of PyTorch, if it is one that is returned; all others are tensors of TVM."""
        if _THREAD.lost_pool:
            require_pool()
        straight = self._straight
        if straight is not None:
            workspace = getattr(self._local, "workspace", None)
            if workspace is None:
                _THREAD.has_pool |= self._parallel
                workspace = self._local.workspace = straight.workspace()
            return straight(inputs, workspace)
        main = getattr(self._local, "main", None)
        if main is None:
            main = self._local.main = self._machine()["main"]
        found = main(*inputs, self._weights)
        return list(found) if isinstance(found, Array) else [found]

    def _machine(self) -> Any:
        """A machine for this thread, which has a pool from the first call on."""
        _THREAD.has_pool |= self._parallel
        return VirtualMachine(self._module, tvm.cpu())

    def sampled(self, functions: Collection[str], *inputs: Any) -> dict[str, Sample]:
        """What the first call of each of these functions takes and leaves in one run, and how long it lasts. Inputs are
        as in :meth:`call`."""
        machine = self._machine()
        found: dict[str, Sample] = {}
        begun: tuple[list[Any], float] | None = None

        def observe(function: Any, name: str, before: bool, result: Any, *arguments: Any) -> int:
            nonlocal begun
            if name not in functions or name in found:
                return _GO_ON
            if before:
                begun = list(map(_copied, arguments)), perf_counter()
            elif begun is not None:
                seconds, given = perf_counter() - begun[1], begun[0]
                found[name] = Sample(given, list(map(_copied, arguments)), seconds)
            return _GO_ON

        machine.set_instrument(observe)
        machine["main"](*inputs, self._weights)
        return found

    def observed(self) -> Callable[..., dict[str, float]]:
        """Something to call with inputs, as :meth:`call`: it gives the microseconds that each function of the library
        took, all its calls together. Observing costs about a microsecond between two calls of functions."""
        machine = self._machine()
        taken: dict[str, float] = {}
        began = 0.0

        def observe(function: Any, name: str, before: bool, result: Any, *arguments: Any) -> int:
            nonlocal began
            if before:
                began = perf_counter()
            else:
                taken[name] = taken.get(name, 0.0) + (perf_counter() - began) * 1e6
            return _GO_ON

        machine.set_instrument(observe)
        main = machine["main"]

        def run(*inputs: Any) -> dict[str, float]:
            taken.clear()
            main(*inputs, self._weights)
            return dict(taken)

        return run


def _copied(argument: Any) -> Any:
    """An argument of a function: a tensor of its own, or a number as it is."""
    return argument.copyto(tvm.cpu()) if isinstance(argument, tvm.runtime.Tensor) else argument


def ready(tensor: Any) -> Any:
    """The input as a tensor of TVM that kernels can take; copied only if it has to be. It is a tensor of TVM or of
    PyTorch, an array of NumPy, or anything else that hands out its memory by DLPack.

    Raises :class:`InputError` for what hands out none, and for what lies elsewhere than in the CPU's memory.
    """
    if isinstance(tensor, np.ndarray):
        compact = tensor.flags.c_contiguous and tensor.flags.writeable
        fits = compact and tensor.__array_interface__["data"][0] % ALIGNMENT == 0
        return tvm.runtime.from_dlpack(tensor) if fits and tensor.dtype.isbuiltin == 1 else tvm.runtime.tensor(tensor)
    if not hasattr(tensor, "detach"):
        return _handed_out(tensor)
    if tensor.device.type != "cpu":
        raise InputError(f"a tensor on {tensor.device} is no input: {_HERE}")
    try:
        tensor = tensor.detach().resolve_neg().contiguous()
        return tvm.runtime.from_dlpack(tensor if tensor.data_ptr() % ALIGNMENT == 0 else tensor.clone())
    except _NO_MEMORY as error:  # such as a sparse one
        raise InputError(f"a tensor of layout {tensor.layout} is no input: {named_line(error)}") from None


def _handed_out(tensor: Any) -> Any:
    """The same for whatever follows the protocol of DLPack."""
    kind = type(tensor).__name__
    try:
        device, _ = tensor.__dlpack_device__()
        if device != _CPU:
            raise InputError(f"a {kind} on a device is no input: {_HERE}")
        try:
            return ready(np.from_dlpack(tensor))
        except (RuntimeError, BufferError):  # NumPy has no such type
            return _aligned(tensor)
    except _NO_MEMORY as error:
        raise InputError(f"a {kind} is no input: {named_line(error)}") from None


def _aligned(tensor: Any) -> Any:
    try:
        return tvm.runtime.from_dlpack(tensor)
    except RuntimeError:  # it lies elsewhere
        return tvm_ffi.from_dlpack(tensor).copyto(tvm.cpu())


def mapped_tensor(data: np.ndarray[Any, Any], shape: Sequence[int], dtype: str) -> Any:
    """Bytes as a tensor of that shape and type, not copied."""
    tensor = tvm.runtime.from_dlpack(data)
    return tensor._create_view(tuple(shape), dtype)


def write_library(executable: Any, objects: Sequence[bytes] = ()) -> bytes:
    """A compiled model as the content of a shared library, linked with these object files. Raises what TVM raises where
    nothing can be linked, and :class:`StorageError` where temporary files cannot be written."""
    require_room_to_build()
    with temporary_folder(_FOLDER) as folder:
        path, parts = folder / "model.so", [folder / f"part{n}.o" for n in range(len(objects))]
        for part, content in zip(parts, objects, strict=True):
            part.write_bytes(content)
        executable.export_library(str(path), addons=list(map(str, parts)))
        return path.read_bytes()


def bytes_of(tensor: Any) -> np.ndarray[Any, Any]:
    """The content of a tensor of TVM, not copied."""
    size = int(np.prod(tensor.shape)) * ((tvm.DataType(str(tensor.dtype)).bits + 7) // 8)
    return np.from_dlpack(tensor._create_view((size,), "uint8"))
