"""Whether this process may use the tiles of AMX: the processor has them, and Linux grants them on request.

Each process has to ask, once for all of its threads. A kernel older than 5.16, a sandbox or a seccomp filter refuses,
though the processor's flags list the instructions.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable
from functools import cache

_TILES = "amx_tile"
_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XTILEDATA = 158, 0x1023, 18


@cache
def tiles_granted() -> bool:
    """Ask Linux for the tiles; every other call returns the same answer. What is granted lasts as long as the process,
    and costs nothing until a thread uses it."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    call = ctypes.CDLL(None).syscall
    call.restype = ctypes.c_long
    return bool(call(ctypes.c_long(_ARCH_PRCTL), ctypes.c_long(_ARCH_REQ_XCOMP_PERM), ctypes.c_long(_XTILEDATA)) == 0)


def usable_flags(flags: tuple[str, ...], granted: Callable[[], bool] = tiles_granted) -> tuple[str, ...]:
    """The processor's ``flags`` without those of AMX if the process may not use it. Asks only if there are any."""
    if _TILES not in flags or granted():
        return flags
    return tuple(flag for flag in flags if not flag.startswith("amx_"))
