"""Who is told what a process waits for."""

from __future__ import annotations

from colt.util.waiting import tell_waiting, told_of_waiting


def test_the_innermost_is_told_and_nobody_outside() -> None:
    outer: list[str] = []
    inner: list[str] = []
    tell_waiting("nobody")
    with told_of_waiting(outer.append):
        with told_of_waiting(inner.append):
            tell_waiting("in")
        tell_waiting("out")
    tell_waiting("nobody")
    assert (outer, inner) == (["out"], ["in"])


def test_who_would_be_told_if_nobody_is_does_not_come_before_those_who_are() -> None:
    first: list[str] = []
    last: list[str] = []
    with told_of_waiting(last.append, instead=False):
        tell_waiting("to nobody else")
    with told_of_waiting(first.append), told_of_waiting(last.append, instead=False):
        tell_waiting("to the first")
    assert (first, last) == (["to the first"], ["to nobody else"])
