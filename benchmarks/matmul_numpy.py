"""COLT's matmul 512 against numpy, interleaved, and as a share of the FMA peak.

    .venv/bin/python benchmarks/matmul_numpy.py [--trials 64] [--seed 0]

To reach: at least as fast as numpy, and 90 % of the FMA peak.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

THREADS = len(os.sched_getaffinity(0))
os.environ["TVM_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(THREADS)

import numpy as np  # noqa: E402
import tvm  # noqa: E402

import colt  # noqa: E402
from colt.tvm.peaks import measure_peaks  # noqa: E402
from side_by_side import interleaved_us  # noqa: E402

N = 512


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        result = colt.tune("matmul", trials=options.trials, seed=options.seed, run_dir=run)
        kernel = tvm.runtime.load_module(str(run / "kernel.so"))["main"]
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((N, N), dtype="float32") for _ in range(2))
    out = np.empty((N, N), "float32")
    ours = [tvm.runtime.tensor(array) for array in (a, b, out)]
    tuned_us, numpy_us = interleaved_us([lambda: kernel(*ours), lambda: np.matmul(a, b, out=out)])
    np.testing.assert_allclose(ours[2].numpy(), out, rtol=1e-3, atol=1e-3)
    peak = measure_peaks(THREADS).fma_gflops_all_threads or float("nan")
    print(f"receipt: {result.receipt.best.gflops if result.best else 0:.0f} GFLOPS, {result.speedup:.0f}x untuned")
    for name, us in (("COLT", tuned_us), ("numpy", numpy_us)):
        gflops = 2 * N**3 / us / 1e3
        print(f"{name:6} {us:8.1f} us {gflops:6.1f} GFLOPS {gflops / peak:5.0%} of the FMA peak of {peak:.0f}")
    print(f"COLT is {numpy_us / tuned_us:.2f} times as fast as numpy")


if __name__ == "__main__":
    main()
