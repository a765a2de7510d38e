"""What a benchmark accepts, and which cells it makes of that."""

from __future__ import annotations

from typing import Any

import pytest
from tvm.target import Target

from colt.bench import config as bench_config
from colt.bench import run as bench_run
from colt.bench.config import BenchConfig, Peer, StrategyName, checked
from colt.errors import InputError
from colt.options import SpaceKind
from colt.tvm.devices.fleet import FleetDevice
from colt.tvm.devices.host import available_cores
from colt.tvm.programs import workloads


def made(*names: str, **changes: Any) -> BenchConfig:
    settings: dict[str, Any] = {
        "size": "small",
        "strategies": list(StrategyName),
        "trials": 8,
        "seeds": 2,
        "space": "own",
        "warm_start": 0,
        "peers": ["numpy"],
        "threads": 1,
    }
    return checked(names, **{**settings, **changes})


def test_no_workload_is_the_main_group_and_a_group_is_its_members() -> None:
    assert made().workloads == workloads.names()
    assert made("gemv", "held-out").workloads == ("gemv", *(n for n in workloads.names("held-out") if n != "gemv"))


def test_strategies_take_turns() -> None:
    cells = list(made("gemv", strategies=["stock", "colt"]).cells("gemv"))
    assert [(cell.strategy, cell.seed) for cell in cells] == [("stock", 0), ("colt", 0), ("stock", 1), ("colt", 1)]


@pytest.mark.parametrize(
    ("space", "stock", "colt"),
    [
        ("own", SpaceKind.METASCHEDULE, SpaceKind.COLT),
        ("colt", SpaceKind.COLT, SpaceKind.COLT),
        ("metaschedule", SpaceKind.METASCHEDULE, SpaceKind.METASCHEDULE),
    ],
)
def test_the_switch_of_the_space(space: str, stock: SpaceKind, colt: SpaceKind) -> None:
    config = made("gemv", space=space)
    assert (config.space_of(StrategyName.STOCK), config.space_of(StrategyName.COLT)) == (stock, colt)
    assert config.space_of(StrategyName.RANDOM) is colt


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"trials": 0}, "trials is 0; it takes an integer of at least 1"),
        ({"seeds": 0}, "seeds is 0; it takes an integer from 1"),
        ({"threads": 4096}, "threads is 4096; it takes an integer from 1 to"),
        ({"warm_start": 9}, "warm-start is 9; it takes an integer from 0 to 8"),
        ({"space": "mine"}, "space is 'mine'; it takes one of own, colt, metaschedule"),
        ({"size": "paper"}, "gemv has no size 'paper'; it has small"),
        ({"strategies": ["luck"]}, "no strategy 'luck'; there are stock, random, mcts, architect, colt"),
        ({"strategies": ["colt", "colt"]}, "strategy 'colt' is named twice"),
        ({"peers": ["jax"]}, f"no peer 'jax'; there are {', '.join(Peer)}, or none alone"),
        ({"peers": ["numpy", "none"]}, f"no peer 'none'; there are {', '.join(Peer)}, or none alone"),
    ],
)
def test_what_cannot_be_run_is_refused_with_what_can(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError) as error:
        made("gemv", **changes)
    assert complaint in str(error.value)


@pytest.mark.parametrize(("given", "lent", "used"), [(None, 1, 1), (None, 10**6, available_cores()), (1, 10**6, 1)])
def test_threads_that_nobody_named_are_those_that_hosts_lend(
    given: int | None, lent: int, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def resolved(threads: int | None, fleet: str, fleet_cpu: str) -> FleetDevice:
        asked.append(threads)
        return FleetDevice.recorded(fleet, fleet_cpu, Target("llvm"), threads or lent)

    monkeypatch.setattr(bench_run, "resolve_device", resolved)
    config = made("gemv", threads=given, fleet="local", strategies=None)
    assert bench_run._like_here(config).threads == used
    assert asked == [given]


def test_an_unknown_workload_brings_up_names_and_groups() -> None:
    with pytest.raises(
        InputError,
        match=r"no workload 'gemvv'; did you mean gemv.* groups main, low-precision, held-out and held-out-low",
    ):
        made("gemvv")


@pytest.mark.parametrize(("there", "peers"), [(True, tuple(Peer)), (False, (Peer.NUMPY,))])
def test_peers_are_all_that_are_installed(there: bool, peers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_config, "find_spec", lambda name: object() if there else None)
    assert made("gemv", peers=None).peers == peers
    assert made("gemv", peers=["none"]).peers == ()


def test_a_peer_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_config, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"PyTorch is not installed; sdpa cannot run: pip install .*\[bench\]"):
        made("gemv", peers=["numpy", "sdpa"])
    with pytest.raises(InputError, match=r"ONNX Runtime is not installed; onnxruntime cannot run: pip .*\[onnx\]"):
        made("gemv", peers=["numpy", "onnxruntime"])
