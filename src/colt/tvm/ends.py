"""What ends a process keeps its type where it crosses TVM: imported once TVM is there.

TVM turns an exception of a function that it calls into an error, and back. One of an unknown type comes back as a
RuntimeError, and a Ctrl-C would be taken for a schedule that fails.
"""

from __future__ import annotations

import tvm_ffi

from colt.util.interrupt import Ended

for _end in (KeyboardInterrupt, SystemExit, Ended):
    tvm_ffi.error.register_error(_end)
