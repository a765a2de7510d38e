"""Leave to measure on a device: hosts of fleets measure alone, all others beside each other."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, sleep

from colt.errors import MeasureError
from colt.util.lock import Busy, HostLock
from colt.util.waiting import LONGEST_S, tell_waiting

_LOOK_S = 1.0
"""How often to look whether a machine is free, in seconds."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A device that a run may measure on, until it closes this."""

    before_s: float = 0.0
    """How long others were waited for there before the run began, in seconds, ..."""
    waited_s: float = 0.0
    """... and how long since."""
    notes: tuple[str, ...] = ()
    """What the user should know."""
    close: Callable[[], None] = lambda: None


def hold_this_machine(longest_s: float = LONGEST_S) -> Hold:
    """Keep fleets from this machine, once none measures here. Says whom it waits for.

    Raises :class:`~colt.errors.MeasureError` if one still does after ``longest_s`` seconds.
    """
    name, since, waited_s, reason, told = platform.node(), monotonic(), 0.0, "", ""
    while True:
        try:
            lock = HostLock(name, alone=False)
        except Busy as busy:
            before, reason = reason, f"{busy} measures here for a fleet"
        except OSError as error:
            return Hold(notes=(f"fleets are not kept from this machine meanwhile: {error}",))
        else:
            return Hold(waited_s=waited_s, close=lock.close)
        if waited_s > longest_s:
            raise MeasureError(f"this machine is not free: {reason}")
        if reason == before != told:  # or it may just be ending
            told = reason
            tell_waiting(f"waiting for {name}: {reason}")
        sleep(_LOOK_S)
        waited_s = monotonic() - since
