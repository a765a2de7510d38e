"""The winners of searches, built for this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from colt.bench.contenders.contender import Array, Contender, Maker, T
from colt.bench.contenders.messages import Settings


def makers(settings: Settings, inputs: Sequence[Array]) -> Iterator[tuple[str, Maker]]:
    """The maker of each winner. All winners get the same arguments, and each lap gets another memory layout."""
    from colt.tvm.devices.host import cpu_intrinsics, resolve_target
    from colt.tvm.programs import workloads
    from colt.tvm.programs.export import load_module
    from colt.tvm.workers.arguments import to_device
    from colt.tvm.workers.kernel import LocalKernel
    from colt.tvm.workers.layout import Layouts

    target = resolve_target(None, settings.threads)
    output = workloads.get(settings.workload).arguments(settings.size)[-1]
    arguments = [to_device(array) for array in inputs]
    layouts = Layouts()

    def draw(run: Callable[[], T], /) -> T:
        layouts.change()
        return layouts.run(run)

    def make(module: str) -> Contender:
        with cpu_intrinsics(target):
            kernel = LocalKernel(load_module(Path(module).read_bytes()), target, layouts)
        result = to_device(np.zeros(output.shape, output.dtype))
        return Contender(kernel.bind([*arguments, result]).call, lambda _: result.numpy(), draw)

    for member in settings.members:
        yield member.name, partial(make, member.module)
