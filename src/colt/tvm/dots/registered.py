"""Importing this registers the dot instructions in TVM as tensor intrinsics."""

from colt.tvm.dots.intrinsics import register

register()
