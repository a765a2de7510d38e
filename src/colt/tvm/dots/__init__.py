"""Dot instructions: each lane of a vector adds up the products of a few neighbours, such as four pairs of bytes.

``table`` says which there are, for which types, on which processors; ``intrinsics`` makes each a tensor intrinsic
that TVM knows by name; ``shims`` holds the few lines of LLVM IR that TensorIR cannot say. Importing :mod:`colt.tvm`
registers them (``registered``), so that a schedule which uses one can be replayed by stock TVM.
"""

from colt.tvm.dots.intrinsics import register
from colt.tvm.dots.table import NO_INTRINSICS, TABLE, Dot, Intrinsics, find, intrinsics_of

__all__ = ["NO_INTRINSICS", "TABLE", "Dot", "Intrinsics", "find", "intrinsics_of", "register"]
