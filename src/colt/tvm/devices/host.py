"""TVM on this machine: threads, the target, and tensor intrinsics without the 20 seconds that those of GPUs take."""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tvm
from tvm.target import Target, codegen

from colt.errors import InputError
from colt.machine import detect
from colt.tvm.devices.host_cpu import host_cpu
from colt.util.streams import keeping_remarks
from colt.util.text import first_line

_INTRINSICS = "tvm.s_tir.tensor_intrin"


def set_threads(threads: int) -> None:
    """Let kernels of this process use ``threads`` threads; without it TVM takes half of an x86 machine's cores.

    Only effective before the process runs its first parallel kernel.
    """
    os.environ["TVM_NUM_THREADS"] = str(threads)


def set_unbound_threads(threads: int) -> None:
    """As :func:`set_threads`, and let Linux place the threads, unless the user has set that.

    TVM binds the threads of its pool to cores, but not the caller's. A caller that wakes up on one of these cores
    shares it, and the kernel takes twice as long until Linux moves the caller: again and again beside another load.
    """
    set_threads(threads)
    os.environ.setdefault("TVM_BIND_THREADS", "0")


def available_cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0))


@contextmanager
def cpu_intrinsics(target: Target | None = None) -> Iterator[None]:
    """Inside, ``import tvm.s_tir.tensor_intrin`` registers the tensor intrinsics of x86 only, and of ARM for an ARM
    target.

    The full package registers GPU intrinsics too, which takes 20 to 30 CPU-seconds in every new process. TVM imports
    it in ``TuneContext`` and ``default_build``. Nothing changes if it is loaded already. When the last of those who are
    inside leaves, the stand-in is removed, so that code that needs the full package gets it. For any thread.
    """
    _STAND_IN.enter(target)
    try:
        yield
    finally:
        _STAND_IN.leave()


def prefer_cpu_intrinsics() -> None:
    """Like :func:`cpu_intrinsics`, for the rest of this process: for processes that build for CPUs only.

    ``ms.builder.LocalBuilder(initializer=prefer_cpu_intrinsics)`` saves 20 seconds per process of stock's builder.
    """
    _STAND_IN.enter(None)


