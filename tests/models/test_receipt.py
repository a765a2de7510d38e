"""What compiling a model took, as its manifest has it: the receipts of all programs of its runs, added up."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from colt.models.manifest import Manifest, MemberPart, ReceiptPart
from colt.models.receipt import receipt_of, receipt_of_both, used_up
from colt.models.report import model_table
from colt.store.receipt import (
    ModelPart,
    PoolMember,
    ProposerPart,
    Receipt,
    RecordsPart,
    SpendingPart,
    TrialsPart,
    load_receipt,
)
from tests.helpers.manifests import bare

RECEIPT = Path(__file__).parents[1] / "store" / "receipts" / "schema-1-first.json"


def program(total: float, ended: str | None = None) -> Receipt:
    """The receipt of one of a run's programs, of which the whole had taken so many seconds by then."""
    spending = SpendingPart(
        usd=0.2, requests=6, tokens=700, max_usd=1.0, max_calls=None, max_tokens=None, max_seconds=None, ended=ended
    )
    model = ModelPart(answered=4, failed={"timeout": 1, "refused": 1}, requests=6, input=600, cached=50, output=100)
    return msgspec.structs.replace(
        load_receipt(RECEIPT),
        pool=tuple(PoolMember(name=name, size_b=1.0, nominal=True) for name in ("big", "scout")),
        proposers={
            "big": ProposerPart(calls=4, trials=3, seconds=2.5),
            "scout": ProposerPart(calls=9, trials=5, seconds=0.1),
            "records": ProposerPart(trials=2),
        },
        models={"big": msgspec.structs.replace(model, usd=0.2)},
        spending=spending,
        records=RecordsPart(known=2, relatives=1, unusable=0, added=4),
        trials=TrialsPart(total=10, fates={"ok": 8, "dropped": 2, "skipped": 1, "crash": 0}),
        seconds={"total": total, "timing": total - 1, "building": 1.0},
        stop_reason="out of time",
    )


def test_programs_of_a_run_add_up_and_its_time_counts_once() -> None:
    found = receipt_of([program(20.0), program(30.0, "max_usd is spent"), program(25.0)])
    assert found.pool == ("big", "scout")
    assert found.members == {
        "big": MemberPart(
            calls=12, trials=9, seconds=7.5, failed=6, requests=18, input=1800, cached=150, output=300, usd=0.6
        ),
        "scout": MemberPart(calls=27, trials=15, seconds=0.3),
        "records": MemberPart(trials=6),
    }
    assert found.fates == {"ok": 24, "dropped": 6, "skipped": 3}
    assert found.seconds == {"total": 30.0, "timing": 29.0, "building": 1.0}
    assert (found.known, found.relatives, found.added) == (6, 3, 12)
    assert (found.stop_reason, found.calls_ended) == ("out of time", "max_usd is spent")
    assert (found.requests, found.tokens) == (18, 2100)


def test_runs_after_each_other_add_up_with_their_time() -> None:
    first, second = receipt_of([program(20.0, "max_calls are spent")]), receipt_of([program(30.0)])
    found = receipt_of_both(first, second)
    assert found.seconds == {"total": 50.0, "timing": 48.0, "building": 2.0}
    assert found.members["big"].requests == 12
    assert found.fates["ok"] == 16
    assert (found.known, found.added, found.calls_ended) == (4, 8, "max_calls are spent")
    assert receipt_of_both(ReceiptPart(), second) == second


def test_nothing_was_run() -> None:
    assert receipt_of([]) == ReceiptPart()


def manifest(receipt: ReceiptPart | None) -> Manifest:
    return bare(seconds={"tuning": 90.0}, trials=30, usd=0.6, receipt=receipt)


def test_what_was_used_of_a_budget() -> None:
    spent = used_up(manifest(receipt_of([program(20.0), program(30.0)])))
    assert (spent.minutes, spent.trials, spent.usd, spent.calls, spent.tokens) == (1.5, 30, Decimal("0.6"), 12, 1400)
    assert used_up(manifest(None)).calls == 0, "a file of before that was kept"


@pytest.mark.parametrize("name", ["big", "big\x1b[31m"])
def test_the_table_tells_who_did_what_for_how_much(name: str) -> None:
    receipt = receipt_of([program(20.0, "max_usd is spent")])
    named = {name if one == "big" else one: part for one, part in receipt.members.items()}
    console = Console(width=200)
    with console.capture() as shown:
        console.print(model_table(manifest(msgspec.structs.replace(receipt, members=named))))
    text = shown.get()
    assert "trials: 8 ok, 2 dropped, 1 skipped; 2 schedules known from records, 4 added to them" in text
    assert "of tuning: timing 19 s, building 1 s" in text
    assert "4 turns, 3 trials, 6 requests, 700 tokens, $0.2000; scout 9 turns, 5 trials; records 2 trials" in text
    assert "language models were not asked to the end: max_usd is spent" in text
    assert "\x1b[31m" not in text
