"""Targets of machines elsewhere, and the hardware that is assumed there: nothing but the target is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tvm
from tvm.target import Target, codegen

from colt.errors import InputError
from colt.machine import Hardware, Simd
from colt.machine.cpuinfo import simd_of
from colt.machine.machine import ASSUMED_L1D, ASSUMED_L2, ASSUMED_SIMD
from colt.tvm.devices.host import (
    architecture_of,
    available_cores,
    known_cpus,
    resolve_target,
    target_config,
)
from colt.util.streams import keeping_remarks
from colt.util.text import first_line

_NEON_32 = Simd("NEON", 128, 16)
_RISCV_REGISTERS = 32
_LINUX_NAMES = {"neon": "asimd"}
"""Linux's names for features that LLVM names differently."""


_ACCEPTED = (
    'For a board it is a JSON object such as {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a72", '
    '"num-cores": 4}; if left out, the board is assumed to be like this machine'
)


@dataclass(frozen=True, slots=True)
class ResolvedTarget:
    """What to compile for, and how many threads kernels use there."""

    target: Target
    threads: int
    assumptions: tuple[str, ...] = ()
    """What the user did not say, in words."""


@keeping_remarks()
def resolve_board_target(wanted: str | Mapping[str, Any] | Target | None, threads: int | None) -> ResolvedTarget:
    """The target of a board, of any architecture that TVM compiles for; ``wanted`` as for
    :func:`~colt.tvm.devices.host.resolve_target`.

    Raises
    ------
    InputError
        The target is not understood, its cpu is unknown to LLVM, or nothing says how many threads to use.
    """
    if wanted is None:
        target = resolve_target(None, threads or available_cores())
        cpu, cores = target.attrs["mcpu"], int(target.attrs["num-cores"])
        return ResolvedTarget(target, cores, (f"no target: the board is taken for a {cpu} with {cores} cores",))
    try:
        config = target_config(wanted)
        if config.get("kind") != "llvm":
            raise InputError(f"target kind {config.get('kind')!r} is not supported on a board; only llvm is")
        if config.get("num-cores") is None and threads is None:
            raise InputError(f"target {wanted!r} has no num-cores, and no threads are given: one of them is needed")
        config.setdefault("num-cores", threads)
        if config.get("mcpu") == "native":
            raise InputError(f"target mcpu 'native' says nothing about a board: name its cpu. {_ACCEPTED}")
        target = Target(config)
        known = known_cpus(config.get("mtriple"))
    except (ValueError, TypeError, tvm.error.InternalError) as error:
        raise InputError(f"target {wanted!r} is not understood: {first_line(error).rstrip('.')}. {_ACCEPTED}") from None
    cores, cpu = int(target.attrs["num-cores"]), target.attrs.get("mcpu")
    if cores < 1:
        raise InputError(f"target num-cores is {cores}; it takes an integer of at least 1")
    if cpu is None:
        generic = f"the target names no mcpu: code is for any {architecture_of(target)}"
        return ResolvedTarget(target, threads or cores, (generic,))
    if cpu not in known:
        raise InputError(f"target cpu {str(cpu)!r} is unknown to LLVM for {architecture_of(target)}")
    return ResolvedTarget(target, threads or cores)


def assumed_hardware(target: Target) -> Hardware:
    """The hardware assumed for a target.

    Cpu and cores are the target's, vectors those of its cpu. Caches have a size that every processor of interest has.
    No peak is known.
    """
    simd = _known_simd(target)
    return Hardware(
        cpu=str(target.attrs.get("mcpu", "generic")),
        cpu_identity="",
        architecture=architecture_of(target),
        cores=int(target.attrs["num-cores"]),
        simd=simd or ASSUMED_SIMD,
        l1d=ASSUMED_L1D,
        l2=ASSUMED_L2,
        l3=None,
        memory_bytes=0,
        assumed=(*(() if simd else ("simd",)), "l1d", "l2", "l3", "memory_bytes"),
    )


def simd_of_target(target: Target) -> Simd:
    """The vectors that code for the target uses; assumed if LLVM names no instruction set that COLT knows."""
    return _known_simd(target) or ASSUMED_SIMD


def _known_simd(target: Target) -> Simd | None:
    features = {str(feature) for feature in codegen.llvm_get_cpu_features(target)}
    architecture = architecture_of(target)
    if architecture.startswith("riscv"):
        # Only here is LLVM's preference the width of a register: on x86 TVM answers 512 for any processor.
        bits = int(codegen.llvm_get_vector_width(target))
        return Simd("RVV", bits, _RISCV_REGISTERS) if "v" in features else None
    if architecture.startswith("arm") and "neon" in features:
        return _NEON_32
    return simd_of(tuple(_LINUX_NAMES.get(feature, feature) for feature in features))
