"""The collector of cycles is put off while runs are read, and goes on afterwards."""

from __future__ import annotations

import gc
import weakref

from colt.util.collecting import no_collecting


class Held:
    """Something that can be watched."""


def test_it_is_off_inside_and_on_afterwards() -> None:
    with no_collecting():
        with no_collecting():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_comes_on_again_after_an_error() -> None:
    try:
        with no_collecting():
            raise ValueError
    except ValueError:
        assert gc.isenabled()


def test_who_has_turned_it_off_finds_it_off() -> None:
    gc.disable()
    try:
        with no_collecting():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_was_made_inside_goes_when_nothing_refers_to_it() -> None:
    with no_collecting():
        held = Held()
        seen = weakref.ref(held)
    del held
    assert seen() is None
