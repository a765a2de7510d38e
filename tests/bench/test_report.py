"""The report and the tables, made from records alone."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest

from colt.bench.config import Peer, StrategyName
from colt.bench.figures import Results
from colt.bench.report import markdown
from colt.bench.tables import TABLES
from colt.machine import detect
from tests.helpers import bench_records as records

STOCK, COLT = StrategyName.STOCK, StrategyName.COLT


def recorded(**changes: object) -> Results:
    """COLT three times faster than stock and a little slower than numpy; a seed of stock has failed."""
    return records.results(
        [
            records.cell(STOCK, 0, [90.0, None, 60.0, 60.0]),
            records.failed_cell(STOCK, 1, "killed by SIGSEGV; it printed nothing"),
            records.cell(COLT, 0, [40.0, 22.0, 20.0, 20.0]),
            records.cell(COLT, 1, [21.0, 30.0, 30.0]),
        ],
        [
            records.winner(STOCK, 0, [60.0, 61.0, 62.0, 60.0, 61.0, 62.0]),
            records.winner(COLT, 0, [20.0] * 6),
            records.winner(COLT, 1, [21.0] * 6),
            records.peer(Peer.NUMPY, [20.0, 21.0, 20.0, 21.0, 20.0, 21.0]),
            records.peer(Peer.SDPA, [], problem="it crashed"),
        ],
        **changes,
    )


def report(found: Results) -> str:
    return markdown(found, detect(), {"cpu": "a cpu", "cores": "2", "colt": "0.1.0"})


def section(text: str, title: str) -> list[str]:
    """The lines below a heading, without empty ones."""
    _, _, rest = text.partition(f"\n## {title}\n")
    assert rest, f"{title} is none of {[line for line in text.splitlines() if line.startswith('#')]}"
    return [line for line in rest.partition("\n## ")[0].splitlines() if line]


def row(text: str, title: str, name: str) -> list[str]:
    (line,) = (line for line in section(text, title) if line.startswith(f"| {name} |"))
    return [part.strip() for part in line.strip("|").split("|")][1:]


def test_speeds_are_medians_over_seeds_with_their_spread() -> None:
    stock, colt, numpy = row(report(recorded()), "GFLOPS", "matmul")
    assert stock == "16.4, 1 of 2 seeds"
    assert colt == "48.8 (47.6–50.0)"
    assert numpy == "48.8"


def test_a_speed_lies_between_those_of_its_seeds() -> None:
    contenders = [records.winner(COLT, 0, [20.0, 10.0, 10.0]), records.winner(COLT, 1, [10.0, 20.0, 10.0])]
    found = records.results([], contenders, strategies=(COLT,))  # of each round the median over both would be 15
    assert row(report(found), "GFLOPS", "matmul")[0] == "100 (100–100)"


def test_ratios_have_intervals_and_a_mean() -> None:
    text = report(recorded())
    title = "How many times faster colt is"
    stock, numpy = row(text, title, "matmul")
    assert stock == "2.98 (2.93 to 3.02)"
    assert numpy == "*1.00 (0.98 to 1.02)*"  # the interval includes 1
    assert row(text, title, "**geometric mean**") == ["**2.98**", "**1.00**"]
    assert row(text, title, "slower on") == ["0 of 1", "0 of 1"]


def test_slower_is_said_only_where_the_whole_interval_is() -> None:
    close = [19.9, 20.1, 19.9, 20.1, 19.9, 19.9]
    contenders = [records.winner(COLT, 0, [20.0] * 6), records.peer(Peer.NUMPY, close)]
    found = records.results([], contenders, strategies=(COLT,), seeds=1)
    assert row(report(found), "How many times faster colt is", "slower on") == ["0 of 1"]
    found = records.results(
        [], [records.winner(COLT, 0, [20.0] * 6), records.peer(Peer.NUMPY, [18.0] * 6)], strategies=(COLT,), seeds=1
    )
    assert row(report(found), "How many times faster colt is", "slower on") == ["1 of 1"]
    assert row(report(found), "colt against the best peer of each workload", "matmul") == [
        "numpy",
        "0.90 (0.90 to 0.90)",
    ]


def test_sample_efficiency_is_relative_to_the_best_of_all() -> None:
    stock, colt = row(report(recorded()), "Trials to reach 50% / 90% / 95% of the best speed", "matmul")
    assert stock == "– / – / –"  # 60 us is a third of the speed of 20 us
    assert colt == "1 / 2 / 3"  # of seeds that take 1 and 1, 2 and 1, 3 and 1: the higher of the two in the middle


def test_the_first_trials_are_shown_where_there_are_more() -> None:
    title = "Share of the best speed after 8 trials"
    assert title not in report(recorded())
    cells = [records.cell(COLT, 0, [40.0] * 8 + [20.0])]
    found = records.results(cells, [], strategies=(COLT,), seeds=1, trials=9)
    assert row(report(found), title, "matmul") == ["50%, 100%"]


def test_seconds_are_those_of_the_cells() -> None:
    assert row(report(recorded()), "Seconds of a search", "matmul") == ["20 (10)", "20 (10)"]


def test_what_went_wrong_is_told() -> None:
    problems = "\n".join(section(report(recorded(disturbed=3)), "What went wrong"))
    assert "- matmul, stock seed 1: killed by SIGSEGV; it printed nothing" in problems
    assert "- matmul, colt seed 1: 3 of 4 trials, stopped: trials" in problems
    assert "- matmul: other loads disturbed 3 of 6 rounds" in problems


def test_peers_that_fail_are_told_and_those_without_an_own_way_are_not() -> None:
    contenders = [
        records.winner(COLT, 0, [20.0] * 6),
        records.peer(Peer.SDPA, []),
        records.peer(Peer.TORCH_COMPILE, [], problem="InductorError: no C++ compiler"),
    ]
    cells = [records.cell(COLT, 0, [20.0] * 4)]
    found = records.results(cells, contenders, strategies=(COLT,), seeds=1, peers=(Peer.SDPA, Peer.TORCH_COMPILE))
    assert section(report(found), "What went wrong") == [
        "- matmul, torch.compile is not timed: InductorError: no C++ compiler"
    ]


def test_a_good_benchmark_has_nothing_that_went_wrong() -> None:
    cells = [records.cell(COLT, 0, [20.0] * 4)]
    found = records.results(cells, [records.winner(COLT, 0, [20.0] * 6)], strategies=(COLT,), seeds=1)
    assert "What went wrong" not in report(found)


def test_an_unfinished_benchmark_has_a_report() -> None:
    done = recorded()
    halfway = Results(
        msgspec.structs.replace(done.config, workloads=("matmul", "gemv")),
        (
            records.WorkloadResults("matmul", done.workloads[0].cells[:1], None),
            records.WorkloadResults("gemv", (), None),
        ),
    )
    text = report(halfway)
    assert row(text, "GFLOPS", "matmul") == ["–", "–", "–"]
    problems = "\n".join(section(text, "What went wrong"))
    assert "- matmul: 3 searches are not done yet" in problems
    assert "- gemv: 4 searches are not done yet" in problems


@pytest.mark.parametrize(("space", "stocks", "ours"), [("own", "MetaSchedule", "COLT"), ("colt", "COLT", "COLT")])
def test_the_head_says_what_is_searched(space: str, stocks: str, ours: str) -> None:
    text = report(recorded(space=space))
    assert f"- **stock**: MetaSchedule's evolutionary search, in {stocks}'s space" in text
    assert f"- **colt**: the tree with the built-in pool, in {ours}'s space" in text
    assert "begin with the same" not in text


def test_the_head_says_what_a_warm_start_is_to_each() -> None:
    assert "All begin with the first 3 schedules" in report(recorded(warm_start=3))


def test_the_machine_and_the_versions_are_there() -> None:
    text = report(recorded())
    assert row(text, "Machine and versions", "threads") == ["2"]
    assert row(text, "Machine and versions", "peers") == ["numpy"]
    assert row(text, "Machine and versions", "colt") == ["0.1.0"]
    assert row(text, "Machine and versions", "cpu") == [detect().cpu]  # once, from the machine itself


def read(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(TABLES[name](recorded()))))


def test_cells_are_a_table() -> None:
    first, failed, *_ = read("cells.csv")
    assert (first["strategy"], first["seed"], first["status"], first["trials"]) == ("stock", "0", "ok", "4")
    assert (first["failed_trials"], first["best_us"], first["wall_seconds"]) == ("1", "60.000", "20.000")
    assert (failed["status"], failed["best_us"]) == ("failed", "")
    assert failed["failure"] == "killed by SIGSEGV; it printed nothing"


def test_trials_are_a_table_with_the_best_so_far() -> None:
    stock = [one for one in read("trials.csv") if (one["strategy"], one["seed"]) == ("stock", "0")]
    assert [one["trial"] for one in stock] == ["1", "2", "3", "4"]
    assert [one["latency_us"] for one in stock] == ["90.000", "", "60.000", "60.000"]
    assert [one["best_us"] for one in stock] == ["90.000", "90.000", "60.000", "60.000"]
    assert stock[1]["fate"] == "crash"


def test_remeasured_contenders_are_a_table() -> None:
    rows = {one["contender"]: one for one in read("remeasured.csv")}
    stock, numpy = rows["stock 0"], rows["numpy"]
    assert (stock["median_us"], stock["low_us"], stock["high_us"]) == ("61.000", "60.000", "62.000")
    assert (stock["gflops"], stock["rounds"], stock["peer"]) == ("16.393", "6", "")
    assert (numpy["strategy"], numpy["seed"], numpy["peer"]) == ("", "", "numpy")
    assert (rows["sdpa"]["median_us"], rows["sdpa"]["problem"]) == ("", "it crashed")
