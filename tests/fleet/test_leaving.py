"""Nodes that the cluster takes away, as far as no cluster is needed for it."""

from __future__ import annotations

import pickle
import re
import sys
from time import time

import pytest

from colt.fleet.cluster import Cause, _lost
from colt.fleet.leaving import Leavers, _in_words, _lookout


@pytest.mark.parametrize(
    ("left_s", "told"), [(600, r"in (\d+) s"), (-600, ""), (None, "")], ids=["soon", "late", "none"]
)
def test_it_is_said_when_a_node_will_be_gone_as_far_as_that_is_known(left_s: int | None, told: str) -> None:
    deadline_ms = 0 if left_s is None else int((time() + left_s) * 1e3)
    found = re.fullmatch(f"the cluster takes its node away ?{told}", _in_words(deadline_ms))
    assert found
    assert all(0 < int(seconds) <= 600 for seconds in found.groups())


def test_whoever_asks_the_head_needs_no_colt_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pickles = pytest.importorskip("ray.cloudpickle", reason="fleets come with the extra fleet")
    sent = pickles.dumps(_lookout())
    monkeypatch.setitem(sys.modules, "colt.fleet.leaving", None)
    assert callable(pickle.loads(sent)().drained)


def test_a_version_of_ray_that_does_not_say_which_nodes_leave_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked by a name that Ray keeps to itself. What is missing is said, once; later questions cost nothing."""
    pytest.importorskip("ray", reason="fleets come with the extra fleet")
    leavers = Leavers()
    assert leavers.deaf == ""
    monkeypatch.delattr("ray._private.state.GlobalState.get_draining_nodes")
    assert leavers.found() == {}
    assert "does not say so" in leavers.deaf
    assert "get_draining_nodes" in leavers.deaf
    assert leavers.found() == {}


class Preempted(Exception):
    """As Ray's error where a process ends with a node that was drained."""

    preempted = True


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (Preempted("The actor is dead because its node has died."), Cause.TAKEN),
        (RuntimeError("The actor is dead because its node has died."), Cause.DEATH),
        (RuntimeError("1 worker(s) were killed due to the node running low on memory. And so on."), Cause.MEMORY),
        (RuntimeError("The agent failed. Causes:\n- it is killed by the OS (e.g., out of memory)"), Cause.DEATH),
    ],
)
def test_what_a_host_was_lost_by_is_what_ray_says_and_not_what_it_guesses(error: Exception, cause: Cause) -> None:
    assert _lost(error).cause is cause
