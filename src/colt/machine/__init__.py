"""The machine at hand: processor, SIMD, caches, memory, and its measured peaks. Pure Python for Linux, free of TVM.

``cpuinfo`` parses what Linux says, ``machine`` holds it, ``peaks``, ``rates`` and ``quiet`` are what was measured on
it, ``roofline`` what a program can reach there, ``store`` keeps what was measured in a file per machine, ``queueing``
tells what other loads take away, ``disassembly`` finds the inner loop of a kernel. Measuring takes TVM and seconds: see
:mod:`colt.tvm.devices.peaks`.
"""

from colt.machine.cpuinfo import Cache, Simd
from colt.machine.machine import Hardware, detect
from colt.machine.peaks import Peaks
from colt.machine.quiet import Quiet
from colt.machine.rates import DOT_INSTRUCTIONS, Rates, read_dots
from colt.machine.roofline import Bound, Roofline, Work
from colt.machine.store import CACHE_VARIABLE, cache_folder, load_peaks, save_peaks

__all__ = [
    "CACHE_VARIABLE",
    "DOT_INSTRUCTIONS",
    "Bound",
    "Cache",
    "Hardware",
    "Peaks",
    "Quiet",
    "Rates",
    "Roofline",
    "Simd",
    "Work",
    "cache_folder",
    "detect",
    "load_peaks",
    "read_dots",
    "save_peaks",
]
