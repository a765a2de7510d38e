"""Items are dealt to hosts: each is answered once, whoever is lost, and in order."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from colt.errors import MeasureError
from colt.fleet.share import Blamed, Deal, HostTold, Share, dealt
from colt.fleet.wire import HostAccounts, HostFailed
from colt.measure.base import Limits
from colt.measure.muster import HostSeen

HOST = HostSeen("a", "cpu", 2, 500.0)
ACCOUNTS = HostAccounts(building=0, timing=0, probes=0, disturbed=0, worst_slowdown=1, waiting=0)


def told(index: int) -> HostTold:
    return HostTold(HOST, HostFailed(request=1, index=index, accounts=ACCOUNTS, message="", fault=False), ACCOUNTS)


def share_of(items: int, **options: Any) -> Share:
    share = Share("measure", Limits(), lambda host, items: (), lambda item: True, **options)
    for item in range(items):
        share.add(item)
    share.close()
    return share


def do(share: Share, deal: Deal) -> None:
    for number in deal.numbers[deal.done :]:
        share.told(number, told(number))
        deal.done += 1


def take(share: Share, hosts: int = 2) -> Deal:
    found = share.deal(hosts, 2, 16)
    assert found is not None
    found.begun = True
    return found


@pytest.mark.parametrize(
    ("waiting", "hosts", "count"),
    [(8, 1, 8), (40, 1, 16), (8, 2, 2), (32, 2, 8), (3, 2, 2), (1, 2, 1), (128, 64, 2), (64, 64, 1), (5, 64, 1)],
)
def test_a_host_takes_part_of_what_waits(waiting: int, hosts: int, count: int) -> None:
    assert dealt(waiting, hosts, workers=2, ahead=16) == count


def test_all_items_are_dealt_once_and_answered_in_order() -> None:
    share = share_of(11)
    deals = []
    while not share.over:
        deals.append(take(share))
        if len(deals) % 2 == 0:
            do(share, deals[-1])
            do(share, deals[-2])
    assert sorted(number for deal in deals for number in deal.numbers) == list(range(11))
    answers = [share.answer(number) for number in range(11)]
    assert [one.item.index for one in answers if isinstance(one, HostTold)] == list(range(11))
    assert share.deal(2, 2, 16) is None


def test_what_a_lost_host_leaves_comes_first_and_is_not_answered_twice() -> None:
    share = share_of(8)
    lost, other = take(share), take(share)
    share.told(lost.numbers[0], told(0))
    lost.done = 1
    assert share.give_back(lost, "it died") == len(lost.numbers) - 1
    again = take(share)
    assert again.numbers[0] == lost.numbers[1]
    for deal in (other, again):
        do(share, deal)
    share.told(lost.numbers[1], told(99))  # said too late
    found = share.answer(lost.numbers[1])
    assert isinstance(found, HostTold)
    assert found.item.index == lost.numbers[1]


def test_an_item_that_hosts_die_of_is_to_blame() -> None:
    share = share_of(3)
    first = take(share)
    under_way = first.numbers[0]
    share.give_back(first, "a died")
    second = take(share)
    assert second.numbers[0] == under_way
    assert share.give_back(second, "b died") == len(second.numbers) - 1
    assert share.answer(under_way) == Blamed("b died")
    while not share.over:
        do(share, take(share))


def test_an_item_is_not_to_blame_for_hosts_that_were_lost_before_they_took_it_up() -> None:
    share = share_of(1)
    for _ in range(3):
        deal = take(share)
        deal.begun = False
        assert share.give_back(deal, "it was dead already") == 1


def test_builders_build_what_hosts_take_last() -> None:
    share = share_of(8)
    deal = share.deal_to_builder(hosts=2, most=3)
    assert deal is not None
    assert deal.numbers == [5, 6, 7]
    share.built(5, "library of 5")
    share.take_out(7, told(7))
    others = share.deal_to_builder(hosts=2, most=9)
    assert others is not None
    assert others.numbers == [2, 3, 4]
    found = []
    while not share.over:
        found.append(take(share))
        if 6 in found[-1].numbers:
            share.built(6, "too late")
        do(share, found[-1])
    libraries = {deal.numbers[place]: one for deal in found for place, one in deal.libraries.items()}
    assert libraries == {5: "library of 5"}
    assert sorted(number for deal in found for number in deal.numbers) == [0, 1, 2, 3, 4, 5, 6]


def test_hosts_wait_for_a_few_items_to_build_side_by_side_as_long_as_more_come() -> None:
    share = Share("measure", Limits(), lambda host, items: (), lambda item: True)
    share.add("one")
    assert share.deal(2, 2, 16) is None
    share.add("two")
    assert take(share).items == ["one", "two"]


def test_whoever_waits_is_told_that_no_host_is_left() -> None:
    share = share_of(1)
    threading.Timer(0.05, share.fail, ["all are gone"]).start()
    with pytest.raises(MeasureError, match="all are gone"):
        share.answer(0)


def test_nothing_is_dealt_of_what_was_given_up() -> None:
    share = share_of(4)
    deal = take(share)
    share.give_up()
    assert share.over
    assert share.deal(2, 2, 16) is None
    assert share.give_back(deal, "it died") == 0


def test_what_a_lost_host_had_is_dealt_one_by_one_so_that_what_it_built_ahead_is_found() -> None:
    share = share_of(12)
    first = take(share)
    innocent, *_, eater = first.numbers
    assert innocent != eater
    deals, why = [first], "its memory ran out"
    while not share.over:
        deal = deals[-1]
        if eater in deal.numbers:
            share.give_back(deal, why)
        else:
            do(share, deal)
        if not share.over:
            deals.append(take(share))
    assert share.answer(eater) == Blamed(why)
    assert all(isinstance(share.answer(number), HostTold) for number in range(12) if number != eater)
    assert [deal.numbers for deal in deals if eater in deal.numbers] == [first.numbers, [eater], [eater]]
    assert any(len(deal.numbers) > 1 for deal in deals[1:]), "what it never had is dealt as ever"


def test_builders_leave_to_hosts_what_a_host_was_lost_with() -> None:
    share = share_of(8)
    lost = take(share)
    share.give_back(lost, "it died")
    deal = share.deal_to_builder(hosts=0, most=9)
    assert deal is not None
    assert deal.numbers == [number for number in range(8) if number not in lost.numbers]


def test_no_item_is_to_blame_for_hosts_that_the_cluster_takes_away() -> None:
    share = share_of(12)
    for _ in range(3):
        deal = take(share)
        assert len(deal.numbers) > 1
        assert share.give_back(deal, "it was taken away", blame=False) == len(deal.numbers)
    while not share.over:
        do(share, take(share))
    assert all(isinstance(share.answer(number), HostTold) for number in range(12))
