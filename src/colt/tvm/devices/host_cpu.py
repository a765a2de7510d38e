"""What LLVM takes this machine's processor for, and where that contradicts the processor's own flags.

A virtual machine may hide the model of its processor, and LLVM then guesses an older one: ``rocketlake`` for a chip
with AMX. It may also hide instructions of the model that it shows. What Linux lists among the flags can be used, and
nothing else; AMX only if Linux grants it to the process (:mod:`colt.machine.tiles`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tvm.target import Target, codegen

EXTENSIONS = (
    *("sse3", "ssse3", "sse4.1", "sse4.2", "avx", "avx2", "fma", "f16c", "bmi2", "gfni", "vaes", "vpclmulqdq"),
    *("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512ifma", "avx512vbmi", "avx512vbmi2"),
    *("avx512vnni", "avx512bitalg", "avx512vpopcntdq", "avx512bf16", "avx512fp16", "avx512vp2intersect"),
    *("avxvnni", "avxvnniint8", "avxvnniint16", "avxneconvert", "avxifma"),
    *("amx-tile", "amx-int8", "amx-bf16", "amx-fp16", "amx-complex"),
)
"""Vector and matrix instructions of x86, as LLVM names them."""
_LINUX_NAMES = {"sse3": "pni"}


@dataclass(frozen=True, slots=True)
class HostCpu:
    """The processor to compile for: LLVM's name, and what to add to or take from its features (``+amx-int8``)."""

    name: str
    corrections: tuple[str, ...] = ()

    @property
    def remark(self) -> str | None:
        """What the user should know; ``None`` if LLVM's guess is right."""
        if not self.corrections:
            return None
        return (
            f"LLVM takes the processor for {self.name}, which its flags contradict: compiled with "
            f"{' '.join(self.corrections)}"
        )


def host_cpu(flags: Iterable[str]) -> HostCpu:
    """The processor that LLVM sees, corrected by the ``flags`` that Linux lists, where it lists any."""
    name = str(codegen.llvm_get_system_cpu())
    return HostCpu(name, corrections(features_of(name), flags))


def features_of(cpu: str) -> frozenset[str]:
    """LLVM's features of a processor of this architecture."""
    return frozenset(map(str, codegen.llvm_get_cpu_features(Target({"kind": "llvm", "mcpu": cpu}))))


def corrections(guessed: Iterable[str], flags: Iterable[str]) -> tuple[str, ...]:
    """How the features that LLVM guessed differ from the flags, among :data:`EXTENSIONS`."""
    here, there = {_plain(flag) for flag in flags}, set(guessed)
    if _plain("sse2") not in here:
        return ()  # not an x86, or its flags are unknown
    pairs = [(feature, _plain(_LINUX_NAMES.get(feature, feature)) in here) for feature in EXTENSIONS]
    added = [f"+{feature}" for feature, is_here in pairs if is_here and feature not in there]
    return (*added, *(f"-{feature}" for feature, is_here in pairs if not is_here and feature in there))


def _plain(name: str) -> str:
    """A flag of Linux and a feature of LLVM are spelt alike but for these characters."""
    return name.replace("_", "").replace("-", "").replace(".", "").lower()
