"""Where the records of this user are."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "COLT_RECORDS"
NAME = "records.db"


def records_path() -> Path | None:
    """``$COLT_RECORDS``, else ``$XDG_DATA_HOME/colt/records.db``, else ``~/.local/share/colt/records.db``.

    It need not exist. ``None`` if none of the variables is set and there is no home folder.
    """
    if own := os.environ.get(VARIABLE):
        return Path(own)
    xdg = os.environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(xdg):  # the XDG specification says to ignore a relative one
        return Path(xdg) / "colt" / NAME
    try:
        return Path.home() / ".local" / "share" / "colt" / NAME
    except RuntimeError:
        return None
