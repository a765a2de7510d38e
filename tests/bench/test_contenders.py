"""Contenders in their processes: numpy and kernels for real, PyTorch where it is installed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from colt.bench.config import Peer
from colt.bench.contenders import server
from colt.bench.contenders.client import Contenders, PeerLost
from colt.bench.contenders.contender import NotApplicable, load_array
from colt.bench.contenders.messages import PeerFamily, Prepared, Settings, TimedKernel
from colt.bench.remeasure import _inputs
from colt.tvm.programs import workloads
from colt.tvm.programs.export import save_module
from colt.tvm.programs.workloads import Workload
from colt.tvm.workers.compare import compare

pytestmark = pytest.mark.real

EVERYTHING = [name for group in workloads.GROUPS for name in workloads.names(group)]
ONNX = ("quantised-linear", "int4-linear", "int4-linear-16", "int4-int8-linear", "int4-int8-linear-16", "int8-conv")
ONNX += ("int8-depthwise-conv", "int8-grouped-conv", "matmul-u8s8-prime", "int8-dilated-conv", "requantise")
ONNX += ("fp16-matmul", "int4-gemv-by-columns", "softmax-odd", "int8-attention-scores", "transposed-conv")
ONNX += ("causal-conv1d", "fp16-row-norms")
CONSTANT = [name for name in EVERYTHING if workloads.get(name).constants]


def inputs_of(workload: Workload[Any]) -> list[Any]:
    return _inputs(workload.arguments("small"))


def settings(folder: Path, family: PeerFamily, name: str, *members: TimedKernel) -> Settings:
    paths = []
    for number, array in enumerate(inputs_of(workloads.get(name))):
        paths.append(str(folder / f"{number}.npy"))
        np.save(paths[-1], array)
    return Settings(family, name, "small", 1, tuple(paths), str(folder), members)


@contextmanager
def contenders(folder: Path, family: PeerFamily, name: str, *members: TimedKernel) -> Iterator[Contenders]:
    with Contenders(settings(folder, family, name, *members)) as home:
        yield home


def prepared_here(told: Settings) -> Iterator[Prepared]:
    """What the process of contenders answers, without one: for many workloads, starting takes most of the time."""
    for name, maker in server._makers(told, [load_array(path) for path in told.inputs]):
        yield server._prepare(name, maker, Path(told.folder), {})


def agrees(name: str, prepared: Prepared) -> bool:
    workload = workloads.get(name)
    expected = np.ascontiguousarray(workload.reference(inputs_of(workload)))
    found = load_array(prepared.output)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    difference = compare(expected, found)
    return difference.ok or difference.max_rel <= max(workload.rounds, workload.peers_round)


@pytest.mark.parametrize("name", ["llama3-attention", "flux-attention", "flux-conv", "matmul-int8", "gemv"])
def test_numpy_computes_the_same_where_it_has_a_faster_way(name: str, tmp_path: Path) -> None:
    (prepared,) = prepared_here(settings(tmp_path, PeerFamily.NUMPY, name, TimedKernel("numpy")))
    assert prepared.problem == ""
    assert prepared.us > 0
    assert agrees(name, prepared)


def test_numpy_computes_in_its_process_and_is_timed(tmp_path: Path) -> None:
    with contenders(tmp_path, PeerFamily.NUMPY, "flux-attention", TimedKernel("numpy")) as home:
        (prepared,) = home.prepared()
        assert agrees("flux-attention", prepared)
        lap = home.lap("numpy", 0.01)
        assert 0 < lap.us < 1e6
        assert 0 <= lap.queued < 1


def test_winners_run_beside_each_other_and_one_that_fails_says_so(tmp_path: Path) -> None:
    gemv, other = workloads.get("gemv").build("small"), workloads.get("layer-norm").build("small")
    for name, content in (("good", save_module(gemv)), ("bad", b"{}"), ("other", save_module(other))):
        (tmp_path / name).write_bytes(content)
    members = [TimedKernel(name, str(tmp_path / name)) for name in ("good", "bad", "other", "missing")]
    with contenders(tmp_path, PeerFamily.KERNELS, "gemv", *members) as home:
        good, bad, wrong, missing = home.prepared()
        assert agrees("gemv", good)
        assert "saved module" in bad.problem
        assert wrong.problem  # of other arguments
        assert "FileNotFoundError" in missing.problem
        assert home.lap("good", 0.01).us > 0
        assert home.lap("good", 0.01).us > 0


def test_what_libraries_print_does_not_get_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('{}', flush=True)\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    with contenders(tmp_path, PeerFamily.NUMPY, "gemv", TimedKernel("numpy")) as home:
        (prepared,) = home.prepared()
        assert prepared.problem == ""
        assert home.lap("numpy", 0.01).us > 0
        assert home._child.last_words(100) == "{}"


def test_a_process_that_dies_is_lost_with_its_last_words(tmp_path: Path) -> None:
    with contenders(tmp_path, PeerFamily.NUMPY, "gemv", TimedKernel("numpy")) as home:
        list(home.prepared())
        os.kill(home._child.pid, signal.SIGSEGV)
        with pytest.raises(PeerLost, match="killed by SIGSEGV"):
            home.lap("numpy", 0.01)


def test_a_process_that_cannot_begin_is_lost(tmp_path: Path) -> None:
    told = Settings(PeerFamily.NUMPY, "gemv", "small", 1, ("/no/such.npy",), str(tmp_path), (TimedKernel("numpy"),))
    with Contenders(told) as home, pytest.raises(PeerLost, match="exited with status 1: FileNotFoundError"):
        list(home.prepared())


def test_a_process_ends_with_its_client(tmp_path: Path) -> None:
    with contenders(tmp_path, PeerFamily.NUMPY, "gemv", TimedKernel("numpy")) as home:
        pid = home._child.pid
        list(home.prepared())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("name", EVERYTHING)
def test_pytorch_computes_the_same(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch comes with the extra bench")
    members = (TimedKernel(Peer.TORCH), TimedKernel(Peer.SDPA))
    eager, fused = prepared_here(settings(tmp_path, PeerFamily.TORCH, name, *members))
    assert eager.problem == fused.problem == ""
    assert agrees(name, eager)
    if name.endswith("attention"):
        assert agrees(name, fused)
    else:
        assert fused.output == ""  # nothing of its own


@pytest.mark.parametrize("name", ONNX)
def test_onnx_runtime_computes_the_same(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime comes with the extra onnx")
    (prepared,) = prepared_here(settings(tmp_path, PeerFamily.ONNX_RUNTIME, name, TimedKernel(Peer.ONNX_RUNTIME)))
    assert prepared.problem == ""
    assert agrees(name, prepared)


def test_onnx_runtime_has_nothing_for_what_it_was_not_taught(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime comes with the extra onnx")
    (prepared,) = prepared_here(settings(tmp_path, PeerFamily.ONNX_RUNTIME, "gemv", TimedKernel(Peer.ONNX_RUNTIME)))
    assert (prepared.output, prepared.problem) == ("", "")


@pytest.mark.parametrize("name", CONSTANT)
@pytest.mark.parametrize("family", [PeerFamily.TORCH, PeerFamily.ONNX_RUNTIME])
def test_what_is_packed_once_is_multiplied_anew_at_every_call(family: PeerFamily, name: str, tmp_path: Path) -> None:
    pytest.importorskip(str(family), reason="libraries come with the extras bench and onnx")
    told = settings(tmp_path, family, name, TimedKernel(Peer(family)))
    inputs = [load_array(path) for path in told.inputs]
    ((_, maker),) = server._makers(told, inputs)
    try:
        contender = maker()
    except NotApplicable:
        return
    before = np.array(contender.fetch(contender.call()))
    inputs[0][:] = 1  # the array that is no constant
    after = np.array(contender.fetch(contender.call()))
    assert not np.array_equal(before, after)


@pytest.mark.parametrize("name", CONSTANT)
def test_pytorch_packs_constants_once(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch comes with the extra bench")
    from colt.bench.contenders import torch_few_bits

    told = settings(tmp_path, PeerFamily.TORCH, name, TimedKernel(Peer.TORCH))
    ((_, maker),) = server._makers(told, [load_array(path) for path in told.inputs])
    contender = maker()
    caches = [one for one in vars(torch_few_bits).values() if hasattr(one, "cache_info")]
    counts = []
    for _ in range(3):
        contender.call()
        counts.append([one.cache_info().misses for one in caches])
    assert counts[1] == counts[2]


def test_pytorch_computes_in_its_process_and_is_timed(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch comes with the extra bench")
    members = (TimedKernel(Peer.TORCH), TimedKernel(Peer.SDPA))
    with contenders(tmp_path, PeerFamily.TORCH, "flux-attention", *members) as home:
        for prepared in list(home.prepared()):
            assert agrees("flux-attention", prepared)
            assert home.lap(prepared.name, 0.01).us > 0


def test_pytorch_compiled_computes_the_same(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch comes with the extra bench")
    with contenders(tmp_path, PeerFamily.TORCH, "layer-norm", TimedKernel(Peer.TORCH_COMPILE)) as home:
        (compiled,) = home.prepared()
        if compiled.problem:
            pytest.skip(f"torch.compile does not work here: {compiled.problem}")
        assert agrees("layer-norm", compiled)
