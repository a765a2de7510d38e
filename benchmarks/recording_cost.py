"""What keeping a run's answers costs: a tuning job with and without a run directory, alternating.

``python benchmarks/recording_cost.py --pairs 3`` prints the wall seconds of each, how much of them went into writing
the recording (each answer that cost machine time is synced to the disk), and the median share. That share is counted
inside the run, since two jobs differ by more than it, whatever they write.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import colt
from colt.world import recording


class Counted:
    """The seconds that writing takes."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.syncs = 0
        put = recording.RecordingWriter._put

        def counted(writer: Any, *arguments: Any) -> None:
            started = time.perf_counter()
            put(writer, *arguments)
            self.seconds += time.perf_counter() - started
            self.syncs += 1

        recording.RecordingWriter._put = counted  # type: ignore[method-assign]


def main() -> None:
    """Run the pairs and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="matmul")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where runs are written: the disk that is to be measured")
    given = parser.parse_args()
    counted = Counted()
    shares = []
    for number in range(given.pairs):
        wall = {}
        for recorded in (True, False) if number % 2 else (False, True):
            with tempfile.TemporaryDirectory(dir=given.folder) as folder:
                counted.seconds, counted.syncs = 0.0, 0
                started = time.perf_counter()
                colt.tune(given.program, trials=given.trials, run_dir=Path(folder) / "run" if recorded else None)
                wall[recorded] = time.perf_counter() - started
            if recorded:
                share = counted.seconds / wall[True]
                shares.append(share)
                spent = f"{counted.seconds * 1e3:.0f} ms in {counted.syncs} writes"
        print(
            f"recorded {wall[True]:.2f} s, of which {spent} ({share:.2%}); not recorded {wall[False]:.2f} s", flush=True
        )
    print(f"median share of the recording: {statistics.median(shares):.2%}")


if __name__ == "__main__":
    main()
