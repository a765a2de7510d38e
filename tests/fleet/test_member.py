"""What a host may not say, and what becomes of its items then."""

from __future__ import annotations

from typing import Any

import pytest

from colt.fleet.cluster import Cause, ClusterNode
from colt.fleet.member import Lost, Member, Patience
from colt.fleet.share import Share
from colt.fleet.wire import HostAccounts, HostDone, HostMeasured, encode
from colt.measure.base import Fate, Limits
from colt.measure.muster import HostSeen
from tests.helpers.near_hosts import NearCluster

NODE, HOST = ClusterNode("1", "a", 2), HostSeen("a", "cpu", 2, 500.0)
ACCOUNTS = HostAccounts(building=0, timing=0, probes=0, disturbed=0, worst_slowdown=1, waiting=0)


class Says:
    """An actor that says the same whatever it is asked, once."""

    def __init__(self, *said: Any) -> None:
        self._said = list(map(encode, said))

    def begin(self, *request: object) -> None:
        pass

    def drop(self, number: int) -> None:
        pass

    def take(self, wait_s: float) -> list[bytes]:
        said, self._said = self._said, []
        return said

    def close(self) -> None:
        pass


def measured(index: int) -> HostMeasured:
    return HostMeasured(request=1, index=index, accounts=ACCOUNTS, fate=Fate.OK, latency_us=5.0)


def member_that_says(*said: Any) -> Member:
    return member_that(Says(*said))


def member_that(actor: Says, leaving: str = "") -> Member:
    cluster: Any = NearCluster([NODE], made=lambda node, make: actor)
    cluster.free.set()
    return Member(cluster, NODE, b"", Patience(), lambda: False, lambda: leaving)


def share_of(items: int) -> Share:
    share = Share("measure", Limits(), lambda host, items: (), lambda item: isinstance(item, HostMeasured))
    for item in range(items):
        share.add(item)
    share.close()
    return share


def test_a_host_that_is_done_before_it_has_answered_is_lost() -> None:
    share = share_of(3)
    deal = share.deal(1, 2, 16)
    assert deal is not None
    with pytest.raises(Lost, match="it answered 1 of 3 items"):
        member_that_says(measured(0), HostDone(request=1)).serve(share, deal, HOST)
    assert share.give_back(deal, "it was lost") == 2


def test_a_host_may_leave_out_what_nobody_waits_for() -> None:
    share = share_of(3)
    deal = share.deal(1, 2, 16)
    assert deal is not None
    share.give_up()
    member_that_says(measured(0), HostDone(request=1)).serve(share, deal, HOST)
    assert deal.done == 1


class DoneWhenDropped(Says):
    """Says that it is done only when the rest is taken from it."""

    _asked = 0

    def take(self, wait_s: float) -> list[bytes]:
        self._asked += 1
        assert self._asked < 1000, "nobody has taken the rest from it"
        return super().take(wait_s)

    def drop(self, number: int) -> None:
        self._said.append(encode(HostDone(request=number)))


def test_a_host_whose_node_is_taken_away_does_what_it_is_at_and_leaves_the_rest() -> None:
    share = share_of(3)
    deal = share.deal(1, 2, 16)
    assert deal is not None
    member = member_that(DoneWhenDropped(measured(0)), leaving="the cluster takes its node away")
    member.serve(share, deal, HOST)
    assert deal.done == 1
    with pytest.raises(Lost, match="the cluster takes its node away") as lost:
        member.heed()
    assert lost.value.cause is Cause.TAKEN
