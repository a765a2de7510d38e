"""What a stopwatch counts, and what it does not."""

from __future__ import annotations

import pytest

from colt.util import clock
from colt.util.clock import Stopwatch


def test_what_is_left_out_belongs_to_no_activity_and_not_to_the_total(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    watch = Stopwatch()
    with watch("starting"):
        now[0] += 10.0
        watch.leave_out(4.0)
        now[0] += 1.0
    with watch("searching"):
        now[0] += 2.0
    assert dict(watch.seconds) == {"starting": 7.0, "searching": 2.0}
    assert watch.total == 9.0
