"""Detection, here and on machines described by fixture texts; the store of peaks; the roofline."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from colt.errors import InputError
from colt.machine import (
    Bound,
    Cache,
    Hardware,
    Peaks,
    Roofline,
    Simd,
    Work,
    cache_folder,
    detect,
    load_peaks,
    save_peaks,
)
from colt.machine.cpuinfo import parse_cpu_list, parse_cpuinfo, parse_size, read_caches, simd_of

INTEL_AVX2 = """\
processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 158
model name\t: Intel(R) Core(TM) i9-9900K CPU @ 3.60GHz
stepping\t: 12
cache size\t: 16384 KB
flags\t\t: fpu sse sse2 ssse3 fma sse4_1 avx f16c avx2 bmi2

processor\t: 1
model name\t: another
flags\t\t: fpu sse2
"""
ARM_NEOVERSE = """\
processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd evtstrm aes sha2 crc32 atomics fphp asimdhp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1
"""
PEAKS = Peaks(100.0, 190.0, 20.0, "copy", 2, "2026-01-01T00:00:00+00:00")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLT_CACHE_DIR", str(tmp_path / "store"))
    return tmp_path / "store"


def sysfs(folder: Path, *caches: tuple[str, str, str, str]) -> Path:
    """A tree like ``/sys/devices/system/cpu`` whose caches are (type, level, size, shared_cpu_list)."""
    for index, values in enumerate(caches):
        cache = folder / f"cpu{min(os.sched_getaffinity(0))}" / "cache" / f"index{index}"
        cache.mkdir(parents=True)
        for name, value in zip(("type", "level", "size", "shared_cpu_list"), values, strict=True):
            (cache / name).write_text(value + "\n")
    return folder


def described(tmp_path: Path, cpuinfo: str, *caches: tuple[str, str, str, str]) -> Hardware:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    return detect(tmp_path / "cpuinfo", sysfs(tmp_path / "cpus", *caches))


def test_this_machine():
    here = detect()
    assert here.cores == len(os.sched_getaffinity(0))
    assert here.architecture == platform.machine()
    assert here.cpu != "unknown"
    assert 2**28 < here.memory_bytes < 2**50
    assert here.simd.fp32_lanes in (4, 8, 16)
    assert 2**13 <= here.l1d.bytes <= here.l2.bytes <= here.last_level_cache.bytes
    assert not here.peaks.measured
    assert here == detect()
    assert here.fingerprint() == detect().fingerprint()


def test_this_machine_as_the_kernel_lists_its_flags():
    flags = Path("/proc/cpuinfo").read_text().split()
    assert (detect().simd.name == "AVX-512") == ("avx512f" in flags)


def test_an_intel_machine_with_avx2(tmp_path):
    caches = [
        ("Data", "1", "32K", "0,8"),
        ("Instruction", "1", "64K", "0,8"),
        ("Unified", "2", "256K", "0,8"),
        ("Unified", "3", "16M", "0-15"),
    ]
    intel = described(tmp_path, INTEL_AVX2, *caches)
    assert intel.cpu == "Intel(R) Core(TM) i9-9900K CPU @ 3.60GHz"
    assert intel.simd == Simd("AVX2", vector_bits=256, registers=16)
    assert intel.simd.fp32_lanes == 8
    assert (intel.l1d, intel.l2, intel.l3) == (Cache(32768, 2), Cache(262144, 2), Cache(16 * 2**20, 16))
    assert intel.l3.shared
    assert intel.assumed == ()


def test_instructions_on_tiles_count_only_where_linux_lets_the_process_use_them(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags : fpu sse2 avx512f amx_tile amx_int8 amx_bf16\n")
    found = {
        answer: detect(tmp_path / "cpuinfo", granted=lambda answer=answer: answer).flags for answer in (True, False)
    }
    assert set(found[True]) - set(found[False]) == {"amx_tile", "amx_int8", "amx_bf16"}


def test_a_machine_without_tiles_is_not_asked_about_them(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags : fpu sse2 avx512f\n")

    def never():
        raise AssertionError("asked")

    assert "avx512f" in detect(tmp_path / "cpuinfo", granted=never).flags


def test_an_arm_machine_without_a_third_level(tmp_path):
    arm = described(tmp_path, ARM_NEOVERSE, ("Data", "1", "64K", "0"), ("Unified", "2", "1024K", "0"))
    assert arm.cpu == "ARM 0x41 part 0xd0c"
    assert arm.simd == Simd("NEON", vector_bits=128, registers=32)
    assert arm.l3 is None
    assert arm.last_level_cache == arm.l2 == Cache(2**20, 1)
    assert not arm.l2.shared


def test_what_is_unknown_is_assumed_and_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    bare = detect(tmp_path / "absent", tmp_path / "absent")
    assert bare.cpu == "unknown"
    assert bare.assumed == ("simd", "l1d", "l2")
    assert (bare.simd.vector_bits, bare.l1d.bytes, bare.l2.bytes, bare.l3) == (128, 32768, 262144, None)


def test_caches_come_from_getconf_where_sysfs_has_none(tmp_path, monkeypatch):
    tool = tmp_path / "getconf"
    tool.write_text(
        """#!/bin/sh
