"""What ``colt pool check`` found about endpoints, kept for the receipts of runs that use them.

It is kept in ``endpoints.json`` in the cache folder. Nothing depends on it, so a damaged file counts as empty.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from colt.machine import cache_folder
from colt.proposers.members import ModelMember
from colt.store.receipt import FoundPart
from colt.util.files import write_atomically
from colt.util.text import why

if TYPE_CHECKING:
    from colt.proposers.language.probe import Finding

FILE = "endpoints.json"
MOST = 200
"""How many models are remembered, each at its endpoint; the oldest are dropped."""


def remember(findings: Iterable[Finding], folder: Path | None = None) -> None:
    """Keep these findings; they replace earlier ones about the same models."""
    path = _file(folder)
    known = _read(path)
    checked = datetime.now(UTC).isoformat(timespec="seconds")
    for finding in findings:
        key = _key(finding.base_url, finding.model)
        known.pop(key, None)
        known[key] = FoundPart(
            checked=checked,
            usable=finding.usable,
            problem=finding.problem,
            schema=str(finding.schema),
            usage_reported=finding.usage_reported,
            reasoning=str(finding.reasoning),
            served_model=finding.served_model,
            seconds=finding.latency_s,
        )
    latest = dict(list(known.items())[-MOST:])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, msgspec.json.format(msgspec.json.encode(latest), indent=1))
    except OSError as error:
        warnings.warn(f"the findings are not kept for later runs: {why(error)}", stacklevel=2)


def recall(members: Sequence[ModelMember], folder: Path | None = None) -> dict[str, FoundPart]:
    """The latest findings about these models at their endpoints, by member name."""
    known = _read(_file(folder))
    found = {member.name: known.get(_key(member.base_url, member.model)) for member in members}
    return {name: part for name, part in found.items() if part is not None}


def _key(base_url: str, model: str) -> str:
    return f"{base_url} {model}"


def _file(folder: Path | None) -> Path:
    return (folder or cache_folder()) / FILE


def _read(path: Path) -> dict[str, FoundPart]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, FoundPart])
    except (OSError, msgspec.MsgspecError):
        return {}
