"""Measured peaks, kept in one small file per machine: ``hardware-<fingerprint>.json`` in :func:`cache_folder`.

The file only saves time. If it is damaged or cannot be written, a warning says so and the run goes on without it.
"""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import asdict
from pathlib import Path

from colt.errors import InputError
from colt.machine.machine import Hardware
from colt.machine.peaks import Peaks
from colt.util.files import write_atomically
from colt.util.text import why

CACHE_VARIABLE = "COLT_CACHE_DIR"
_FORMAT = 1


def cache_folder() -> Path:
    """``$COLT_CACHE_DIR``, else ``$XDG_CACHE_HOME/colt``, else ``~/.cache/colt``; it need not exist.

    Raises
    ------
    InputError
        None of these is set and there is no home folder.
    """
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own)
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(xdg):  # the XDG specification says to ignore a relative one
        return Path(xdg) / "colt"
    try:
        return Path.home() / ".cache" / "colt"
    except RuntimeError:
        raise InputError("no home folder to keep measured peaks in: set COLT_CACHE_DIR to a folder") from None


def load_peaks(hardware: Hardware, threads: int, folder: Path | None = None) -> Peaks | None:
    """The peaks measured on this machine with ``threads`` threads; ``None`` if there are none, or the file is damaged.

    ``folder`` is :func:`cache_folder` by default.
    """
    return _read(_file(hardware, folder)).get(threads)


def save_peaks(hardware: Hardware, peaks: Peaks, folder: Path | None = None) -> None:
    """Keep measured peaks beside those for other numbers of threads, where :func:`load_peaks` finds them."""
    path = _file(hardware, folder)
    everything = _read(path) | {peaks.threads: peaks}
    content = {"format": _FORMAT, "cpu": hardware.cpu, "peaks": [asdict(kept) for kept in everything.values()]}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(content, indent=1).encode())
    except OSError as error:
        warnings.warn(f"measured peaks are not kept for next time: {why(error)}", stacklevel=2)


def _file(hardware: Hardware, folder: Path | None) -> Path:
    return (folder or cache_folder()) / f"hardware-{hardware.fingerprint()}.json"


def _read(path: Path) -> dict[int | None, Peaks]:
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f"it is not of format {_FORMAT}")
        records = content.get("peaks")
        if not isinstance(records, list):
            raise ValueError("it has no list of peaks")
        return {peaks.threads: peaks for peaks in map(Peaks.from_record, records)}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        warnings.warn(f"measured peaks in {path} are ignored: {why(error)}", stacklevel=3)
        return {}