echo 'LINK_MAX                           127
LEVEL1_DCACHE_SIZE                 49152
LEVEL1_DCACHE_ASSOC
LEVEL2_CACHE_SIZE                  2097152
LEVEL3_CACHE_SIZE                  0'
"""
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    bare = detect(cpus=tmp_path / "absent")
    assert (bare.l1d, bare.l2, bare.l3) == (Cache(49152, 1), Cache(2**21, 1), None)
    assert bare.assumed == ()


def test_without_getconf_caches_are_assumed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert detect(cpus=tmp_path / "absent").assumed == ("l1d", "l2")


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("avx512f avx2 fma avx sse2", "AVX-512"),
        ("avx2 fma avx sse2", "AVX2"),
        ("avx2 avx sse2", "AVX"),
        ("sse2", "SSE2"),
        ("asimd sve", "NEON"),
        ("rvv", None),
    ],
)
def test_the_widest_instruction_set_counts(flags, name):
    simd = simd_of(tuple(flags.split()))
    assert (simd.name if simd else None) == name


def test_the_first_processor_of_cpuinfo_counts():
    processor = parse_cpuinfo(INTEL_AVX2)
    assert processor.identity == "GenuineIntel 6 158 12"
    assert "avx2" in processor.flags
    assert parse_cpuinfo("").model == "unknown"


def test_a_cache_without_a_size_is_left_out(tmp_path):
    folder = sysfs(tmp_path, ("Data", "1", "", "0"), ("Unified", "2", "512K", "0-1"))
    assert read_caches(next(folder.iterdir())) == {2: Cache(2**19, 2)}


@pytest.mark.parametrize("text", ["", "K", "32X", "-1K", "0K", "1.5M"])
def test_sizes_that_are_none(text):
    with pytest.raises(ValueError, match="no size"):
        parse_size(text)


def test_lists_of_cpus():
    assert parse_cpu_list("0-2,8,10-11\n") == {0, 1, 2, 8, 10, 11}


def test_the_fingerprint_tells_machines_apart_and_leaves_peaks_out():
    here = detect()
    others = [
        replace(here, cpu="other"),
        replace(here, cpu_identity="other"),
        replace(here, cores=here.cores + 1),
        replace(here, flags=(*here.flags, "zfuture")),
        replace(here, l2=Cache(1, 1)),
    ]
    assert len({hardware.fingerprint() for hardware in [here, *others]}) == 6
    assert replace(here, peaks=PEAKS).fingerprint() == here.fingerprint()


def test_peaks_are_kept_for_each_number_of_threads():
    here = detect()
    assert load_peaks(here, 2) is None
    save_peaks(here, PEAKS)
    save_peaks(here, replace(PEAKS, threads=1))
    save_peaks(here, replace(PEAKS, bandwidth_gbs=30.0))
    assert load_peaks(here, 2) == replace(PEAKS, bandwidth_gbs=30.0)
    assert load_peaks(here, 1) == replace(PEAKS, threads=1)
    assert load_peaks(replace(here, cpu="other"), 2) is None


def test_saving_leaves_one_file(store):
    save_peaks(detect(), PEAKS)
    save_peaks(detect(), PEAKS)
    assert [path.name for path in store.iterdir()] == [f"hardware-{detect().fingerprint()}.json"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not json",
        "[]",
        '{"format": 2, "peaks": []}',
        '{"format": 1}',
        '{"format": 1, "peaks": [1]}',
        '{"format": 1, "peaks": [{"threads": 2}]}',
        b"\xff\xfe\x00",
    ],
)
def test_a_damaged_file_is_ignored_with_a_message_and_replaced(store, content):
    here = detect()
    path = store / f"hardware-{here.fingerprint()}.json"
    store.mkdir()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.warns(UserWarning, match=r"hardware-.*json are ignored"):
        assert load_peaks(here, 2) is None
    with pytest.warns(UserWarning, match="ignored"):
        save_peaks(here, PEAKS)
    assert load_peaks(here, 2) == PEAKS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fma_gflops_1_thread", None),
        ("fma_gflops_1_thread", "1"),
        ("fma_gflops_all_threads", 0),
        ("fma_gflops_all_threads", True),
        ("bandwidth_gbs", float("inf")),
        ("bandwidth_gbs", float("nan")),
        ("threads", 0),
        ("threads", 2.0),
        ("threads", True),
        ("measured_at", None),
        ("bandwidth_pattern", 3),
        ("fma_pattern", None),
        ("disturbed", 0),
        ("surprise", 1),
    ],
)
def test_implausible_records_are_refused(name, value):
    assert Peaks.from_record(asdict(PEAKS)) == PEAKS
    with pytest.raises(ValueError, match=name if name != "surprise" else "fields"):
        Peaks.from_record(asdict(PEAKS) | {name: value})


def test_a_record_from_before_patterns_of_the_fma_peak_is_read():
    old = asdict(PEAKS)
    del old["fma_pattern"]
    assert Peaks.from_record(old) == PEAKS


def test_a_folder_that_cannot_be_written_is_reported(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COLT_CACHE_DIR", str(tmp_path / "file" / "below"))
    with pytest.warns(UserWarning, match="ignored"), pytest.warns(UserWarning, match="not kept"):
        save_peaks(detect(), PEAKS)


def test_where_the_store_is(tmp_path, monkeypatch):
    monkeypatch.setenv("COLT_CACHE_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("COLT_CACHE_DIR")
    assert cache_folder() == tmp_path / "xdg" / "colt"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / "home" / ".cache" / "colt"


def test_without_a_home_the_store_says_what_to_set(monkeypatch):
    monkeypatch.delenv("COLT_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(InputError, match="COLT_CACHE_DIR"):
        cache_folder()


def test_the_stored_file_is_readable_by_people(store):
    save_peaks(detect(), PEAKS)
    content = json.loads(next(store.iterdir()).read_text())
    assert content["cpu"] == detect().cpu
    assert content["peaks"] == [asdict(PEAKS)]


def test_the_roofline_is_the_lower_of_two_bounds():
    assert Work(1000, 10).roofline(PEAKS) == Roofline(190.0, Bound.FMA)
    assert Work(10, 10).roofline(PEAKS) == Roofline(20.0, Bound.BANDWIDTH)
    assert Work(10, 10, in_cache=True).roofline(PEAKS) == Roofline(190.0, Bound.FMA)
    assert Work(10, 0).roofline(PEAKS) == Roofline(190.0, Bound.FMA)
    assert Work(10, 10).roofline(Peaks()) is None


def test_what_a_kernel_reached_raises_the_peak_that_it_exceeds_and_no_other():
    assert Work(1e9, 10).raised(PEAKS, 1e9 / 190e3, "mine") == PEAKS
    raised = Work(1e9, 10).raised(PEAKS, 1e9 / 200e3, "mine")
    assert raised == replace(PEAKS, fma_gflops_all_threads=raised.fma_gflops_all_threads, fma_pattern="mine")
    assert 200.0 <= raised.fma_gflops_all_threads <= 200.02
    raised = Work(1e9, 1e9).raised(PEAKS, 1e9 / 25e3, "mine")
    assert raised == replace(PEAKS, bandwidth_gbs=raised.bandwidth_gbs, bandwidth_pattern="mine")
    assert 25.0 <= raised.bandwidth_gbs <= 25.02


@pytest.mark.parametrize("nbytes", [0, 10, 1e8, 1e9, 1e10, 3.3e11])
@pytest.mark.parametrize("latency_us", [0.37, 1.0, 77.7, 12345.6])
def test_no_peak_is_below_what_raised_it(nbytes, latency_us):
    work = Work(1e9, nbytes)
    raised = work.raised(PEAKS, latency_us, "mine")
    assert work.gflops(latency_us) <= work.roofline(raised).gflops * (1 + 1e-9)
    assert work.raised(raised, latency_us, "again") == raised


def test_a_peak_is_the_most_that_was_ever_seen():
    low = Peaks(90.0, 200.0, 10.0, "triad", 2, "2026-02-02T00:00:00+00:00", fma_pattern="mine")
    assert PEAKS.at_least(low) == replace(PEAKS, fma_gflops_all_threads=200.0, fma_pattern="mine")
    assert low.at_least(PEAKS) == replace(low, fma_gflops_1_thread=100.0, bandwidth_gbs=20.0, bandwidth_pattern="copy")
    assert PEAKS.at_least(Peaks()) == PEAKS


def test_importing_it_does_not_import_tvm():
    code = "import sys, colt.machine, colt.tvm.devices.peaks; sys.exit('tvm' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
