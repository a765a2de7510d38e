"""A run directory by somebody who means harm: wherever a name or a message may stand there is markup, and what turns
the direction of a text, cannot be seen, or steers a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tomli_w

from tests.helpers.recorded import unpacked

MARKUP = (
    "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>&lt;b&gt;\u2028<!--"
    "\u202e\u2066\u200b\u00ad\x1b[31m"
)
HARMLESS = {"event", "fate", "outcome", "what"}
"""Fields in which only certain words make sense."""


def hostile_run(folder: Path, name: str = "models-faults") -> Path:
    """A recorded run with markup at the end of every text in it."""
    run = unpacked(name, folder)
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    (run / "journal.jsonl").write_text("".join(json.dumps(_marked(line)) + "\n" for line in lines))
    receipt = json.loads((run / "receipt.json").read_text())
    for part in (receipt["workload"], receipt["hardware"], receipt["best"], receipt):
        for key, value in part.items():
            if isinstance(value, str) and key not in ("verdict",):
                part[key] = value + MARKUP
    receipt["versions"]["evil"] = MARKUP
    receipt["best"]["values"] = {f"{key}{MARKUP}": value for key, value in receipt["best"]["values"].items()}
    receipt["proposers"] = {f"{key}{MARKUP}": value for key, value in receipt["proposers"].items()}
    (run / "receipt.json").write_text(json.dumps(receipt))
    (run / "config.toml").write_text(tomli_w.dumps({"run": {"name": MARKUP, "trials": 16, "evil": MARKUP}}))
    (run / "program.json").write_text(MARKUP)
    evil = run.with_name("<script>window.hacked = 3<" + "script>")
    return run.rename(evil)


def _marked(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _marked(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [_marked(part) for part in value]
    return value + MARKUP if isinstance(value, str) and key not in HARMLESS else value
