"""Hosts measure together only if they are alike."""

from __future__ import annotations

from typing import Any

import pytest

from colt.errors import InputError
from colt.fleet.likeness import Wanted, choose
from colt.fleet.wire import HostReport
from colt.util.version import versions


def report(cpu: str = "EPYC 9B45", **changes: Any) -> HostReport:
    fields: dict[str, Any] = {
        "cpu": cpu,
        "architecture": "x86_64",
        "features": ("avx2", "avx512f"),
        "cores": 8,
        "mcpu": "znver5",
        "versions": versions(),
    }
    return HostReport(**fields | changes)


def test_the_model_that_most_hosts_have_is_chosen() -> None:
    hosts = {"a": (report("Xeon"), 8), "b": (report(), 8), "c": (report(), 8)}
    assert choose(hosts, None, None) == Wanted("EPYC 9B45", 8, ("avx2", "avx512f"))
    assert choose(hosts, "xeon", 4) == Wanted("Xeon", 4, ("avx2", "avx512f"))
    del hosts["c"]
    assert choose(hosts, None, None).cpu == "EPYC 9B45", "the first in the alphabet"


def test_kernels_use_the_cores_that_most_hosts_lend() -> None:
    hosts = {"a": (report(), 16), "b": (report(), 8), "c": (report(), 8)}
    assert choose(hosts, None, None).threads == 8
    assert choose(hosts, None, 16).threads == 16


def test_what_no_host_has_is_refused_naming_what_they_have() -> None:
    hosts = {"a": (report(), 8)}
    with pytest.raises(InputError, match=r"fleet_cpu is 'Xeon'; there are a: EPYC 9B45"):
        choose(hosts, "Xeon", None)
    with pytest.raises(InputError, match=r"threads is 9; it takes an integer from 1 to 8"):
        choose(hosts, None, 9)
    old = {"a": (report(versions=versions() | {"apache-tvm": "0.20"}), 8)}
    with pytest.raises(InputError, match=r"no host can measure: a: it has apache-tvm 0\.20, the driver"):
        choose(old, None, None)


@pytest.mark.parametrize(
    ("host", "lent", "why"),
    [
        (report(), 8, ""),
        (report(), 9, ""),
        (report(versions=versions() | {"python": "3.99"}), 8, ""),
        (report("Xeon"), 8, "its cpu is Xeon, the fleet's is EPYC 9B45"),
        (report(features=("avx2",)), 8, "its vector instructions differ: avx512f"),
        (report(), 4, "it lends 4 of its cores, kernels use 8"),
        (report(versions=versions() | {"colt": "0.0.9"}), 8, "it has colt 0.0.9, the driver "),
    ],
)
def test_an_unlike_host_is_told_what_differs(host: HostReport, lent: int, why: str) -> None:
    found = Wanted("EPYC 9B45", 8, ("avx2", "avx512f")).why_not(host, lent)
    assert found.startswith(why)
    assert bool(found) == bool(why)
