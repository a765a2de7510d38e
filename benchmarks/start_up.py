"""Start-up of the command line, median of several: ``colt --help`` and ``colt workloads``.

    .venv/bin/python benchmarks/start_up.py

To reach: under 0.5 s and under 3 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def main() -> None:
    for arguments in (["--help"], ["workloads"]):
        seconds = []
        for _ in range(7):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-m", "colt.cli", *arguments], stdout=subprocess.DEVNULL, check=True)
            seconds.append(time.perf_counter() - started)
        print(f"colt {' '.join(arguments):10} {statistics.median(seconds):.2f} s (slowest {max(seconds):.2f})")


if __name__ == "__main__":
    main()
