"""What compiling a model took: the receipts of its programs, added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from colt.models.manifest import Manifest, MemberPart, ReceiptPart
from colt.models.options import UsedUp
from colt.store.receipt import ModelPart, ProposerPart, Receipt


def receipt_of(receipts: Sequence[Receipt]) -> ReceiptPart:
    """The receipts of all programs of one run as one. Time is the run's: the last of them has all of it."""
    if not receipts:
        return ReceiptPart()
    last = max(receipts, key=lambda one: one.seconds["total"])
    records = [one.records for one in receipts if one.records is not None]
    ended = [one.spending.ended for one in receipts if one.spending is not None and one.spending.ended]
    return ReceiptPart(
        seed=last.seed,
        pool=tuple(one.name for one in last.pool),
        members=_added(_members(one) for one in receipts),
        fates=_counted(one.trials.fates for one in receipts),
        seconds=dict(last.seconds),
        known=sum(one.known for one in records),
        relatives=sum(one.relatives for one in records),
        added=sum(one.added for one in records),
        stop_reason=last.stop_reason,
        calls_ended=next(iter(ended), ""),
    )


def receipt_of_both(first: ReceiptPart, second: ReceiptPart) -> ReceiptPart:
    """Those of two runs, one after the other, as one: its pool and seed, and why it stopped, are the second's."""
    names = dict.fromkeys((*first.seconds, *second.seconds))
    return msgspec.structs.replace(
        second,
        members=_added([first.members, second.members]),
        fates=_counted([first.fates, second.fates]),
        seconds={name: round(first.seconds.get(name, 0.0) + second.seconds.get(name, 0.0), 3) for name in names},
        known=first.known + second.known,
        relatives=first.relatives + second.relatives,
        added=first.added + second.added,
        calls_ended=second.calls_ended or first.calls_ended,
    )


def used_up(manifest: Manifest) -> UsedUp:
    """What compiling a model has taken of the budget."""
    receipt = manifest.receipt or ReceiptPart()
    return UsedUp(
        minutes=manifest.seconds["tuning"] / 60,
        trials=manifest.trials,
        usd=Decimal(str(manifest.usd)),
        calls=receipt.requests,
        tokens=receipt.tokens,
    )


def _members(receipt: Receipt) -> dict[str, MemberPart]:
    models = receipt.models or {}
    own = [one.name for one in receipt.pool]
    names = [*own, *(name for name in receipt.proposers if name not in own)]
    return {name: _member(receipt.proposers.get(name, ProposerPart()), models.get(name, ModelPart())) for name in names}


def _member(turns: ProposerPart, sent: ModelPart) -> MemberPart:
    return MemberPart(
        calls=turns.calls,
        trials=turns.trials,
        seconds=turns.seconds,
        failed=sum(sent.failed.values()),
        requests=sent.requests,
        input=sent.input,
        cached=sent.cached,
        output=sent.output,
        usd=sent.usd,
    )


def _added(of_each: Iterable[Mapping[str, MemberPart]]) -> dict[str, MemberPart]:
    found: dict[str, MemberPart] = {}
    for members in of_each:
        for name, member in members.items():
            found[name] = _sum(found.get(name, MemberPart()), member)
    return found


def _sum(one: MemberPart, other: MemberPart) -> MemberPart:
    numbers = {field: getattr(one, field) + getattr(other, field) for field in MemberPart.__struct_fields__}
    return MemberPart(**{field: round(number, 9) for field, number in numbers.items()})


def _counted(of_each: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums by name, of those that are any."""
    found = Counter[str]()
    for counts in of_each:
        found.update(counts)
    return {name: count for name, count in found.items() if count}
