"""What hosts say is checked as what strangers say."""

from __future__ import annotations

import json
import pickle
from typing import Any

import msgspec
import pytest

from colt.fleet.wire import (
    MOST_BYTES,
    HostAccounts,
    HostDone,
    HostError,
    HostHardware,
    HostMeasured,
    HostReady,
    decode,
    decode_said,
    encode,
)
from colt.machine import Cache, Peaks, detect
from colt.measure.base import Fate

ACCOUNTS = HostAccounts(building=1.0, timing=2.0, probes=3, disturbed=0, worst_slowdown=1.0, waiting=0.0)
MEASURED = HostMeasured(request=1, index=0, accounts=ACCOUNTS, fate=Fate.OK, latency_us=5.0, runs_us=(5.0, 5.0))


class Hostile:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('unpickled')",))


def changed(**fields: Any) -> bytes:
    content = json.loads(encode(MEASURED))
    return json.dumps({**content, **fields}).encode()


def test_what_is_said_arrives_as_it_was() -> None:
    assert decode_said(encode(MEASURED)) == MEASURED
    assert decode_said(encode(HostDone(request=7))) == HostDone(request=7)
    assert MEASURED.measurement(4).latency_us == 5.0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"kind": "nonsense"}',
        b"\xff\xfe",
        b"[" * 100_000,
        pickle.dumps(Hostile()),
        Hostile(),
        "text",
        None,
        b" " * (MOST_BYTES + 1),
        changed(latency_us=-1.0),
        changed(latency_us=None),
        changed(latency_us="fast"),
        changed(fate="splendid"),
        changed(fate="crash"),
        changed(runs_us=[5.0] * 20_000),
        changed(index=-1),
        changed(request=1.5),
        changed(slowdown=0.5),
        changed(latency_us=1e-305),
        changed(reference_us=1e-305),
        changed(predicted_build_seconds=1e300),
        changed(extra=1),
        changed(message="x" * 5000),
        changed(accounts={}),
        b'{"kind": "ready", "reference_us": 1.0, "disturbed": false}',
    ],
)
def test_anything_else_is_refused(content: object) -> None:
    with pytest.raises(HostError):
        decode_said(content)


def test_a_message_of_another_kind_is_refused() -> None:
    with pytest.raises(HostError):
        decode(encode(MEASURED), HostReady)
    with pytest.raises(HostError):
        decode(b'{"kind": "ready", "reference_us": 0, "disturbed": false}', HostReady)


@pytest.mark.parametrize(
    "impossible", [{"cores": 0}, {"l2": Cache(0, 1)}, {"peaks": Peaks(fma_gflops_all_threads=0.0)}], ids=str
)
def test_a_machine_that_there_cannot_be_is_refused(impossible: dict[str, Any]) -> None:
    hardware = detect()
    assert decode(encode(HostHardware(hardware=hardware)), HostHardware).hardware == hardware
    said = msgspec.json.encode(HostHardware(hardware=hardware))
    content = json.loads(said)
    content["hardware"] |= {name: msgspec.to_builtins(value) for name, value in impossible.items()}
    with pytest.raises(HostError):
        decode(json.dumps(content).encode(), HostHardware)
