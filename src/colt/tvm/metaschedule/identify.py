"""Programs of strangers, identified in a process of their own: reading one can end the process that does.

``python -m colt.tvm.metaschedule.identify`` answers each line, a program in base64, with its key as JSON.
"""

from __future__ import annotations

import base64
import binascii
import os
import resource
import subprocess
import sys
from collections.abc import Sequence

import msgspec

from colt.records.record import ProgramKey
from colt.tvm.own import command

MOST_CRASHES = 5
"""After so many, the programs that are left are not looked at."""
SECONDS = 120.0
_BYTES = 8 * 2**30
_PREFIX = 8
"""Bytes before the JSON of a program in MetaSchedule's base64: its length."""


def identified(modules: Sequence[str]) -> list[ProgramKey | None]:
    """The key of each program in base64; ``None`` for one that cannot be read."""
    found: list[ProgramKey | None] = []
    crashes = 0
    while len(found) < len(modules):
        if crashes == MOST_CRASHES:
            return found + [None] * (len(modules) - len(found))
        left = modules[len(found) :]
        answers = _asked(left)
        found += answers
        if len(answers) < len(left):  # it died of the next one
            found.append(None)
            crashes += 1
    return found


def _asked(modules: Sequence[str]) -> list[ProgramKey | None]:
    text = "".join("".join(module.split()) + "\n" for module in modules).encode(errors="replace")
    try:
        done = subprocess.run(
            command("colt.tvm.metaschedule.identify"), input=text, capture_output=True, check=False, timeout=SECONDS
        )
        said = done.stdout
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
    whole = said[: said.rfind(b"\n") + 1].splitlines()[: len(modules)]
    return [_read(line) for line in whole]


def _read(line: bytes) -> ProgramKey | None:
    try:
        return msgspec.json.decode(line, type=ProgramKey | None)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _answer(line: str) -> ProgramKey | None:
    from colt.errors import InputError
    from colt.tvm.programs.export import load_module
    from colt.tvm.programs.identity import program_key

    try:
        module = load_module(base64.b64decode(line, validate=True)[_PREFIX:])
        return program_key(module) if "main" in [each.name_hint for each in module.functions] else None
    except (InputError, binascii.Error, ValueError, TypeError, AttributeError, RuntimeError, KeyError):
        return None


def main() -> None:
    """Answer standard input, line by line. What TVM prints is not an answer."""
    resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    for line in sys.stdin:
        answers.write(msgspec.json.encode(_answer(line.strip())) + b"\n")


if __name__ == "__main__":
    main()
