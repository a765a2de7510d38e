"""The machine at hand: processor, SIMD, caches, memory, and its measured peaks. Pure Python for Linux, free of TVM.

``cpuinfo`` parses what Linux says, ``machine`` holds it, ``peaks`` is what was measured on it, ``roofline`` what a
program can reach there, ``store`` keeps peaks in a file per machine, ``queueing`` tells what other loads take away.
Measuring peaks takes TVM and seconds: see :mod:`colt.tvm.peaks`.
"""

from colt.hardware.cpuinfo import Cache, Simd
from colt.hardware.machine import Hardware, detect
from colt.hardware.peaks import Peaks
from colt.hardware.roofline import Bound, Roofline, Work
from colt.hardware.store import CACHE_VARIABLE, cache_folder, load_peaks, save_peaks

__all__ = [
    "CACHE_VARIABLE",
    "Bound",
    "Cache",
    "Hardware",
    "Peaks",
    "Roofline",
    "Simd",
    "Work",
    "cache_folder",
    "detect",
    "load_peaks",
    "save_peaks",
]
