"""What LLVM takes a processor for is corrected by the processor's own flags."""

from __future__ import annotations

import pytest
from tvm.target import Target, codegen

from colt.machine import detect
from colt.machine.tiles import usable_flags
from colt.tvm.devices import cpu, host, host_cpu
from colt.tvm.devices.host_cpu import EXTENSIONS, HostCpu, corrections, features_of
from colt.tvm.dots.table import TABLE, has

LINUX = {"sse3": "pni", "sse4.1": "sse4_1", "sse4.2": "sse4_2", "amx-tile": "amx_tile", "amx-int8": "amx_int8"}
LATER = (
    "avx512vbmi2",
    "avx512vnni",
    "avx512bitalg",
    "avx512vpopcntdq",
    "avx512bf16",
    "avx512fp16",
    "avx512vp2intersect",
)
LINUX |= {name: name.replace("avx512", "avx512_") for name in LATER} | {"avxvnni": "avx_vnni", "amx-bf16": "amx_bf16"}


def flags_of(cpu: str) -> list[str]:
    """The flags that Linux lists on such a processor, as far as they matter here."""
    return ["fpu", "sse2", *(LINUX.get(name, name) for name in EXTENSIONS if name in features_of(cpu))]


needs_x86 = pytest.mark.skipif(host._architecture(codegen.llvm_get_system_triple()) != "x86_64", reason="x86 features")


@needs_x86
@pytest.mark.parametrize("cpu", ["haswell", "skylake-avx512", "rocketlake", "sapphirerapids", "znver4", "znver5"])
def test_a_right_guess_is_left_alone(cpu: str) -> None:
    assert corrections(features_of(cpu), flags_of(cpu)) == ()


@needs_x86
def test_flags_beyond_the_guess_are_used() -> None:
    found = corrections(features_of("rocketlake"), flags_of("sapphirerapids"))
    assert set(found) == {"+avx512bf16", "+avx512fp16", "+avxvnni", "+amx-tile", "+amx-int8", "+amx-bf16"}


@needs_x86
def test_what_a_virtual_machine_hides_is_not_used() -> None:
    masked = [flag for flag in flags_of("znver4") if not flag.startswith("avx512")]
    found = corrections(features_of("znver4"), masked)
    assert "-avx512f" in found
    assert all(correction.startswith("-avx512") for correction in found)


@needs_x86
def test_tiles_that_linux_refuses_are_not_used_though_the_processor_has_them() -> None:
    guessed, flags = features_of("sapphirerapids"), tuple(flags_of("sapphirerapids"))
    assert corrections(guessed, usable_flags(flags, lambda: True)) == ()
    found = corrections(guessed, usable_flags(flags, lambda: False))
    assert set(found) == {"-amx-tile", "-amx-int8", "-amx-bf16"}
    target = Target({"kind": "llvm", "mcpu": "sapphirerapids", "num-cores": 1, "mattr": list(found)})
    assert not [row for row in TABLE if row.tiles is not None and has(target, row)]


@needs_x86
def test_a_kernel_on_tiles_is_refused_by_the_lines_that_load_it() -> None:
    needed = host.flags_needed(Target({"kind": "llvm", "mcpu": "sapphirerapids", "num-cores": 1}))
    assert {"amx_tile", "amx_int8", "amx_bf16"} <= set(needed)


def test_where_no_flags_are_known_llvm_is_believed() -> None:
    assert corrections({"neon"}, ["fp", "asimd"]) == ()
    assert corrections({"avx"}, []) == ()


@needs_x86
def test_the_target_has_the_corrections_and_the_user_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codegen, "llvm_get_system_cpu", lambda: "haswell")
    monkeypatch.setattr(host, "host_cpu", lambda _: host_cpu.host_cpu([*flags_of("haswell"), "avx_vnni"]))
    target = host.resolve_target(None, 1)
    assert (target.attrs["mcpu"], list(target.attrs["mattr"])) == ("haswell", ["+avxvnni"])
    assert codegen.target_has_features("avxvnni", target)
    assert "haswell, which its flags contradict: compiled with +avxvnni" in (
        host_cpu.host_cpu([*flags_of("haswell"), "avx_vnni"]).remark or ""
    )
    given = host.resolve_target({"kind": "llvm", "mcpu": "native", "mattr": ["+avx2"]}, 1)
    assert list(given.attrs["mattr"]) == ["+avx2"]


@needs_x86
@pytest.mark.parametrize(("given", "told"), [(["+avxvnni"], True), (["+avx2"], False), (None, False)])
def test_only_corrections_that_are_used_are_told_of(
    monkeypatch: pytest.MonkeyPatch, given: list[str] | None, told: bool
) -> None:
    target = Target({"kind": "llvm", "mcpu": "haswell", "num-cores": 1} | ({"mattr": given} if given else {}))
    monkeypatch.setattr(cpu, "host_cpu", lambda _: HostCpu("haswell", ("+avxvnni",)))
    assert any("contradict" in note for note in cpu.CpuDevice(target, 1).look()[1]) is told


def test_this_machine_is_compiled_for_with_what_it_has() -> None:
    target = host.resolve_target(None, 1)
    assert isinstance(target, Target)
    assert corrections(map(str, codegen.llvm_get_cpu_features(target)), detect().flags) == ()
