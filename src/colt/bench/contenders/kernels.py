"""The winners of searches, built for this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from colt.bench.contenders.contender import Array, Contender, Maker
from colt.bench.contenders.messages import Settings


def makers(settings: Settings, inputs: Sequence[Array]) -> Iterator[tuple[str, Maker]]:
    """Of each winner; all get the same arguments."""
    from colt.tvm import workloads
    from colt.tvm.export import load_module
    from colt.tvm.host import cpu_intrinsics, resolve_target
    from colt.tvm.measure.arguments import to_device
    from colt.tvm.measure.kernel import build_library

    target = resolve_target(None, settings.threads)
    output = workloads.get(settings.workload).arguments(settings.size)[-1]
    arguments = [to_device(array) for array in inputs]

    def make(module: str) -> Contender:
        with cpu_intrinsics(target):
            library = build_library(load_module(Path(module).read_bytes()), target)
        kernel = library["main"]
        result = to_device(np.zeros(output.shape, output.dtype))
        return Contender(lambda: kernel(*arguments, result), lambda _: result.numpy())

    for member in settings.members:
        yield member.name, partial(make, member.module)
