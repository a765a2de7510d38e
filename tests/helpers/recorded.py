"""Recorded runs, unpacked: what reads run directories is tried on all kinds of them (``tests/recordings``)."""

from __future__ import annotations

import tarfile
from pathlib import Path

RECORDINGS = Path(__file__).parent.parent / "recordings"
BENCH = "bench"
"""The one recording that is no run."""
RUNS = sorted(
    path.name.removesuffix(".tar.xz") for path in RECORDINGS.glob("*.tar.xz") if path.name != f"{BENCH}.tar.xz"
)


def unpacked(name: str, folder: Path) -> Path:
    """The directory that an archive holds."""
    safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # since Python 3.11.4
    with tarfile.open(RECORDINGS / f"{name}.tar.xz") as archive:
        archive.extractall(folder, **safe)
    return folder / name