class _StandIn:
    """The module in place of TVM's package of intrinsics, while anybody is inside.

    The lock is held while it changes and while intrinsics are registered: nobody goes on before they all are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._module: types.ModuleType | None = None

    def enter(self, target: Target | None) -> None:
        with self._lock:
            if self._inside == 0:
                self._install()
            self._inside += 1
            try:
                self._register(target)
            except BaseException:
                self._leave()
                raise

    def leave(self) -> None:
        with self._lock:
            self._leave()

    def _install(self) -> None:
        import tvm.s_tir

        if _INTRINSICS in sys.modules:
            return
        self._module = types.ModuleType(_INTRINSICS)
        self._module.__path__ = [str(Path(tvm.s_tir.__file__).parent / "tensor_intrin")]
        sys.modules[_INTRINSICS] = self._module

    def _register(self, target: Target | None) -> None:
        if self._module is None:
            importlib.import_module(_INTRINSICS)  # another thread may be in the middle of importing it
            return
        importlib.import_module(f"{_INTRINSICS}.x86")
        if target is not None and "arm_cpu" in target.keys:
            importlib.import_module(f"{_INTRINSICS}.arm_cpu")

    def _leave(self) -> None:
        self._inside -= 1
        if self._inside or self._module is None:
            return
        if sys.modules.get(_INTRINSICS) is self._module:
            del sys.modules[_INTRINSICS]
            tvm.s_tir.__dict__.pop("tensor_intrin", None)
        self._module = None


_STAND_IN = _StandIn()


@keeping_remarks()
def resolve_target(wanted: str | Mapping[str, Any] | Target | None, threads: int) -> Target:
    """The target to compile for, with ``mcpu`` and ``num-cores`` filled in for CPUs.

    ``wanted`` is ``None`` (this machine), a tag such as ``"nvidia/nvidia-a100"``, a JSON object as text, a mapping,
    or a TVM target.

    Raises
    ------
    InputError
        The target is not understood, its cpu is unknown to LLVM, or it needs a device that this machine lacks.
    """
    try:
        config = target_config(wanted)
        if config.get("kind") == "llvm":
            _require_this_architecture(config.get("mtriple"))
            if config.get("mcpu") in (None, "native"):
                cpu = host_cpu(detect().flags)
                config["mcpu"] = cpu.name
                if cpu.corrections:
                    config.setdefault("mattr", list(cpu.corrections))
            config.setdefault("num-cores", threads)
        target = Target(config)
    except (ValueError, TypeError, tvm.error.InternalError) as error:
        raise InputError(f"target {wanted!r} is not understood: {first_line(error).rstrip('.')}. {_ACCEPTED}") from None
    _require_usable(target)
    return target


def architecture_of(target: Target) -> str:
    """The processors that code for the target runs on, such as ``x86_64`` or ``aarch64``."""
    triple = target.attrs.get("mtriple") or codegen.llvm_get_system_triple()
    return _architecture(triple)


def is_foreign(target: Target) -> bool:
    """Whether code for the target can be neither linked nor run on this machine."""
    return architecture_of(target) != _architecture(codegen.llvm_get_system_triple())


_ACCEPTED = (
    'Accepted are a JSON object such as {"kind": "llvm", "mcpu": "znver4"} or a tag such as nvidia/nvidia-a100; '
    "if left out, it is this machine's cpu"
)


def vector_bits(target: Target) -> int:
    """Bits of a vector register of the target's cpu. TVM's own ``llvm_get_vector_width`` answers 512 for every x86."""
    return next((bits for feature, bits in _VECTORS if codegen.target_has_features(feature, target)), 128)


_VECTORS = (("avx512f", 512), ("avx", 256))


def flags_needed(target: Target) -> tuple[str, ...]:
    """What Linux calls the vector instructions that code for the target may use; nothing for others than x86."""
    if architecture_of(target) != "x86_64":
        return ()
    return tuple(flag for feature, flag in _FLAGS.items() if codegen.target_has_features(feature, target))


_FLAGS = {
    "avx": "avx",
    "avx2": "avx2",
    "fma": "fma",
    "avxvnni": "avx_vnni",
    "avxvnniint8": "avx_vnni_int8",
    "avx512f": "avx512f",
    "avx512bw": "avx512bw",
    "avx512vl": "avx512vl",
    "avx512vnni": "avx512_vnni",
    "avx512bf16": "avx512_bf16",
    "avx512fp16": "avx512_fp16",
    "amx-tile": "amx_tile",
    "amx-int8": "amx_int8",
    "amx-bf16": "amx_bf16",
}
"""Linux's names of LLVM's features."""


def target_config(wanted: str | Mapping[str, Any] | Target | None) -> dict[str, Any]:
    """The target as TVM's JSON has it, nothing filled in. Raises ValueError, TypeError and TVM's InternalError."""
    if wanted is None:
        return {"kind": "llvm"}
    if isinstance(wanted, Target):
        return dict(wanted.export())
    if isinstance(wanted, Mapping):
        return dict(wanted)
    text = wanted.strip()
    if text == "llvm":
        return {"kind": "llvm"}
    if not text.startswith("{"):
        return dict(Target(text).export())
    parsed = json.loads(text)
    if not isinstance(parsed, dict):
        raise ValueError("not a JSON object")
    return parsed


def _require_this_architecture(triple: object) -> None:
    """Raises :class:`InputError` for a triple of other processors: kernels are timed on this machine."""
    here = _architecture(codegen.llvm_get_system_triple())
    if triple is not None and _architecture(triple) != here:
        raise InputError(
            f"target mtriple {str(triple)!r} cannot be measured here: this machine is {here}; "
            "it can be measured on a board of that kind, with rpc and key"
        )


_SYNONYMS = {"arm64": "aarch64", "amd64": "x86_64"}


def _architecture(triple: object) -> str:
    name = str(triple).partition("-")[0]
    return _SYNONYMS.get(name, name)


def _require_usable(target: Target) -> None:
    kind = target.kind.name
    if kind == "llvm":
        cores = int(target.attrs["num-cores"])
        if cores < 1:
            raise InputError(f"target num-cores is {cores}; it takes an integer of at least 1")
        cpu = str(target.attrs["mcpu"])
        if cpu not in known_cpus(None):
            raise InputError(
                f"target cpu {cpu!r} is unknown to LLVM for this machine; here it would be {_host_cpu()!r}"
            )
        return
    if kind in ("cuda", "rocm", "vulkan", "opencl", "metal") and not tvm.device(kind, 0).exist:
        raise InputError(f"target kind {kind!r} cannot be measured here: TVM finds no such device. {_ACCEPTED}")
    raise InputError(f"target kind {kind!r} is not supported yet; only llvm is")


def known_cpus(triple: str | None) -> set[str]:
    """LLVM's names for the processors of an architecture, by default this machine's. Raises TVM's InternalError."""
    of = Target({"kind": "llvm"} if triple is None else {"kind": "llvm", "mtriple": triple})
    if triple is not None:
        codegen.llvm_get_vector_width(of)  # raises for a triple that LLVM does not know; the list would crash
    return set(map(str, codegen.llvm_get_cpu_archlist(of)))


def _host_cpu() -> str:
    return str(codegen.llvm_get_system_cpu())
