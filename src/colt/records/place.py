"""Where the records of this user are."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "COLT_RECORDS"
NAME = "records.db"
OFF = "off"
"""The value of the variable for which no records are kept."""


def records_path() -> Path | None:
    """``$COLT_RECORDS``, else ``$XDG_DATA_HOME/colt/records.db``, else ``~/.local/share/colt/records.db``.

    It need not exist. ``None`` if ``$COLT_RECORDS`` is ``off``, or nothing of this is set and there is no home folder.
    """
    if os.environ.get(VARIABLE) == OFF:
        return None
    if own := os.environ.get(VARIABLE):
        return Path(own)
    xdg = os.environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(xdg):  # the XDG specification says to ignore a relative one
        return Path(xdg) / "colt" / NAME
    try:
        return Path.home() / ".local" / "share" / "colt" / NAME
    except RuntimeError:
        return None
