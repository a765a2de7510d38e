"""Programs told apart by their forms, so that a simulated machine may be faster at one."""

from __future__ import annotations

import tvm

from colt.tvm.programs.program import fingerprint


def with_places(module: tvm.IRModule) -> str:
    """A fingerprint that begins with the places in a tile of a convolution in Winograd's form; with 0 for others."""
    buffers = module["main"].body.block.alloc_buffers
    places = [int(buffer.shape[0]) for buffer in buffers if str(buffer.name) == "products"]
    return f"{sum(places)} {fingerprint(module)}"
