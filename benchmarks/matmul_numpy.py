"""COLT's matmul 512 against numpy and the FMA peak, all three timed in turn.

    .venv/bin/python benchmarks/matmul_numpy.py [--trials 64] [--seeds 3]

To reach: at least as fast as numpy, and 90 % of the FMA peak. It prints two peaks: that of a register-resident FMA loop
timed in turn with the others, and that of the loop's best short burst, as ``colt hardware`` measures it.
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
VECTORS, LANES, STEPS = 16, 16, 100_000
PEAK_FLOPS = 2 * THREADS * VECTORS * LANES * STEPS
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
    from colt.tvm.devices.peaks import measure_peaks

    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            colt.tune("matmul", trials=options.trials, seed=seed, run_dir=run, use_records=False)
            this = [sys.executable, __file__, "--contender"]
            us = in_turn({name: [*this, what] for name, what in contenders(run)})
        burst = measure_peaks(THREADS).fma_gflops_all_threads or float("nan")
        gflops = {name: (PEAK_FLOPS if name == "peak" else 2 * N**3) / value / 1e3 for name, value in us.items()}
        print(
            f"seed {seed}: COLT {gflops['COLT']:.0f} GFLOPS, numpy {gflops['numpy']:.0f}: "
            f"{us['numpy'] / us['COLT']:.2f} times as fast; "
            f"{gflops['COLT'] / gflops['peak']:.0%} of the FMA loop in turn ({gflops['peak']:.0f}), "
            f"{gflops['COLT'] / burst:.0%} of its best burst ({burst:.0f})",
            flush=True,
        )


def contenders(run: Path) -> list[tuple[str, str]]:
    return [("COLT", str(run / "kernel.so")), ("numpy", "numpy"), ("peak", "peak")]


def contender(name: str) -> Callable[[], object]:
    """A call of numpy's matmul, of the FMA loop, or of the kernel in a library."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((N, N), dtype="float32") for _ in range(2))
    out = np.empty((N, N), "float32")
    if name == "numpy":
        return lambda: np.matmul(a, b, out=out)
    import tvm

    if name == "peak":
        from colt.tvm.devices.peak_kernels import build, fma_kernel

        library = build(fma_kernel(THREADS, VECTORS, LANES, STEPS), THREADS)["main"]
        shapes = ((VECTORS, LANES), (LANES,), (THREADS, VECTORS, LANES))
        arrays = [tvm.runtime.tensor(np.full(shape, 1e-3, "float32")) for shape in shapes]
        return lambda: library(*arrays)
    kernel = tvm.runtime.load_module(name)["main"]
    ours = [tvm.runtime.tensor(array) for array in (a, b, out)]
    kernel(*ours)
    np.testing.assert_allclose(ours[2].numpy(), a @ b, rtol=1e-3, atol=1e-3)
    return lambda: kernel(*ours)


if __name__ == "__main__":
    main()
