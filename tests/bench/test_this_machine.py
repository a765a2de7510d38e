"""The table of the machine at hand: what is to be reached there, and rows for what the machine does not have."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from colt.bench.config import Peer, StrategyName
from colt.bench.figures import Results, WorkloadResults
from colt.machine import Hardware, detect
from tests.helpers import bench_records as records

COLT, TORCH = StrategyName.COLT, Peer.TORCH


@cache
def script(name: str) -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


table = script("this_machine")


def machine(identity: str, *flags: str) -> Hardware:
    return replace(detect(), cpu_identity=identity, flags=flags)


def timed(ours_us: float, theirs_us: float, *names: str, problem: str = "") -> Results:
    """All workloads of these names, with a winner and PyTorch."""
    winner = records.winner(COLT, 0, () if problem else [ours_us] * 6, problem)
    found = records.results(
        [records.cell(COLT, 0, [ours_us])],
        [winner, records.peer(TORCH, [theirs_us] * 6)],
        strategies=(COLT,),
        seeds=1,
        peers=(TORCH,),
    )
    (one,) = found.workloads
    return replace(found, workloads=tuple(WorkloadResults(name, one.cells, one.remeasured) for name in names))


@pytest.mark.parametrize(
    ("hardware", "reach"),
    [
        (machine("AuthenticAMD 26 2 1", "avx2", "avx512f"), "1.4"),
        (machine("GenuineIntel 6 173 1", "avx2", "avx512f"), "1.15"),
        (machine("GenuineIntel 6 151 2", "avx2"), "1.4 (AMD with AVX-512), 1.15 (Intel with AVX-512)"),
        (machine("0x41 0x1 0xd0c 1", "asimd"), "1.4 (AMD with AVX-512), 1.15 (Intel with AVX-512)"),
    ],
)
def test_what_to_reach_is_that_of_the_machine_or_says_for_which_it_was_set(hardware: Hardware, reach: str) -> None:
    assert table.best_reach(hardware) == reach


def test_a_machine_without_amx_has_a_row_that_says_so_and_one_with_it_is_held_against_onednn() -> None:
    results = timed(50.0, 100.0, "quantised-linear", "bf16-matmul")
    ((_, _, found),) = table.tiles(results, machine("AuthenticAMD 26 2 1", "avx512f"))
    assert found == "this machine has no AMX, or Linux does not grant it"
    rows = table.tiles(results, machine("GenuineIntel 6 173 1", "avx512f", "amx_int8", "amx_bf16"))
    assert [(reach[:3], found[:4]) for _, reach, found in rows] == [("1.3", "2.00"), ("1.2", "2.00")]


def test_the_least_ratio_and_what_is_wrong_are_told() -> None:
    *_, (what, _, found) = table.against_the_best(timed(50.0, 100.0, "matmul"), "all", "1.0")
    assert (what, found) == ("all: geometric mean of 1", "2.00; the least 2.00")
    wrong = timed(50.0, 100.0, "matmul", problem="it computes something else")
    assert [found for *_, found in table.against_the_best(wrong, "all", "1.0")] == ["no winner", "nothing compared"]
    assert [table.is_wrong(one) for one in (*wrong.workloads, *timed(1.0, 1.0, "matmul").workloads)] == [True, False]
    assert "not timed: it computes something else" in table.against(wrong, "matmul", TORCH, "1.0")


def test_each_move_is_a_line_that_the_table_reads() -> None:
    ablation = script("ablation")
    found = [ablation.Ratio("dot", "quantised-linear", 2.5, (2.4, 2.6)), ablation.Ratio("fused", "matmul", None)]
    lines = list(ablation.summary(found, 2))
    assert len(lines) == len(ablation.MOVES)
    assert all(re.fullmatch(table.MOVE, line) for line in lines)
    assert lines[0].startswith("fused: matmul leaves nothing to search")
    assert lines[1].startswith("dot: quantised-linear worth 2.50 (2.40 to 2.60)")
    assert lines[2].startswith("packed: no winner of 2 uses it")
    assert len(list(ablation.summary(found, 2, ["dot", "packed"]))) == 2  # of others nothing is known


@pytest.mark.parametrize(
    ("variant", "sketch", "moves"),
    [
        ("plain", "ms3", ["metaschedule"]),
        ("plain", "fused", ["fused"]),
        ("packed", "staged-parts", ["packed", "staged", "k-blocks"]),
        ("dot-packed", "apart", ["dot-packed", "apart"]),
    ],
)
def test_a_design_is_made_of_moves(variant: str, sketch: str, moves: list[str]) -> None:
    assert list(script("ablation").moves_of(variant, sketch)) == moves
