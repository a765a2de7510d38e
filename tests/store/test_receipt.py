"""Receipts as they are read, those of older versions included, and as they are shown."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from colt.errors import InputError
from colt.store.receipt import ProposerPart, Receipt, RooflinePart, Verdict, load_receipt, printable
from colt.views.describe import speedup_text
from colt.views.table import result_table

OLD = Path(__file__).parent / "receipts" / "schema-1-first.json"
"""Written before receipts had intervals, verdicts and rooflines."""


def shown(receipt: Receipt) -> str:
    """The result as people see it."""
    console = Console(width=160)
    with console.capture() as captured:
        console.print(result_table(receipt))
    return captured.get()


@pytest.fixture
def receipt() -> Receipt:
    """One with everything that is new."""
    old = load_receipt(OLD)
    assert old.best is not None
    return msgspec.structs.replace(
        old,
        best=msgspec.structs.replace(old.best, latency_us=old.baseline.latency_us / 1.07),
        speedup=1.07,
        speedup_interval=(1.02, 1.11),
        verdict=Verdict.FASTER,
        rounds=25,
        roofline=RooflinePart(gflops=236.0, bound="fma", share=0.91),
    )


def test_an_old_receipt_is_read_and_shown_and_claims_nothing_new() -> None:
    old = load_receipt(OLD)
    assert old.schema == 1
    assert (old.verdict, old.speedup_interval, old.rounds, old.roofline) == (None, None, None, None)
    assert (old.verified.leaders, old.baseline.interval_us, old.hardware.peak_threads) == (None, None, None)
    text = shown(old)
    assert f"{old.speedup:.1f}x" in text
    assert "verdict" not in text
    assert "roofline:" not in text


def test_who_brought_structures_is_shown_where_members_are_credited_with_them(receipt: Receipt) -> None:
    assert "led below" not in shown(receipt)
    parts = {
        "model": ProposerPart(calls=3, structures=2, improvements=1, improvements_below=4),
        "tuner": ProposerPart(),
    }
    text = shown(msgspec.structs.replace(receipt, proposers=parts))
    lines = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in text.splitlines()]
    cells = {line[0]: line[-3:] for line in lines if line and line[0] in ("proposer", *parts)}
    assert cells["proposer"] == ["structures", "led", "led below"]
    assert (cells["model"], cells["tuner"]) == (["2", "1", "4"], ["-", "-", "-"])


def test_a_receipt_survives_a_round_trip(receipt: Receipt, tmp_path: Path) -> None:
    (tmp_path / "receipt.json").write_bytes(receipt.to_json())
    assert load_receipt(tmp_path) == receipt


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"speedup": 1070.0, "speedup_interval": None}, "the speed-up is 1070, but the latencies are 1.07 apart"),
        ({"speedup": 1070.0}, "outside of its interval, 1.02 to 1.11"),
        ({"speedup": 1.5}, "outside of its interval, 1.02 to 1.11"),
        ({"trials": {"total": 40, "fates": {"ok": 4}}}, "it counts 40 trials, but fates of 4"),
        ({"baseline": {"latency_us": -1.0, "gflops": None, "roofline_share": None}}, "a latency is -1.0 µs"),
        ({"best": None, "speedup": 9.0}, "the latencies are 1 apart"),
    ],
)
def test_figures_that_contradict_each_other_are_refused(
    changes: dict[str, object], problem: str, receipt: Receipt, tmp_path: Path
) -> None:
    (tmp_path / "receipt.json").write_bytes(msgspec.json.encode(msgspec.to_builtins(receipt) | changes))
    with pytest.raises(InputError, match="not a receipt that a run writes.*" + re.escape(problem)):
        load_receipt(tmp_path)


def test_a_receipt_of_a_machine_whose_loads_came_and_went_is_read(receipt: Receipt, tmp_path: Path) -> None:
    """The untuned program was slow in most rounds, the tuned one in others: medians say nothing of ratios."""
    noisy = msgspec.structs.replace(receipt, speedup=21.5, speedup_interval=(0.4, 40.0), verdict=Verdict.NO_DIFFERENCE)
    (tmp_path / "receipt.json").write_bytes(noisy.to_json())
    assert load_receipt(tmp_path) == noisy


def test_a_verdict_that_is_none_is_refused(tmp_path: Path) -> None:
    content = msgspec.json.decode(OLD.read_bytes()) | {"verdict": "much faster"}
    (tmp_path / "receipt.json").write_bytes(msgspec.json.encode(content))
    with pytest.raises(InputError, match="not a receipt"):
        load_receipt(tmp_path)


def test_a_significant_speedup_is_shown_with_its_interval(receipt: Receipt) -> None:
    text = shown(receipt)
    assert "│ speed-up │" in text
    assert (
        "verdict: faster, 1.07x (1.02x to 1.11x with 95 % confidence) over the untuned program, timed in turn 25x"
        in text
    )
    assert "roofline: 91.0% of 236.0 GFLOPS (FMA peak" in text


def test_without_a_significant_difference_nothing_is_called_faster(receipt: Receipt) -> None:
    text = shown(msgspec.structs.replace(receipt, verdict=Verdict.NO_DIFFERENCE, speedup_interval=(0.97, 1.11)))
    speedup = next(line for line in text.splitlines() if "speed-up" in line)
    assert "no significant difference" in speedup
    assert "x" not in speedup
    assert "faster" not in text
    assert "1.07x (0.97x to 1.11x with 95 % confidence)" in text


def test_where_the_untuned_program_is_kept_nothing_is_called_faster(receipt: Receipt) -> None:
    kept = msgspec.structs.replace(receipt, best=None, speedup=1.0, speedup_interval=None, verdict=Verdict.SLOWER)
    text = shown(kept)
    assert "nothing better" in text
    assert "verdict: slower; the untuned program is kept" in text
    assert "verified: nothing, as the untuned program is kept" in text


def test_the_bandwidth_is_named_where_it_is_the_bound(receipt: Receipt) -> None:
    text = shown(msgspec.structs.replace(receipt, roofline=RooflinePart(gflops=7.5, bound="bandwidth", share=0.8)))
    assert "roofline: 80.0% of 7.5 GFLOPS (memory bandwidth of" in text


@pytest.mark.parametrize(
    ("speedup", "interval", "text"),
    [
        (1.034, (0.99, 1.08), "1.03x (0.99x to 1.08x with 95 % confidence)"),
        (9.99, (9.5, 10.4), "9.99x (9.50x to 10.4x with 95 % confidence)"),
        (1234.5, None, "1,234.5x (no interval)"),
    ],
)
def test_speedups_in_words(speedup: float, interval: tuple[float, float] | None, text: str) -> None:
    assert speedup_text(speedup, interval) == text


def test_nothing_in_a_receipt_steers_a_terminal(receipt: Receipt) -> None:
    steering = "\x1b[31m\x07\x7f\x9b2J"
    hostile = msgspec.structs.replace(
        receipt, stop_reason=steering, messages=(f"a {steering} b",), versions={steering: "1"}
    )
    text = shown(printable(hostile))
    assert not set(text) & set("\x1b\x07\x7f\x9b")
    assert printable(receipt) == receipt
