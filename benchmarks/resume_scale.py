"""How long a recorded run of 10,000 trials and 100,000 nodes takes to go on: seconds until it asks its first question.

    python benchmarks/resume_scale.py --run DIR [--trials 10000] [--nodes 100000] [--seconds 800]

The run is made first, as far as there is time, and gone on with at the next call: everything is real but the measurer,
which makes latencies up. That takes twenty minutes or so. Then it is given one more batch, twice: as it is, and without
what it has worked out before. Prints wall and processor seconds until the recording is used up. To reach: 30 s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.helpers.simulated_runs import measured_by, simulated

import colt
from colt.run.context import Run
from colt.store.directory import RECEIPT, RECORDING, WORKINGS
from colt.store.receipt import load_receipt
from colt.world.recording import read_recording


def make(folder: Path, trials: int, nodes: int, batch: int, seconds: float) -> bool:
    """Make the run, or go on making it, for about so long; whether it has all its trials."""
    with measured_by(simulated()):
        if not folder.exists():
            config = colt.SearchConfig(batch_size=batch, iterations_per_trial=max(1, round(nodes / trials)))
            colt.tune(
                "matmul",
                trials=trials,
                seconds=seconds,
                pool=["scout"],
                config=config,
                run_dir=folder,
                use_records=False,
            )
        elif load_receipt(folder).trials.total < trials:
            spent = read_recording(folder / RECORDING).clock
            colt.resume(folder, seconds=seconds + (0.0 if spent is None else spent.total))
    return load_receipt(folder).trials.total >= trials


def go_on(folder: Path, batch: int) -> tuple[float, float]:
    """Wall and processor seconds until the run asks its first question, when it is given one more batch."""
    live: list[tuple[float, float]] = []
    went_live = Run._go_live

    def noting(run: Run) -> None:
        live.append((time.perf_counter(), time.process_time()))
        went_live(run)

    Run._go_live = noting  # type: ignore[method-assign]
    began = time.perf_counter(), time.process_time()
    with measured_by(simulated()):
        colt.resume(folder, trials=load_receipt(folder).trials.total + batch, seconds=1e6)
    Run._go_live = went_live  # type: ignore[method-assign]
    return live[0][0] - began[0], live[0][1] - began[1]


def main() -> None:
    """Make the run, and go on with copies of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="the run's directory, new or made before")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=1e6, help="make the run for so long at most")
    parser.add_argument("--anew", action="store_true", help="also without what was worked out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name  # made-up latencies tell nothing of this machine
        whole = make(given.run, given.trials, given.nodes, given.batch, given.seconds)
        receipt = load_receipt(given.run)
        print(f"{receipt.trials.total:,} trials, {receipt.space.nodes:,} nodes", flush=True)
        for anew in (False, True) if whole and given.anew else (False,):
            copy = Path(name) / RECEIPT
            shutil.copytree(given.run, copy)
            if anew:
                (copy / WORKINGS).unlink()
            wall, cpu = go_on(copy, given.batch)
            how = "all worked out anew" if anew else "with what was worked out"
            print(f"goes on after {wall:.1f} s ({cpu:.1f} s of processor time), {how}", flush=True)
            shutil.rmtree(copy)


if __name__ == "__main__":
    main()
