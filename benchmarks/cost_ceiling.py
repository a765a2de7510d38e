"""Whether a ceiling of dollars holds: 200 random schedules of faults, each with 8 calls in flight.

    .venv/bin/python benchmarks/cost_ceiling.py [--schedules N]

The server of the tests answers well and badly at random and bills all that it may, even for replies that never arrive.
It keeps its own account, and the ceiling is checked against that.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.helpers.cost_schedules import IN_FLIGHT, run


def main() -> int:
    """Print the outcome; the exit code is 1 if a ceiling was exceeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=200)
    outcomes = [run(seed) for seed in range(parser.parse_args().schedules)]
    broken = [outcome for outcome in outcomes if not outcome.holds]
    for outcome in broken:
        print(f"exceeded: {outcome}")
    billed = [outcome.billed / outcome.ceiling for outcome in outcomes]
    charged = [outcome.charged / outcome.ceiling for outcome in outcomes]
    print(
        f"{len(outcomes)} schedules, {IN_FLIGHT} calls in flight, {sum(o.requests for o in outcomes)} requests, "
        f"{sum(o.answers for o in outcomes)} answers, {sum(o.refused for o in outcomes)} calls refused: "
        f"{len(broken)} ceilings exceeded"
    )
    for what, shares in (("billed", billed), ("charged", charged)):
        print(f"{what}: at most {max(shares):.1%} of the ceiling, median {statistics.median(shares):.1%}")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
