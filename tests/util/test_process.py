"""A child process ends with whoever started it, and tells how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from colt.util.process import Child, describe_status


@contextmanager
def child(code: str, log: Path | None = None) -> Iterator[Child]:
    found = Child([sys.executable, "-c", code], env=os.environ, log=log)
    try:
        yield found
    finally:
        found.end()


def await_words(process: Child) -> str:
    deadline = monotonic() + 30.0
    while not process.last_words(100):
        assert monotonic() < deadline
        sleep(0.01)
    return process.last_words(100)


def test_what_it_printed_last_is_known_while_it_runs_and_afterwards(tmp_path: Path) -> None:
    with child("import sys; print('first'); sys.exit('no luck')", tmp_path / "log") as process:
        assert process.wait(30.0) == 1
        assert (process.last_words(100), process.last_words(4)) == ("first\nno luck", "uck")
        process.forget_words()
        assert process.last_words(100) == ""
        assert process.cause_of_death() == "exited with status 1"


def test_one_that_lives_is_ended_with_all_that_it_started() -> None:
    code = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    with child(code) as process:
        grandchild = int(await_words(process))
        assert psutil.pid_exists(grandchild)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        assert process.cause_of_death() == "killed by SIGKILL"
        process.stop()
        process.end()
        process.end()
    deadline = monotonic() + 10.0
    while psutil.pid_exists(grandchild) and psutil.Process(grandchild).status() != psutil.STATUS_ZOMBIE:
        assert monotonic() < deadline
        sleep(0.01)


def test_a_command_that_cannot_be_run_leaves_nothing_open() -> None:
    before = psutil.Process().num_fds()
    with pytest.raises(FileNotFoundError):
        Child(["/no/such/command"], env={})
    assert psutil.Process().num_fds() == before


def test_a_status_in_words() -> None:
    assert describe_status(-signal.SIGSEGV) == "killed by SIGSEGV"
    assert describe_status(3) == "exited with status 3"
