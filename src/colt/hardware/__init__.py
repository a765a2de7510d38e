"""The machine at hand: processor, SIMD, caches, memory, and its measured peaks. Pure Python for Linux, free of TVM.

``cpuinfo`` parses what Linux says, ``machine`` holds it, ``peaks`` is the roofline, ``store`` keeps peaks in a file per
machine. Measuring them takes TVM and seconds: see :mod:`colt.tvm.peaks`.
"""

from colt.hardware.cpuinfo import Cache, Simd
from colt.hardware.machine import Hardware, detect
from colt.hardware.peaks import Peaks, roofline_gflops, roofline_share
from colt.hardware.store import cache_folder, forget, load_peaks, save_peaks

__all__ = [
    "Cache",
    "Hardware",
    "Peaks",
    "Simd",
    "cache_folder",
    "detect",
    "forget",
    "load_peaks",
    "roofline_gflops",
    "roofline_share",
    "save_peaks",
]
