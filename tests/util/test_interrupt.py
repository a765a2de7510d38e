"""Ctrl-C as a request, and as an end at once while nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from colt.util.interrupt import Interrupt, PromptExit

LONG_CALL = """
import hashlib, signal, sys
from contextlib import ExitStack
from colt.util.interrupt import Interrupt, PromptExit
signal.signal(signal.SIGINT, signal.default_int_handler)
with ExitStack() as stack:
    stack.enter_context(PromptExit())
    if sys.argv[1] == "awaited":
        stack.enter_context(Interrupt())
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", int(sys.argv[2]))  # no Python instruction until it returns
print("done", flush=True)
"""


def interrupted(kind: str, rounds: int) -> tuple[int, str, float]:
    """Exit code and output of the script above, interrupted in its long call, and the seconds that it then took."""
    child = subprocess.Popen([sys.executable, "-c", LONG_CALL, kind, str(rounds)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(0.1)
    began = time.monotonic()
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate(timeout=120)
    return child.returncode, said, time.monotonic() - began


def test_a_process_in_a_long_call_ends_at_once() -> None:
    code, said, seconds = interrupted("at once", 1_000_000_000)  # half an hour
    assert (code, said) == (PromptExit.code, "")
    assert seconds < 10


def test_a_run_that_waits_for_it_is_left_alone() -> None:
    code, said, _ = interrupted("awaited", 1_000_000)  # longer than the grace
    assert (code, said) == (0, "done\n")


def interrupt() -> None:
    """Interrupt this process, and be in Python for a while."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)


def test_the_first_interrupt_is_a_request_and_the_second_an_end() -> None:
    with Interrupt() as requested, PromptExit():
        interrupt()
        assert requested.requested
        with pytest.raises(KeyboardInterrupt):
            interrupt()


def test_what_is_requested_of_the_whole_is_requested_of_each_part() -> None:
    """Of the one that is under way, and of those that come later; the one after that ends whichever it is."""
    before = signal.getsignal(signal.SIGINT)
    with Interrupt() as whole:
        with whole, Interrupt() as first:
            interrupt()
            assert first.requested
        with Interrupt() as second:
            assert second.requested
            with pytest.raises(KeyboardInterrupt):
                interrupt()
        assert signal.getsignal(signal.SIGINT) != before
    assert (whole.requested, first.requested) == (True, True)
    assert signal.getsignal(signal.SIGINT) is before
    with Interrupt() as another:
        assert not another.requested


def test_that_a_signal_is_heeded_is_told_at_once_and_once() -> None:
    told = []
    with Interrupt(), PromptExit() as prompt:
        prompt.when_heeded = lambda: told.append(threading.current_thread())
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
            time.sleep(0.2)
    assert len(told) == 1
    assert told[0] is not threading.main_thread()  # which may be in a long call


def test_a_process_that_ends_by_itself_in_time_is_not_ended() -> None:
    with PromptExit(), pytest.raises(KeyboardInterrupt):
        interrupt()
    time.sleep(2 * PromptExit.grace_s)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_other_signals_end_a_long_call_with_their_own_code(number: signal.Signals) -> None:
    child = subprocess.Popen([sys.executable, "-c", LONG_CALL, "at once", "1000000000"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(0.1)
    child.send_signal(number)
    assert child.wait(timeout=10) == 128 + number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_other_signals_are_requests_however_often_they_come(number: signal.Signals) -> None:
    with PromptExit(), Interrupt() as requested:
        for _ in range(3):
            os.kill(os.getpid(), number)
            time.sleep(0.05)
        assert requested.requested
    assert signal.getsignal(number) is signal.SIG_DFL


def test_signals_that_the_process_ignores_or_handles_are_left_alone() -> None:
    """Such as SIGHUP under nohup."""
    came: list[int] = []
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN), signal.signal(signal.SIGTERM, lambda *_: came.append(1))
    try:
        with PromptExit(), Interrupt() as requested:
            for number in (signal.SIGHUP, signal.SIGTERM):
                os.kill(os.getpid(), number)
            time.sleep(0.05)
            assert (requested.requested, came) == (False, [1])
    finally:
        signal.signal(signal.SIGHUP, before[0])
        signal.signal(signal.SIGTERM, before[1])
