"""Times contenders in turn, so that they share the machine's noise, each in its own process.

One process would not be fair: TVM pins the threads that it finds, and the thread pools of two libraries spin against
each other. Only one contender runs at a time, after the others' pools have gone to sleep.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

PAUSE_SECONDS = 0.4
BLOCK_SECONDS = 0.2


def serve(call: Callable[[], object]) -> None:
    """Be a contender: for each line on stdin, time one block of calls and print their mean in microseconds."""
    call()
    print("ready", flush=True)
    for _ in sys.stdin:
        call()
        runs, started = 0, time.perf_counter()
        while time.perf_counter() - started < BLOCK_SECONDS:
            call()
            runs += 1
        print((time.perf_counter() - started) / runs * 1e6, flush=True)


def in_turn(contenders: Mapping[str, Sequence[str]], rounds: int = 15) -> dict[str, float]:
    """The median microseconds of each contender. ``contenders`` maps names to commands that call :func:`serve`."""
    processes = {
        name: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        for name, command in contenders.items()
    }
    for process in processes.values():
        assert process.stdout is not None
        process.stdout.readline()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, process in processes.items():
            time.sleep(PAUSE_SECONDS)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("go\n")
            times[name].append(float(process.stdout.readline()))
    for process in processes.values():
        process.communicate()
    return {name: statistics.median(seen) for name, seen in times.items()}
