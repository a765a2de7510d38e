"""COLT's matmul 512 against numpy, timed in turn, and as a share of the FMA peak.

    .venv/bin/python benchmarks/matmul_numpy.py [--trials 64] [--seeds 3]

To reach: at least as fast as numpy, and 90 % of the FMA peak.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from side_by_side import in_turn, serve

N = 512
THREADS = len(os.sched_getaffinity(0))
os.environ["TVM_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(THREADS)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        serve(contender(options.contender))
        return
    import colt
    from colt.tvm.peaks import measure_peaks

    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            result = colt.tune("matmul", trials=options.trials, seed=seed, run_dir=run)
            this = [sys.executable, __file__, "--contender"]
            us = in_turn({"COLT": [*this, str(run / "kernel.so")], "numpy": [*this, "numpy"]})
        peak = measure_peaks(THREADS).fma_gflops_all_threads or float("nan")
        figures = ", ".join(
            f"{name} {2 * N**3 / value / 1e3:.0f} GFLOPS ({2 * N**3 / value / 1e3 / peak:.0%} of the FMA peak of {peak:.0f})"
            for name, value in us.items()
        )
        receipt = result.best.gflops if result.best and result.best.gflops else 0.0
        print(f"seed {seed}: {figures}; COLT is {us['numpy'] / us['COLT']:.2f} times as fast; receipt {receipt:.0f}")


def contender(name: str) -> Callable[[], object]:
    """A call of numpy's matmul, or of the kernel in a library."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((N, N), dtype="float32") for _ in range(2))
    out = np.empty((N, N), "float32")
    if name == "numpy":
        return lambda: np.matmul(a, b, out=out)
    import tvm

    kernel = tvm.runtime.load_module(name)["main"]
    ours = [tvm.runtime.tensor(array) for array in (a, b, out)]
    kernel(*ours)
    np.testing.assert_allclose(ours[2].numpy(), a @ b, rtol=1e-3, atol=1e-3)
    return lambda: kernel(*ours)


if __name__ == "__main__":
    main()
