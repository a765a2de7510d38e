"""Looks at this machine while nothing else is to be done, and prints what is seen as one line of JSON:
``python -m colt.tvm.devices.quiet_looks THREADS PEAK_GFLOPS``.

:mod:`colt.tvm.devices.peaks` runs it, with ``TVM_NUM_THREADS`` set to the same number. What it finds tells another load
from the unrest that this machine always has.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict

from colt.machine import detect
from colt.machine.quiet import Quiet
from colt.tvm.devices.host import resolve_target
from colt.tvm.workers.noise import Gauge
from colt.tvm.workers.place import ThisProcess
from colt.tvm.workers.reference import reference_gflop

SPELLS, SPELL_SECONDS = 6, 0.5
STRETCH_SECONDS = 0.02
"""How long each look watches whether threads queue: about as long as a candidate is timed at least."""


def measure(threads: int, peak_gflops: float) -> Quiet | None:
    """What looks see; ``None`` if something else keeps the machine busy all the time."""
    gauge = ThisProcess(resolve_target(None, threads), threads, kernels=1, cache_bytes=0).gauge()
    gauge.expect(reference_gflop(threads, detect().simd) / peak_gflops * 1e6)
    found = Quiet.of(list(_spell(gauge)) for _ in range(SPELLS))
    return found if found.credible else None


def _spell(gauge: Gauge) -> Iterator[tuple[float, float]]:
    """Slowdowns and shares queued that are seen in one spell."""
    end = time.monotonic() + SPELL_SECONDS
    while time.monotonic() < end:
        look = gauge.look(STRETCH_SECONDS)
        yield look.slowdown, look.queued


if __name__ == "__main__":
    quiet = measure(int(sys.argv[1]), float(sys.argv[2]))
    print(json.dumps({"quiet": None if quiet is None else asdict(quiet)}))
