"""Saved modules as TVMScript, for people to read.

TVM reads a module of a stranger's run in a process of its own, since what is no module can kill the process that reads
it. Run as a module, this file prints the listings of the files that it is given as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from colt.errors import InputError
from colt.tvm.own import command
from colt.util.files import read_file
from colt.util.text import first_line

SECONDS = 60.0
LARGEST_MODULE = 1 << 26
"""Bytes of a saved module; most are 100 KB, and constants can make one large."""
LONGEST_LISTING = 200_000


@dataclass(frozen=True, slots=True)
class Listing:
    """A program as TVMScript, or why there is none."""

    text: str
    problem: str = ""


def listings(paths: Sequence[Path]) -> list[Listing]:
    """The programs in these files, in order."""
    found = [_readable(path) for path in paths]
    wanted = [str(path) for path, problem in zip(paths, found, strict=True) if not problem]
    scripts = iter(_in_a_process(wanted) if wanted else [])
    return [Listing("", problem) if problem else next(scripts) for problem in found]


def _readable(path: Path) -> str:
    """What is wrong with the file; empty if TVM may have it."""
    try:
        read_file(path, LARGEST_MODULE, links=False)
    except FileNotFoundError:
        return f"there is no {path.name}"
    except OSError as error:
        return f"{path.name} cannot be read: {error.strerror or error}"
    return ""


def _in_a_process(paths: list[str]) -> list[Listing]:
    try:
        done = subprocess.run(
            command("colt.tvm.programs.listing", *paths),
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env=os.environ,
            stdin=subprocess.DEVNULL,
        )
        read = json.loads(done.stdout)
        return [Listing(str(text), str(problem)) for text, problem in read]
    except subprocess.TimeoutExpired:
        return [Listing("", "TVM did not read it in time")] * len(paths)
    except (ValueError, TypeError):
        return [Listing("", "TVM could not read it")] * len(paths)


def _listing(path: str) -> tuple[str, str]:
    from colt.tvm.programs.export import load_module

    try:
        text = load_module(read_file(Path(path), LARGEST_MODULE, links=False)).script()
    except (InputError, OSError) as error:
        return "", first_line(error)
    if len(text) > LONGEST_LISTING:
        return text[:LONGEST_LISTING] + f"\n# ... {len(text) - LONGEST_LISTING:,} more characters", ""
    return text, ""


if __name__ == "__main__":
    print(json.dumps([_listing(path) for path in sys.argv[1:]]))
